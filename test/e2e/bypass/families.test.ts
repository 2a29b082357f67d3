/** The families that pass through, and the WebSockets that no request carries. */
import { createServer, type IncomingMessage, type Server } from "node:http"
import * as Effect from "effect/Effect"
import { createHash, generateKeyPairSync, sign } from "node:crypto"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { OpenAI } from "openai"
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket"
import { OpenAIRealtimeWS } from "openai/realtime/ws"
import { ResponsesWS as BetaResponsesWS } from "openai/resources/beta/responses/ws"
import { LiveWS } from "openai/resources/live/ws"
import { ResponsesWS } from "openai/resources/responses/ws"
import type { AddressInfo } from "node:net"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import {
  ClosedError,
  ConfigurationError,
  EnforcementUnavailableError,
  PolicyDeniedError,
  type RemoteSigner,
  SecureOpenAI,
  Signer,
  Workspace,
  type WorkspaceOptions
} from "../../../src/index.ts"
import { thumbprint } from "../../../src/keys/Keys.ts"
import { attempt, type Attempt, kinds, policies, refused, useLab } from "./lab.ts"

const lab = useLab()
const send =
  (method: "get" | "post" | "delete", path: string): Attempt =>
  (client) =>
    client[method](path, method === "post" ? { body: { purpose: "batch", model: "gpt-5-pro" } } : {})

/** One request of each family, whether it is for everyone. */
const passing: ReadonlyArray<[string, Attempt]> = [
  ["models", (c) => c.models.list()],
  ["images", (c) => c.images.generate({ prompt: "x" })],
  ["audio", (c) => c.audio.speech.create({ model: "tts-1", voice: "alloy", input: "x" })],
  ["files", (c) => c.files.list()],
  ["fine_tuning", (c) => c.fineTuning.jobs.list()],
  ["moderations", (c) => c.moderations.create({ input: "x" })],
  [
    "batches",
    (c) => c.batches.create({ input_file_id: "f", endpoint: "/v1/chat/completions", completion_window: "24h" })
  ],
  ["assistants", (c) => c.beta.assistants.list()],
  ["threads", (c) => c.beta.threads.createAndRun({ assistant_id: "a" })],
  ["vector_stores", (c) => c.vectorStores.list()]
]
const guarded: ReadonlyArray<[string, Attempt]> = [
  ["realtime", (c) => c.realtime.clientSecrets.create({})],
  ["conversations", (c) => c.conversations.create({})],
  ["evals", (c) => c.evals.list()],
  ["containers", (c) => c.containers.list()],
  ["videos", (c) => c.videos.list()],
  ["uploads", send("post", "/uploads")],
  ["organization", send("get", "/organization/admin_api_keys")],
  ["skills", (c) => c.skills.list()],
  ["responses", (c) => c.responses.retrieve("resp_1")],
  ["responses", (c) => c.responses.cancel("resp_1")],
  ["responses", send("get", "/responses/resp_1?stream=true")],
  ["responses", send("post", "/responses/input_tokens")],
  ["chat", (c) => c.chat.completions.list()],
  ["chat", send("post", "/chat/completions/chatcmpl-1")],
  ["agents", send("post", "/agents/sessions")],
  ["live", send("post", "/live/sessions")],
  ["decisions", send("post", "/decisions")],
  ["webhooks", send("get", "/webhooks")],
  ["chatkit", send("post", "/chatkit/sessions")],
  ["engines", send("post", "/engines/davinci/edits")],
  ["constructor", send("get", "/constructor")],
  ["__proto__", send("get", "/__proto__")]
]

