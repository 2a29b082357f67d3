import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { calculateJwkThumbprint, compactVerify, importJWK } from "jose"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { parseNote, parseVerifierKeys } from "../../src/audit/proof/Checkpoint.ts"
import { folderReader } from "../../src/audit/folder/FolderReader.ts"
import { verify } from "../../src/audit/proof/Verify.ts"
import { Keys, thumbprint } from "../../src/keys/Keys.ts"
import {
  AgentClient,
  ConfigurationError,
  EnforcementUnavailableError,
  Receipt,
  type RemoteSigner,
  SecureOpenAI,
  Signer,
  Workspace
} from "../../src/index.ts"
import { type Provider, startProvider } from "./Provider.ts"

type Jwk = RemoteSigner["jwk"]
type Manner = "ok" | "slow" | "down" | "wrong" | "short"

let provider: Provider
let server: ChildProcess.ChildProcess
let told: { readonly port: number; readonly agent: Jwk; readonly log: Jwk }
let home = ""
beforeAll(async () => {
  provider = await startProvider()
  server = ChildProcess.spawn(process.execPath, [Path.join(import.meta.dirname, "signingServer.ts")], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  told = JSON.parse(
    await new Promise<string>((resolve) => server.stdout?.once("data", (data) => resolve(String(data))))
  )
  home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "signer-"))
})
afterAll(async () => {
  server.kill()
  await provider.close()
  Fs.rmSync(home, { recursive: true })
})
afterEach(async () => {
  await behave({ agent: "ok", log: "ok" })
  provider.hits.length = 0
})

const behave = async (manners: Partial<Record<"agent" | "log", Manner>>): Promise<number> =>
  Number(await (await fetch(`http://127.0.0.1:${told.port}/behave?${new URLSearchParams(manners)}`)).text())

const remote = (purpose: "agent" | "log"): RemoteSigner => ({
  kid: thumbprint(told[purpose].x),
  jwk: { kty: "OKP", crv: "Ed25519", x: told[purpose].x },
  sign: (bytes) =>
    Effect.tryPromise(async (signal) => {
      const answer = await fetch(`http://127.0.0.1:${told.port}/${purpose}`, {
        method: "POST",
        body: Buffer.from(bytes),
        signal
      })
      if (!answer.ok) throw new Error(`the signing server answered ${answer.status}`)
      return new Uint8Array(await answer.arrayBuffer())
    })
})
const signers = () => Signer.layer({ agent: remote("agent"), log: remote("log") })
const ask = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Hello" }] }
const open = (workspace: Workspace) =>
  new SecureOpenAI({ apiKey: "k", baseURL: provider.url, maxRetries: 0, workspace })

