import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { OpenAI } from "openai"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import {
  AgentClient,
  ConfigurationError,
  EnforcementUnavailableError,
  IdentityError,
  SecureOpenAI,
  Workspace
} from "../../src/index.ts"
import { mintToken } from "../../src/testing/index.ts"
import { type Provider, startProvider } from "./Provider.ts"

const exec = promisify(ChildProcess.execFile)
const messages = [{ role: "user" as const, content: "Hello" }]

let provider: Provider
beforeAll(async () => {
  provider = await startProvider()
})
afterAll(() => provider.close())

let home: string
const opened: Array<{ close(): Promise<void> }> = []
beforeEach(() => {
  home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-"))
})
afterEach(async () => {
  provider.behave({})
  for (const each of opened.splice(0)) await each.close()
  Fs.rmSync(home, { recursive: true, force: true })
})

const open = async (options: ConstructorParameters<typeof Workspace>[0] = {}) => {
  const workspace = await Workspace.open({ home, ...options })
  opened.push(workspace)
  return workspace
}
const client = (workspace: Workspace) =>
  new SecureOpenAI({ appName: "app", apiKey: "k", baseURL: provider.url, maxRetries: 0, workspace })
const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as Error
  )
const write = (name: string, text: string) => {
  const path = Path.join(home, name)
  Fs.mkdirSync(Path.dirname(path), { recursive: true })
  Fs.writeFileSync(path, text)
  return path
}

describe("options", () => {
  it.each([
    [{ appname: "x" }, /Unknown option "appname"/],
    [{ userName: "alice" }, /userName needs a jwtToken/],
    [{ intentPolicy: { constraints: { parameters: { "tool:*": { n: { max: "two" } } } } } }, /intentPolicy/]
  ])("refuses %j", (options, message) => {
    const made = () => new SecureOpenAI({ apiKey: "k", ...options } as never)
    expect(made).toThrow(ConfigurationError)
    expect(made).toThrow(message)
  })

  it("refuses a workspace beside its parts, and unknown options of workspaces and agents", () => {
    expect(() => new SecureOpenAI({ apiKey: "k", workspace: new Workspace(), audit: "memory" })).toThrow(/not both/)
    expect(() => new Workspace({ polices: [] } as never)).toThrow(/Unknown option "polices"/)
    expect(() => new AgentClient({ token: "x", workspace: new Workspace() } as never)).toThrow(/Unknown option "token"/)
    expect(() => new AgentClient({ agentType: "agent", iamToken: "x", workspace: new Workspace() })).toThrow(
      /takes no iamToken/
    )
  })

  it("takes every option of the SDK", () => {
    const made = new SecureOpenAI({
      apiKey: "k",
      adminAPIKey: null,
      organization: "o",
      project: "p",
      webhookSecret: "w",
      baseURL: provider.url,
      timeout: 1,
      maxRetries: 1,
      defaultHeaders: { a: "b" },
      defaultQuery: { c: "d" },
      dangerouslyAllowBrowser: true,
      logLevel: "off",
      logger: console,
      fetch: globalThis.fetch,
      fetchOptions: {}
    })
    expect([made.organization, made.project, made.timeout, made.maxRetries]).toEqual(["o", "p", 1, 1])
  })

  it("misses an API key as the SDK does", () => {
    const saved = process.env["OPENAI_API_KEY"]
    delete process.env["OPENAI_API_KEY"]
    const messageOf = (make: () => unknown) => {
      try {
        make()
        return "made"
      } catch (error) {
        return String(error)
      }
    }
    try {
      expect(messageOf(() => new SecureOpenAI())).toBe(messageOf(() => new OpenAI()))
      expect(messageOf(() => new SecureOpenAI())).toContain("Missing credentials")
    } finally {
      if (saved !== undefined) process.env["OPENAI_API_KEY"] = saved
    }
  })
})

describe("policies that do not load", () => {
  it.each([
    ["is no JSON", '{\n  "policy_id": "user:x",\n  "resources": [oops]\n}', ["broken.json", "3"]],
    [
      "has an unknown key",
      '{\n  "policy_id": "user:x",\n  "resorces": []\n}',
      ["broken.json", "3", "resorces", "resources"]
    ],
    [
      "has a parent that is missing",
      '{ "policy_id": "user:x", "extends": "team:nowhere" }',
      ["broken.json", "user:x", "team:nowhere"]
    ],
    [
      "is its own ancestor",
      '[{ "policy_id": "team:a", "extends": "team:b" }, { "policy_id": "team:b", "extends": "team:a" }]',
      ["team:a", "team:b"]
    ],
    ["is there twice", '[{ "policy_id": "user:x" }, { "policy_id": "user:x" }]', ["user:x"]]
  ])("says where: a document that %s", async (_what, text, telling) => {
    write("policies/broken.json", text)
    const error = await errorOf(open({ policies: Path.join(home, "policies"), audit: "memory" }))
    expect(error).toBeInstanceOf(ConfigurationError)
    for (const part of telling) expect(error?.message).toContain(part)
  })

  it("says so for a folder that is not there or empty", async () => {
    for (const policies of [Path.join(home, "nowhere"), home])
      expect(await errorOf(open({ policies, audit: "memory" }))).toBeInstanceOf(ConfigurationError)
  })

  it("refuses every call of a client whose policies do not load", async () => {
    const workspace = new Workspace({ policies: Path.join(home, "nowhere"), audit: "memory" })
    opened.push(workspace)
    const error = await errorOf(client(workspace).chat.completions.create({ model: "gpt-4", messages }))
    expect(error).toBeInstanceOf(ConfigurationError)
    expect(provider.hits).toHaveLength(0)
  })
})