/** Requests of families that pass, which reach or change a model. */
const notPassing: ReadonlyArray<[string, string, Attempt]> = [
  ["models", "DELETE /models/x", (c) => c.models.delete("ft:gpt-4o:me::1")],
  ["models", "POST /models/x:generateContent", send("post", "/models/x:generateContent")],
  ["models", "POST /Models//x%3AgenerateContent/", send("post", "/Models//x%3AgenerateContent/")],
  ["models", "POST /models", send("post", "/models")],
  [
    "fine_tuning",
    "graders.run",
    (c) =>
      c.fineTuning.alpha.graders.run({
        grader: { type: "score_model", name: "g", model: "gpt-5-pro", input: [{ role: "user", content: "Hello" }] },
        model_sample: "x"
      })
  ],
  ["fine_tuning", "jobs.create", (c) => c.fineTuning.jobs.create({ model: "gpt-4o", training_file: "f" })],
  ["fine_tuning", "jobs.cancel", (c) => c.fineTuning.jobs.cancel("ftjob-1")],
  ["images", "POST /images/chat", send("post", "/images/chat")],
  ["files", "POST /files/f:ask", send("post", "/files/f:ask")],
  ["threads", "POST /threads/t/answers", send("post", "/threads/t/answers")]
]

const resources = (seen: Awaited<ReturnType<typeof attempt>>) =>
  seen.log.filter(({ kind }) => kind !== "outcome").map((record) => [record.kind, record["tool"]])

describe("a family that passes", () => {
  it.each(passing)("%s, for users, in the log with its end", async (family, run) => {
    const l = lab()
    const seen = await attempt(l, await l.as("alice"), run)
    expect(seen.hits).toHaveLength(1)
    expect(resources(seen)).toEqual([["passthrough", `api:lab/${family}`]])
    expect(kinds(seen, "passthrough")[0]).toMatchObject({ principal: { id: "alice" } })
    expect(kinds(seen, "outcome")).toHaveLength(1)
  })
  it.each(passing)("%s, refused where policy denies it", async (family, run) => {
    const denied = [
      ...policies,
      { policy_id: "user:dora", resources: ["tool:lab/**"], denied_resources: [`api:lab/${family}`] }
    ]
    const l = lab(denied)
    refused("resource_denied")(await attempt(l, await l.as("dora"), run))
  })
})

describe("a request that reaches or changes a model, of a family that passes otherwise", () => {
  it.each(notPassing)("%s: %s is refused to a user", async (family, _name, run) => {
    const l = lab()
    const seen = await attempt(l, await l.as("alice"), run)
    refused("resource_not_allowed")(seen)
    expect(resources(seen)).toEqual([["refused", `api:lab/${family}`]])
    expect(String(seen.error)).toMatch(/this request (?:changes models|can reach a model), so its family/u)
  })
  it.each(notPassing)("%s: %s passes for a user whose policy names the family", async (family, _name, run) => {
    const l = lab([{ policy_id: "user:dora", resources: ["tool:lab/**", `api:lab/${family}`] }])
    const seen = await attempt(l, await l.as("dora"), run)
    expect(seen.hits).toHaveLength(1)
    expect(resources(seen)).toEqual([["passthrough", `api:lab/${family}`]])
  })
  it.each(notPassing)("%s: %s passes for the service", async (_family, _name, run) => {
    const l = lab()
    expect((await attempt(l, l.service, run)).hits).toHaveLength(1)
  })
})

describe("the name beta", () => {
  const three: ReadonlyArray<[string, Attempt]> = [
    ["assistants", (c) => c.beta.assistants.list()],
    ["threads", (c) => c.beta.threads.createAndRun({ assistant_id: "a" })],
    ["vector_stores", (c) => c.vectorStores.list()]
  ]
  it.each(three)("denies %s", async (_family, run) => {
    const l = lab([{ policy_id: "user:dora", resources: ["tool:lab/**"], denied_resources: ["api:lab/beta"] }])
    refused("resource_denied")(await attempt(l, await l.as("dora"), run))
  })
  it.each(three)("denies %s to the service", async (_family, run) => {
    const l = lab([{ policy_id: "app:lab", resources: ["tool:lab/**"], denied_resources: ["api:*/beta"] }])
    refused("resource_denied")(await attempt(l, l.service, run))
  })
})

