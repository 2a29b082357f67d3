import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import type * as Index from "../../src/index.ts"
import { lease, shared } from "../../src/base/Shared.ts"
import type * as TestingIndex from "../../src/testing/index.ts"

type Library = typeof Index
type Testing = typeof TestingIndex

/** Another copy of the library, as `require` loads one beside `import`: its modules, classes and variables are its own. */
const copy = async (): Promise<{ readonly library: Library; readonly testing: Testing }> => {
  vi.resetModules()
  return { library: await import("../../src/index.ts"), testing: await import("../../src/testing/index.ts") }
}

const { library: a, testing } = await copy()
const { library: b } = await copy()

const answer = {
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "gpt-4o",
  choices: [{ index: 0, message: { role: "assistant", content: "Hi", refusal: null }, finish_reason: "stop" }]
}
const fetch = (): Promise<Response> => Promise.resolve(Response.json(answer))
const body = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Hello" }] }

const rejected = (promise: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(promise).then(
    () => undefined,
    (error: unknown) => error
  )

const thrown = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

let home: string
beforeEach(() => {
  home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-copies-"))
})
afterEach(() => {
  vi.unstubAllEnvs()
  Fs.rmSync(home, { recursive: true, force: true })
})

const policies = { policy_id: "app:shop", resources: ["tool:shop/**"], constraints: { rate_limit: 2 } }

describe("two copies in one process", () => {
  it("their default workspaces share one log, its receipts, and the counters of rate limits", async () => {
    Fs.writeFileSync(Path.join(home, "policies.json"), JSON.stringify(policies))
    vi.stubEnv("SECURE_OPENAI_HOME", Path.join(home, "home"))
    vi.stubEnv("SECURE_OPENAI_POLICIES", Path.join(home, "policies.json"))
    expect(a.SecureOpenAI).not.toBe(b.SecureOpenAI)
    const first = new a.SecureOpenAI({ apiKey: "unused", appName: "shop", fetch })
    await first.ready()
    // What is set later is for a default workspace that is opened later.
    vi.stubEnv("SECURE_OPENAI_HOME", Path.join(home, "other"))
    const second = new b.SecureOpenAI({ apiKey: "unused", appName: "shop", fetch })
    try {
      const one = await first.chat.completions.create(body)
      const two = await second.chat.completions.create(body)
      expect(b.SecureOpenAI.receipt(one)?.verdict).toBe("allow")
      for (const client of [first, second]) {
        const error = await rejected(client.chat.completions.create(body))
        expect(error).toMatchObject({ status: 429, code: "policy_rate_limit" })
        expect(error).toBeInstanceOf(a.PolicyRateLimitError)
        expect(error).toBeInstanceOf(b.PolicyRateLimitError)
      }
      expect(two.choices[0]?.message.content).toBe("Hi")
      const records = await second.workspace.records()
      expect(records).toEqual(await first.workspace.records())
      expect(records.filter(({ kind }) => kind === "log.open")).toHaveLength(1)
      expect(records.filter(({ kind }) => kind === "decision")).toHaveLength(2)
      expect(Fs.readdirSync(Path.join(home, "home")).filter((name) => name.startsWith("audit"))).toEqual(["audit"])
      expect(Fs.existsSync(Path.join(home, "other"))).toBe(false)
    } finally {
      await first.workspace.close()
      // The log stays open for the other copy.
      expect((await second.workspace.records()).at(-1)?.kind).not.toBe("log.close")
      await second.workspace.close()
    }
  })

  it("what is left of a limit is in the log, for a later workspace of another copy too", async () => {
    const call = async ({ SecureOpenAI, Workspace }: Library): Promise<unknown> => {
      const workspace = await Workspace.open({ home, policies: { ...policies, constraints: { rate_limit: 1 } } })
      const client = new SecureOpenAI({ apiKey: "unused", appName: "shop", fetch, workspace })
      return rejected(client.chat.completions.create(body)).finally(() => workspace.close())
    }
    expect(await call(a)).toBeUndefined()
    expect(await call(b)).toMatchObject({ code: "policy_rate_limit" })
  })

  it("an invocation that was used in one is used in the other", async () => {
    const open = ({ Replay }: Library) => {
      const runtime = ManagedRuntime.make(Replay.layerShared(home))
      return { use: () => runtime.runPromise(Replay.use((replay) => replay.use(used))), close: () => runtime.dispose() }
    }
    const iat = Math.floor(Date.now() / 1000) + 1
    const used = { iss: "agent:a", jti: "1", iat, exp: iat + 30 }
    const [first, second] = [open(a), open(b)]
    expect([await first.use(), await second.use()]).toEqual([true, false])
    await Promise.all([first.close(), second.close()])
    const third = open(b)
    expect(await third.use()).toBe(true)
    await third.close()
  })

  it("an object of the other is refused, with whose it is", async () => {
    const { options, mint } = testing.makeIssuer("https://issuer.test", "app")
    const workspace = await a.Workspace.open({ audit: "memory", issuers: options })
    const mine = new b.SecureOpenAI({ apiKey: "unused", audit: "memory", issuers: options })
    const theirs = new a.SecureOpenAI({ apiKey: "unused", workspace })
    try {
      const agent = await new a.AgentClient({ iamToken: mint(), workspace }).register()
      const named = /was made by the ES module copy of secure-openai in .*, and this is the ES module copy/
      const refusals = {
        workspace: thrown(() => new b.SecureOpenAI({ workspace: workspace as never })),
        "workspace of an agent": thrown(() => new b.AgentClient({ workspace: workspace as never })),
        agent: thrown(() => mine.bindToUser(agent as never)),
        "secureFetch's client": thrown(() => b.secureFetch(theirs as never)),
        nothing: thrown(() => new b.SecureOpenAI({ workspace: {} as never })),
        "a client's options": thrown(() => new b.SecureOpenAI(theirs["_options"]))
      }
      expect(refusals).toEqual({
        workspace: expect.objectContaining({ code: "configuration", message: expect.stringMatching(named) }),
        "workspace of an agent": expect.objectContaining({
          code: "configuration",
          message: expect.stringMatching(named)
        }),
        agent: expect.objectContaining({ code: "other_copy", message: expect.stringMatching(named) }),
        "secureFetch's client": expect.objectContaining({
          code: "configuration",
          message: expect.stringMatching(named)
        }),
        nothing: expect.objectContaining({ code: "configuration", message: expect.stringMatching(/it is none/) }),
        "a client's options": expect.objectContaining({ message: expect.stringMatching(/options of a secure client/) })
      })
      for (const error of Object.values(refusals).slice(0, 2)) expect(error).toBeInstanceOf(a.ConfigurationError)
    } finally {
      await mine.close()
      await workspace.close()
    }
  })

  it("the classes of errors are told apart as in one copy", () => {
    class Own extends b.ConfigurationError {}
    const closed = new a.ClosedError()
    expect(closed).toBeInstanceOf(b.ClosedError)
    expect(closed).not.toBeInstanceOf(b.ConfigurationError)
    expect(new a.ConfigurationError("")).not.toBeInstanceOf(Own)
    expect(new Own("")).toBeInstanceOf(Own)
    expect(new Own("")).toBeInstanceOf(a.ConfigurationError)
    expect(new a.EnforcementUnavailable({ stage: "audit", message: "" })).toBeInstanceOf(b.EnforcementUnavailable)
    expect(null).not.toBeInstanceOf(b.ClosedError)
  })
})

describe("what is shared", () => {
  it("has its place under the major version of the package", () => {
    const { version } = JSON.parse(Fs.readFileSync("package.json", "utf8")) as { readonly version: string }
    const place = Symbol.for(`secure-openai/${version.split(".")[0]}`)
    expect(shared("logs", () => new Map())).toBe((Reflect.get(globalThis, place) as Map<string, unknown>).get("logs"))
  })

  it("a lease is for as long as somebody has it", () => {
    let made = 0
    const take = () => lease("test", "key", () => ++made)
    const [first, second] = [take(), take()]
    expect([first.value, second.value]).toEqual([1, 1])
    first.release()
    expect(take().value).toBe(1)
  })
})

it("secure() refuses a client class of another copy of openai", () => {
  const other: unknown = createRequire(import.meta.url)("openai")
  expect(() => a.secure(other as never)).toThrow(/of the copy of openai that this library has/)
})
