/** What the log has on the disk right behind an answer: all of it, once `flush()` has settled. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { OpenAI } from "openai"
import { afterAll, describe, expect, it } from "vitest"
import { EnforcementUnavailableError, type SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { answerAndKill, endsIn } from "./answerKills.ts"
import { kinds } from "./answerKinds.ts"
import { openProvider } from "./fixture.ts"

const { openClient, opens, provider } = await openProvider()
const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-flush-"))
afterAll(() => Fs.rmSync(root, { recursive: true, force: true }))

const open = (durability: "durable" | "batched" = "durable") => {
  const home = Fs.mkdtempSync(Path.join(root, "home-"))
  const path = Path.join(home, "audit")
  const policies = [
    { policy_id: "app:lab", resources: ["tool:lab/**"] },
    { policy_id: "user:alice", resources: ["tool:lab/**", "api:lab/**"] }
  ]
  const workspace = opens(new Workspace({ home, issuers: testIssuer, policies, audit: { path, durability } }))
  return { service: openClient({ appName: "lab", workspace }), workspace, path }
}

const all: Readonly<Record<string, (client: SecureOpenAI) => Promise<unknown>>> = {
  ...kinds,
  "a list": async (client) => client.models.list(),
  "a list by pages": async (client) => Array.fromAsync(client.files.list()),
  "a family": async (client) => client.moderations.create({ input: "Hello" })
}

describe("flush()", () => {
  it.each(Object.entries(all))("has the outcome on the disk that is not there without it: %s", async (_kind, ask) => {
    const { path, service } = open()
    await service.ready()
    await ask(service)
    const before = endsIn(path)
    await service.flush()
    expect([before, endsIn(path)]).toEqual([[], ["complete"]])
  })

  it("waits for the disk where calls do not", async () => {
    const { path, service } = open("batched")
    await service.ready()
    await kinds["chat"]!(service)
    const before = endsIn(path)
    await service.flush()
    expect([before, endsIn(path)]).toEqual([[], ["complete"]])
  })

  it("is a bound client's too, while it is bound and afterwards", async () => {
    const { path, service } = open()
    const user = await service.asUser(mintToken({ sub: "alice" }))
    await kinds["chat"]!(user)
    expect(await user.flush()).toBeUndefined()
    expect(endsIn(path)).toEqual(["complete"])
    const stream = kinds["stream to a browser"]!(user)
    await user[Symbol.asyncDispose]()
    await stream
    await user.flush()
    expect(endsIn(path)).toEqual(["complete", "complete"])
  })

  it("has the end of a stream that was left, and of a call that was aborted", async () => {
    const { path, service } = open()
    await service.ready()
    const params: OpenAI.Chat.ChatCompletionCreateParamsStreaming = { model: "gpt-4o", messages: [], stream: true }
    for await (const _ of await service.chat.completions.create(params)) break
    await service.flush()
    provider.behave({ hang: true })
    const leaving = new AbortController()
    const call = service.chat.completions.create(params, { signal: leaving.signal }).catch(() => {})
    setTimeout(() => leaving.abort(), 5)
    await call
    await service.flush()
    expect(endsIn(path)).toEqual(["abandoned", "aborted"])
  })

  it("is called at any time, and rejects where the log is closed", async () => {
    const { path, service, workspace } = open()
    await Promise.all([service.flush(), workspace.flush()])
    await workspace.close()
    await expect(service.flush()).rejects.toMatchObject({ code: "client_closed" })
    const file = Path.join(root, "file")
    Fs.writeFileSync(file, "")
    const broken = opens(new Workspace({ home: path, audit: { path: file } }))
    await expect(broken.flush()).rejects.toBeInstanceOf(EnforcementUnavailableError)
  })
})

describe("a process that is killed right behind its answer", () => {
  it("leaves an unknown outcome, and with flush() a complete one", async () => {
    const left = await Promise.all([answerAndKill("chat", false), answerAndKill("stream", true)])
    expect(left).toEqual([["unknown"], ["complete"]])
  })
})