describe("a family that is not for users", () => {
  it.each(guarded)("%s is refused to a user", async (family, run) => {
    const l = lab()
    const seen = await attempt(l, await l.as("alice"), run)
    refused("resource_not_allowed")(seen)
    expect(resources(seen)).toEqual([["refused", `api:lab/${family}`]])
  })
  it.each(guarded.filter(([family]) => family !== "videos"))(
    "%s passes for the service, in the log",
    async (family, run) => {
      const l = lab()
      const seen = await attempt(l, l.service, run)
      expect(seen.hits).toHaveLength(1)
      expect(resources(seen)).toEqual([["passthrough", `api:lab/${family}`]])
      expect(kinds(seen, "outcome")).toHaveLength(1)
    }
  )
  it("passes for a user whose policy allows it, and no other does", async () => {
    const l = lab()
    const carol = await l.as("carol")
    await carol.conversations.create({})
    await carol.responses.retrieve("resp_1")
    expect(l.provider.hits.map(({ path }) => path)).toEqual(["/conversations", "/responses/resp_1"])
    await expect(carol.containers.list()).rejects.toBeInstanceOf(PolicyDeniedError)
    await expect(carol.files.list()).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(l.provider.hits).toHaveLength(2)
  })
  it("is refused to the service where its own policy denies it", async () => {
    const l = lab()
    refused("resource_denied")(await attempt(l, l.service, (c) => c.videos.list()))
  })
})