describe("keys that another process holds", () => {
  it("sign envelopes, receipts and checkpoints; nothing of them is in this process", async () => {
    const folder = Path.join(home, "a")
    const before = await behave({})
    {
      await using workspace = new Workspace({ home: folder, signer: signers() })
      await using client = open(workspace)
      const answer = await client.chat.completions.create(ask)
      const receipt = SecureOpenAI.receipt(answer)!
      expect(() => receipt.jws).toThrow(/await receipt.sign\(\)/)
      const jws = await receipt.sign()
      expect(receipt.jws).toBe(jws)
      const key = await importJWK(told.agent, "Ed25519")
      await compactVerify(jws, key)
      await compactVerify(receipt.envelope, key)
      expect(Receipt.verifyInLog(jws, await workspace.records()).valid).toBe(true)
      // An agent of this process has its own key, and the service's envelope follows it.
      const agent = await new AgentClient({ agentType: "agent", workspace }).register()
      client.registerTool("look", () => "seen")
      expect(await agent.invokeTool("tool:secure-openai-app/look", {}, { targetAgent: client.serverId })).toBe("seen")
    }
    expect(await behave({})).toBeGreaterThan(before + 4)
    const vkeys = Result.getOrThrow(parseVerifierKeys(Fs.readFileSync(Path.join(folder, "audit/vkey"), "utf8")))
    expect(vkeys.map(({ publicKey }) => Buffer.from(publicKey).toString("base64url"))).toEqual([told.log.x])
    const report = await Effect.runPromise(verify({ log: folderReader(Path.join(folder, "audit")) }))
    expect(report).toMatchObject({ ok: true, unsigned: 0 })
    expect(await calculateJwkThumbprint(told.log)).toBe(remote("log").kid)
    // The next process goes on with the same log.
    await using workspace = new Workspace({ home: folder, signer: signers() })
    await open(workspace).chat.completions.create(ask)
    expect(report.records).toBeLessThan((await workspace.records()).length)
  })

  it.each<readonly [Manner, RegExp]>([
    ["down", /did not sign/],
    ["slow", /no signature within 5 seconds/],
    ["wrong", /not by its key/],
    ["short", /not by its key/]
  ])(
    "fail closed where the agent key's signer is %s, and go on once it is not",
    async (manner, message) => {
      await using workspace = new Workspace({ audit: "memory", signer: signers() })
      await using client = open(workspace)
      await client.chat.completions.create(ask)
      await behave({ agent: manner })
      const refused: unknown = await client.chat.completions.create(ask).catch((error: unknown) => error)
      expect(refused).toBeInstanceOf(EnforcementUnavailableError)
      expect(refused).toMatchObject({ status: 503, code: "enforcement_unavailable" })
      expect(String(refused)).toMatch(message)
      expect(String(refused)).toMatch(/See that it runs and can be reached/)
      expect(provider.hits).toHaveLength(1)
      const record = (await workspace.records()).findLast(({ kind }) => kind === "refused")
      expect(record).toMatchObject({ stage: "signing", status: 503 })
      await behave({ agent: "ok" })
      await client.chat.completions.create(ask)
      expect(provider.hits).toHaveLength(2)
    },
    20_000
  )

  it("a receipt that could not be signed can be signed later", async () => {
    await using workspace = new Workspace({ audit: "memory", signer: signers() })
    await using client = open(workspace)
    const receipt = SecureOpenAI.receipt(await client.chat.completions.create(ask))!
    await behave({ agent: "down" })
    await expect(receipt.sign()).rejects.toBeInstanceOf(EnforcementUnavailableError)
    await behave({ agent: "ok" })
    expect(Receipt.verify(await receipt.sign(), told.agent).valid).toBe(true)
  })

  it.each<Manner>(["down", "wrong"])("open no log where the log key's signer is %s", async (manner) => {
    await behave({ log: manner })
    const folder = Path.join(home, `b-${manner}`)
    await using workspace = new Workspace({ home: folder, signer: signers() })
    const refused: unknown = await workspace.ready().catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(EnforcementUnavailableError)
    expect(String(refused)).toMatch(/checkpoint could not be signed[^]*See that it runs/)
    await behave({ log: "ok" })
    await using again = new Workspace({ home: folder, signer: signers() })
    await open(again).chat.completions.create(ask)
  })

  it("go on for a while where checkpoints are not signed, and sign what they owe", async () => {
    const folder = Path.join(home, "c")
    const note = () => Result.getOrThrow(parseNote(Fs.readFileSync(Path.join(folder, "audit/checkpoint"), "utf8")))
    await using workspace = new Workspace({ home: folder, signer: signers() })
    await using client = open(workspace)
    await client.chat.completions.create(ask)
    await behave({ log: "down" })
    await client.chat.completions.create(ask)
    const { size } = note()
    await behave({ log: "ok" })
    const count = (await workspace.records()).length
    await expect.poll(() => note().size, { timeout: 10_000 }).toBeGreaterThanOrEqual(count)
    expect(note().size).toBeGreaterThan(size)
  }, 20_000)

  it("are what they say they are", async () => {
    const bad: ReadonlyArray<Layer.Layer<Signer>> = [
      Signer.layer({ agent: { ...remote("agent"), kid: "x" } }),
      Signer.layer({ agent: { ...remote("agent"), jwk: { ...remote("agent").jwk, x: "AA" } } }),
      Signer.layer({ agent: { ...remote("agent"), jwk: { ...remote("agent").jwk, crv: "X25519" as never } } }),
      Signer.layer({ agent: remote("agent"), log: remote("agent") })
    ]
    for (const signer of bad) {
      await using workspace = new Workspace({ audit: "memory", signer })
      await expect(workspace.ready()).rejects.toBeInstanceOf(ConfigurationError)
    }
    const keys = await Effect.runPromise(
      Effect.provide(Keys, Signer.keys(Keys.layerMemory).pipe(Layer.provide(Signer.layer({ log: remote("log") }))))
    )
    expect(["sign" in keys.agent, "signLater" in keys.log]).toEqual([true, true])
  })
})