describe("the home", () => {
  it("keeps keys to itself, and stays out of version control", async () => {
    const workspace = await open()
    await client(workspace).chat.completions.create({ model: "gpt-4", messages })
    await workspace.close()
    expect(Fs.readFileSync(Path.join(home, ".gitignore"), "utf8")).toBe("*\n")
    for (const name of Fs.readdirSync(Path.join(home, "keys")))
      expect([name, Fs.statSync(Path.join(home, "keys", name)).mode & 0o777]).toEqual([name, 0o600])
    const log = Fs.readdirSync(Path.join(home, "audit/journal"))
      .map((name) => Fs.readFileSync(Path.join(home, "audit/journal", name), "utf8"))
      .join("")
    expect(log).not.toContain("Hello")
    expect(log).not.toContain('"k"')
  })

  it("refuses keys that others can read, and says what to run", async () => {
    await (await open()).close()
    Fs.chmodSync(Path.join(home, "keys/agent.pem"), 0o644)
    const readable = await errorOf(open())
    expect(readable).toBeInstanceOf(ConfigurationError)
    expect(readable?.message).toContain("chmod 600")
    Fs.chmodSync(Path.join(home, "keys/agent.pem"), 0o600)
    Fs.chmodSync(Path.join(home, "keys"), 0o755)
    expect((await errorOf(open()))?.message).toContain("chmod 700")
  })

  it("names the way out where it cannot be made", async () => {
    const file = write("file", "")
    const error = await errorOf(open({ home: Path.join(file, "home") }))
    expect(error).toBeInstanceOf(ConfigurationError)
    expect(error?.message).toMatch(/SECURE_OPENAI_HOME.*audit: "memory"/)
  })

  it("refuses a named log that another process has, and opens a sibling of the default one", async () => {
    const audit = { path: Path.join(home, "log") }
    const script = `
      import { Workspace } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)}
      const workspace = await Workspace.open({ home: ${JSON.stringify(home)}, audit: ${JSON.stringify(audit)} })
      const other = await Workspace.open({ home: ${JSON.stringify(home)} })
      console.log("open")
      setTimeout(() => {}, 30000)`
    const holder = ChildProcess.spawn(process.execPath, ["--input-type=module", "-e", script])
    try {
      await new Promise((resolve, reject) => {
        holder.stdout.once("data", resolve)
        holder.stderr.once("data", (data: Buffer) => reject(new Error(String(data))))
      })
      const error = await errorOf(open({ audit }))
      expect(error).toBeInstanceOf(EnforcementUnavailableError)
      expect(error).toMatchObject({ status: 503 })
      expect(error?.message).toContain(String(holder.pid))
      const sibling = await open()
      await client(sibling).chat.completions.create({ model: "gpt-4", messages })
      expect(Fs.existsSync(Path.join(home, "audit-2/journal"))).toBe(true)
    } finally {
      holder.kill("SIGKILL")
    }
  })
})

describe("the default workspace", () => {
  it("comes from the environment", async () => {
    const policies = write("policies/app.json", '{ "policy_id": "app:env-app", "resources": ["tool:env-app/embed"] }')
    const script = `
      import { SecureOpenAI, AgentClient } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)}
      const client = new SecureOpenAI({ appName: "env-app", apiKey: "k", baseURL: ${JSON.stringify(provider.url)} })
      const code = (e) => e.code
      console.log(await client.chat.completions.create({ model: "gpt-4", messages: [] }).catch(code))
      console.log((await client.embeddings.create({ model: "text-embedding-3-small", input: "x" })).data.length)
      const agent = await new AgentClient({ agentType: "agent" }).register()
      const found = await agent.invokeTool("tool:env-app/none", {}, { targetAgent: client.serverId }).catch(code)
      console.log(found !== "not_registered")`
    const { stdout } = await exec(process.execPath, ["--input-type=module", "-e", script], {
      cwd: home,
      env: { ...process.env, SECURE_OPENAI_HOME: Path.join(home, "h"), SECURE_OPENAI_POLICIES: Path.dirname(policies) }
    })
    expect(stdout.trim().split("\n")).toEqual(["policy_denied", "1", "true"])
    const observing = await exec(process.execPath, ["--input-type=module", "-e", script], {
      cwd: home,
      env: {
        ...process.env,
        SECURE_OPENAI_HOME: Path.join(home, "o"),
        SECURE_OPENAI_POLICIES: Path.dirname(policies),
        SECURE_OPENAI_POLICY_MODE: "observe"
      }
    })
    expect(observing.stdout).not.toContain("policy_denied")
    expect(Fs.existsSync(Path.join(home, "h/audit/journal"))).toBe(true)
  })

  it("refuses user mode with a message that says what to set", async () => {
    const workspace = await open({ audit: "memory" })
    const error = await errorOf(
      new SecureOpenAI({ apiKey: "k", baseURL: provider.url, workspace, jwtToken: mintToken() }).ready()
    )
    expect(error).toBeInstanceOf(IdentityError)
    expect(error?.message).toMatch(/issuers|SECURE_OPENAI_ISSUER/)
  })
})