/** A server that takes every WebSocket, and keeps the requests that asked for one. */
let sockets: { readonly server: Server; readonly url: string; readonly hits: Array<IncomingMessage> }
beforeEach(async () => {
  const hits: Array<IncomingMessage> = []
  const server = createServer((_request, response) => response.end("{}"))
  server.on("upgrade", (request, socket) => {
    hits.push(request)
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64")
    const protocol = request.headers["sec-websocket-protocol"]?.split(",")[0]
    socket.on("error", () => {})
    socket.end(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${protocol === undefined ? "" : `Sec-WebSocket-Protocol: ${protocol}\r\n`}\r\n`
    )
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  sockets = { server, hits, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
})
afterEach(async () => {
  sockets.server.closeAllConnections()
  await new Promise((resolve) => sockets.server.close(resolve))
})

/** A key that signs in its own time, as one that is held elsewhere does. */
const later = (): RemoteSigner => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  const { x = "" } = publicKey.export({ format: "jwk" })
  return {
    kid: thumbprint(x),
    jwk: { kty: "OKP", crv: "Ed25519", x },
    sign: (bytes) => Effect.promise(async () => new Uint8Array(sign(null, bytes, privateKey)))
  }
}

interface Emitter {
  on(event: "error", listener: () => void): unknown
  readonly url: URL
}
const classes: ReadonlyArray<[string, (client: OpenAI) => Emitter]> = [
  ["ResponsesWS", (client) => new ResponsesWS(client) as never],
  ["the beta's ResponsesWS", (client) => new BetaResponsesWS(client) as never],
  ["OpenAIRealtimeWS", (client) => new OpenAIRealtimeWS({ model: "gpt-realtime" }, client) as never],
  ["OpenAIRealtimeWebSocket", (client) => new OpenAIRealtimeWebSocket({ model: "gpt-realtime" }, client) as never],
  ["LiveWS", (client) => new LiveWS(client) as never]
]
const upgraded = async () => {
  for (let i = 0; i < 200 && sockets.hits.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
}

describe("a WebSocket", () => {
  it.each(classes)("%s of a user is refused, and the log says so", async (_name, open) => {
    const l = lab()
    const alice = await l.as("alice", { baseURL: sockets.url })
    expect(() => open(alice)).toThrow(PolicyDeniedError)
    await l.workspace.ready()
    await new Promise((resolve) => setTimeout(resolve, 20))
    const log = (await l.records()).filter(({ kind }) => kind === "refused")
    expect(log).toMatchObject([
      { tool: "api:lab/realtime", stage: "egress", code: "resource_not_allowed", status: 403 }
    ])
    expect(sockets.hits).toEqual([])
  })
  it.each(classes)("%s of a service made just now opens, and is in the log before it does", async (_name, open) => {
    const l = lab()
    const service = l.service.withOptions({ baseURL: sockets.url })
    const socket = open(service)
    socket.on("error", () => {})
    const log = (await l.records()).filter((record) => record["call"] !== undefined)
    expect(log[0]).toMatchObject({
      kind: "passthrough",
      tool: "api:lab/realtime",
      principal: { kind: "app", id: "lab" }
    })
    // The realtime classes speak TLS alone: no handshake of theirs can end here.
    if (socket.url.protocol === "ws:") {
      await upgraded()
      expect(sockets.hits).toHaveLength(1)
    }
    const ended = (await l.records()).filter(({ kind }) => kind === "outcome")
    expect(new Set(ended.map((record) => record["result"]))).toEqual(new Set(["unknown"]))
  })
  it.each(classes)("%s of a service whose policy denies it is refused", async (_name, open) => {
    const l = lab([{ policy_id: "app:lab", resources: ["tool:lab/**"], denied_resources: ["api:lab/realtime"] }])
    expect(() => open(l.service.withOptions({ baseURL: sockets.url }))).toThrow(PolicyDeniedError)
    await new Promise((resolve) => setTimeout(resolve, 20))
    const log = (await l.records()).filter(({ kind }) => kind === "refused")
    expect(log).toMatchObject([{ tool: "api:lab/realtime", stage: "policy", code: "policy_denied" }])
    expect(sockets.hits).toEqual([])
  })
  const onDisk = (more: WorkspaceOptions) => {
    const home = mkdtempSync(join(tmpdir(), "secure-openai-sockets-"))
    const policies = join(home, "policies")
    mkdirSync(policies)
    writeFileSync(join(policies, "lab.json"), JSON.stringify({ policy_id: "app:lab", resources: ["api:lab/**"] }))
    const workspace = new Workspace({ home, policies, ...more })
    const client = new SecureOpenAI({ apiKey: "k", baseURL: sockets.url, appName: "lab", workspace })
    return {
      client,
      policies,
      workspace,
      end: async () => {
        await client.close()
        await workspace.close()
        rmSync(home, { recursive: true })
      }
    }
  }
  it("opens at once with a log on the disk and policies in a folder, and the log is whole", async () => {
    const { client, end, workspace } = onDisk({})
    new ResponsesWS(client).on("error", () => {})
    await upgraded()
    const log = await workspace.records()
    expect(log.map(({ kind }) => kind).slice(-3)).toEqual(["policy.activated", "passthrough", "outcome"])
    await end()
  })
  it("does not open where policies do not load, before a key held elsewhere has signed, nor after the end", async () => {
    const { client, end, policies } = onDisk({})
    writeFileSync(join(policies, "lab.json"), "{")
    expect(() => new ResponsesWS(client)).toThrow(ConfigurationError)
    await end()
    const elsewhere = onDisk({ signer: Signer.layer({ agent: later(), log: later() }) })
    expect(() => new ResponsesWS(elsewhere.client)).toThrow(EnforcementUnavailableError)
    expect(() => new ResponsesWS(elsewhere.client)).toThrow(/await client\.ready\(\)/)
    await elsewhere.client.ready()
    expect(sockets.hits).toEqual([])
    new ResponsesWS(elsewhere.client).on("error", () => {})
    await upgraded()
    expect(sockets.hits).toHaveLength(1)
    await elsewhere.end()
    expect(() => new ResponsesWS(elsewhere.client)).toThrow(ClosedError)
    expect(sockets.hits).toHaveLength(1)
  })
  it("of a user is refused through `create` too, where keys come from a function", async () => {
    const l = lab()
    const alice = await l.as("alice", { apiKey: async () => "k" })
    await expect(OpenAIRealtimeWS.create(alice, { model: "gpt-realtime" })).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(sockets.hits).toEqual([])
  })
})