describe("a service", () => {
  it("is reached by agents for as long as its client lives", async () => {
    const script = `
      import { AgentClient, SecureOpenAI, Workspace } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)}
      const workspace = new Workspace({ audit: "memory" })
      const client = new SecureOpenAI({ appName: "a", apiKey: "k", baseURL: ${JSON.stringify(provider.url)}, workspace })
      const agent = await new AgentClient({ agentType: "agent", appName: "planner", workspace }).register()
      for (let i = 0; i < 10; i++) {
        gc()
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      const raw = await agent.invokeTool("tool:a/generate", { model: "gpt-4", messages: [] }, { targetAgent: client.serverId })
      console.log(raw.choices[0].message.content)`
    const { stdout } = await exec(process.execPath, ["--expose-gc", "--input-type=module", "-e", script])
    expect(stdout.trim()).toBe("hi from gpt-4")
  })
})

describe("a stream that nobody reads", () => {
  const script = (ending: string) => `
    import { SecureOpenAI, Workspace } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)}
    const workspace = new Workspace({})
    const client = new SecureOpenAI({ appName: "a", apiKey: "k", baseURL: ${JSON.stringify(provider.url)}, workspace })
    const ask = async () => void (await client.chat.completions.create({ model: "gpt-4", messages: [], stream: true }))
    await ask()
    const outcomes = async () => (await workspace.records()).filter((r) => r.kind === "outcome").map((r) => r.result)
    ${ending}`
  const run = (ending: string) =>
    exec(process.execPath, ["--expose-gc", "--input-type=module", "-e", script(ending)], {
      cwd: home,
      env: { ...process.env, SECURE_OPENAI_HOME: home }
    })

  it("is recorded as abandoned when it is collected", async () => {
    const { stdout } = await run(`
      for (let i = 0; i < 100 && (await outcomes()).length === 0; i++) {
        gc()
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      console.log(JSON.stringify(await outcomes()))`)
    expect(JSON.parse(stdout)).toEqual(["abandoned"])
  })

  it("is recorded as abandoned when the client's workspace closes", async () => {
    await run("await client.close({ force: true }); await workspace.close()")
    const journal = Fs.readFileSync(Path.join(home, "audit/journal/00000000000000000000.jsonl"), "utf8")
    const kinds = journal
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly kind: string; readonly result?: string })
    expect(kinds.slice(-3).map((r) => [r.kind, r.result])).toEqual([
      ["stream.close", undefined],
      ["outcome", "abandoned"],
      ["log.close", undefined]
    ])
  })
})

describe("a client that is never closed", () => {
  it("holds no process open, and loses nothing at a normal exit", async () => {
    const script = `
      import { SecureOpenAI } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)}
      const client = new SecureOpenAI({ appName: "a", apiKey: "k", baseURL: ${JSON.stringify(provider.url)} })
      await client.chat.completions.create({ model: "gpt-4", messages: [] })
      await client.chat.completions.create({ model: "gpt-4", messages: [], stream: true })
      console.log("done")`
    const begin = Date.now()
    const { stdout } = await exec(process.execPath, ["--input-type=module", "-e", script], {
      cwd: home,
      env: { ...process.env, SECURE_OPENAI_HOME: home }
    })
    expect(stdout.trim()).toBe("done")
    expect(Date.now() - begin).toBeLessThan(15_000)
    const main = new URL("../../src/cli/main.ts", import.meta.url).pathname
    const verified = await exec(process.execPath, [main, "audit", "verify", Path.join(home, "audit"), "--json"])
    expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true, records: expect.any(Number), unsigned: 0, open: 0 })
    const lines = Fs.readFileSync(Path.join(home, "audit/journal/00000000000000000000.jsonl"), "utf8")
      .trim()
      .split("\n")
    const kinds = lines.map((line) => JSON.parse(line) as { readonly kind: string; readonly result?: string })
    expect(kinds.filter((r) => r.kind === "outcome").map((r) => r.result)).toEqual(["complete", "abandoned"])
    expect(kinds.at(-1)?.kind).toBe("log.close")
  })
})
