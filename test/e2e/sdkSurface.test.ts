/**
 * Every resource and method that the SDK's client has, the secure one has: the same functions on the same classes, and no
 * more to be seen by those who enumerate or print a client.
 */
import { AzureOpenAI, OpenAI } from "openai"
import { inspect } from "node:util"
import { afterAll, describe, expect, it, vi } from "vitest"
import { series } from "../../src/facade/RequestSeries.ts"
import { ConfigurationError, secure, SecureAzureOpenAI, SecureOpenAI, Workspace } from "../../src/index.ts"

const workspace = new Workspace({ audit: "memory" })
afterAll(() => workspace.close())

const key = "sk-of-the-client"
const token = "token.of.a-user"
const options = { apiKey: key, baseURL: "http://127.0.0.1:9/v1", fetch: globalThis.fetch }
const plain = new OpenAI(options)
const client = new SecureOpenAI({ ...options, workspace, appName: "my-app" })
/** One whose holder is a user. */
const lent = new SecureOpenAI({ ...options, workspace, appName: "my-app", jwtToken: token })

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null
const isResource = (value: unknown): value is object => isObject(value) && "_client" in value

/** Every resource below a client by its path, the client itself as "". */
const resources = (of: OpenAI): ReadonlyMap<string, object> => {
  const found = new Map<string, object>()
  const visit = (resource: object, path: string): void => {
    found.set(path, resource)
    for (const [name, value] of Object.entries(resource))
      if (name !== "_client" && isResource(value)) visit(value, path === "" ? name : `${path}.${name}`)
  }
  visit(of, "")
  return found
}

/** Names of an object's functions, its own and its classes'. */
const methodsOf = (resource: object): ReadonlyArray<string> => {
  const names = new Set<string>()
  for (let o = resource; o !== Object.prototype; o = Object.getPrototypeOf(o) as object)
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(o)))
      if (typeof value === "function" && name !== "constructor") names.add(name)
  return [...names].sort()
}

const theirs = resources(plain)
const ours = resources(client)

/** Methods that run tools, where ours have each tool judged, and that make many requests, for which a closed client waits. */
const replaced = new Set([
  "chat.completions.runTools",
  "beta.agents.sessions.create",
  "beta.agents.sessions.stream",
  ...Object.entries(series).flatMap(([path, methods]) => methods.map((name) => `${path}.${name}`))
])

describe("the resources of a client", () => {
  it("are as many as the SDK has", () => {
    expect(theirs.size).toBeGreaterThan(130)
    expect([...theirs.values()].flatMap(methodsOf).length).toBeGreaterThan(400)
    expect([...ours.keys()]).toEqual([...theirs.keys()])
  })

  it.each([...theirs].filter(([path]) => path !== ""))("%s has the SDK's methods", (path, resource) => {
    const mine = ours.get(path)!
    expect(mine.constructor).toBe(resource.constructor)
    expect(methodsOf(mine)).toEqual(methodsOf(resource))
    for (const name of methodsOf(mine))
      if (!replaced.has(`${path}.${name}`)) expect(Reflect.get(mine, name)).toBe(Reflect.get(resource, name))
    expect(Object.keys(mine)).toEqual(Object.keys(resource))
    expect(Reflect.get(mine, "_client")).toBe(client)
  })

  it("make many requests, or the first one later, in methods that a closed client waits for", () => {
    const many = [...theirs].flatMap(([path, resource]) =>
      methodsOf(resource)
        .filter((name) => /^(poll|stream|runTools|waitFor.*|.*AndPoll|.*RunPoll|.*Stream)$/.test(name))
        .map((name) => `${path}.${name}`)
    )
    // These begin their one request at once.
    const single = ["beta.agents.sessions.events.stream", "beta.agents.sessions.stream"]
    const held = Object.entries(series).flatMap(([path, methods]) => methods.map((name) => `${path}.${name}`))
    expect(many.filter((name) => !single.includes(name)).sort()).toEqual(held.sort())
  })

  it("belong to a clone where the clone made them", () => {
    const clone = client.withOptions({ timeout: 1 })
    expect(clone).toBeInstanceOf(SecureOpenAI)
    for (const [path, resource] of resources(clone))
      if (path !== "") expect(Reflect.get(resource, "_client")).toBe(clone)
  })

  it("can be spied on and replaced", async () => {
    const { completions } = client.withOptions({}).chat
    const answer = { id: "mocked" }
    const create = vi.spyOn(completions, "create").mockResolvedValue(answer as never)
    const runTools = vi.spyOn(completions, "runTools").mockReturnValue(answer as never)
    expect(await completions.create({ model: "m", messages: [] })).toBe(answer)
    expect(completions.runTools({ model: "m", messages: [], tools: [] })).toBe(answer)
    expect([create.mock.calls.length, runTools.mock.calls.length]).toEqual([1, 1])
  })
})

describe("the class", () => {
  it("is an OpenAI", () => {
    expect(client).toBeInstanceOf(OpenAI)
    expect(Object.getPrototypeOf(SecureOpenAI)).toBe(OpenAI)
    expect(SecureOpenAI.OpenAI).toBe(SecureOpenAI)
    expect(String(client)).toBe(String(plain))
    expect(Object.prototype.toString.call(client)).toBe(Object.prototype.toString.call(plain))
  })

  it("has the SDK's statics, all but its own name for itself", () => {
    const names = Object.getOwnPropertyNames(OpenAI)
    expect(names).toContain("APIError")
    for (const name of names)
      if (!["length", "name", "prototype", "OpenAI"].includes(name))
        expect(Reflect.get(SecureOpenAI, name)).toBe(Reflect.get(OpenAI, name))
    expect(SecureOpenAI.DEFAULT_TIMEOUT).toBe(OpenAI.DEFAULT_TIMEOUT)
    expect(new SecureOpenAI.OpenAI(options)).toBeInstanceOf(SecureOpenAI)
  })

  it("has the SDK's methods, and its own", () => {
    const more = methodsOf(client).filter((name) => !methodsOf(plain).includes(name))
    expect(methodsOf(plain).filter((name) => !methodsOf(client).includes(name))).toEqual([])
    expect(more).toEqual([
      "asUser",
      "bindToUser",
      "can",
      "close",
      "flush",
      "health",
      "invokeTool",
      "limits",
      "ready",
      "registerTool",
      "unbind"
    ])
  })

  it("is made of Azure's client and of a user's own as well", () => {
    class Mine extends OpenAI {
      greeting = "hello"
    }
    const mine = new (secure(Mine))({ ...options, workspace })
    expect([mine instanceof Mine, mine.greeting]).toEqual([true, "hello"])
    expect(Object.getPrototypeOf(SecureAzureOpenAI)).toBe(AzureOpenAI)
  })
})

describe("what a client shows", () => {
  it("is what the SDK's shows, key for key", () => {
    expect(Object.keys(client)).toEqual(Object.keys(plain))
    const enumerated = (of: object) => {
      const names: Array<string> = []
      for (const name in of) names.push(name)
      return names
    }
    expect(enumerated(client)).toEqual(enumerated(plain))
    expect(client).toMatchObject({ apiKey: key, baseURL: options.baseURL, timeout: plain.timeout, maxRetries: 2 })
    for (const name of [
      "apiKey",
      "baseURL",
      "organization",
      "project",
      "timeout",
      "maxRetries",
      "logLevel",
      "fetchOptions"
    ])
      expect([name, Reflect.get(client, name)]).toEqual([name, Reflect.get(plain, name)])
  })

  it("holds nothing of ours when it is printed, however deep", () => {
    const shown = inspect(client, { depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null })
    expect(shown).toContain(key)
    const lentShown = inspect(lent, { depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null })
    for (const internal of [token, "_tag", "intents", "ManagedRuntime", "Workspace", "my-app"]) {
      expect(shown).not.toContain(internal)
      expect(lentShown).not.toContain(internal)
    }
    expect(lentShown).not.toContain(key)
    const lines = (of: object) => {
      const shownAs = inspect(of, { depth: 6 }).replace("SecureOpenAI", "OpenAI")
      return shownAs.split("\n").map((line) => line.replace(/,$/, ""))
    }
    const handle = (line: string) => line.includes("Symbol(secure-openai/client): true")
    expect(lines(client).filter((line) => !handle(line))).toEqual(lines(plain))
    expect(lines(client).filter(handle)).toHaveLength(1)
  })

  it("is as good as JSON as the SDK's", () => {
    const asJson = (of: object) => {
      try {
        return JSON.stringify(of)
      } catch (error) {
        return String(error).replace("SecuredClient", "OpenAI")
      }
    }
    expect(asJson(client)).toBe(asJson(plain))
  })

  it("makes no other client: options that are taken from it by hand are refused", () => {
    for (const one of [client, lent]) {
      const given = Reflect.get(one, "_options") as ConstructorParameters<typeof SecureOpenAI>[0]
      expect(() => new SecureOpenAI({ ...given })).toThrow(ConfigurationError)
    }
  })

  it("is the same for a user's client, but for what is the service's", () => {
    expect(Object.keys(lent)).toEqual(Object.keys(plain))
    expect([...resources(lent).keys()]).toEqual([...theirs.keys()])
    const clone = lent.withOptions({ timeout: 1 })
    expect([clone.mode, clone.serverId, clone.workspace === workspace]).toEqual(["user", lent.serverId, true])
    expect([lent.apiKey, lent.baseURL]).toEqual(["no-api-key", options.baseURL])
  })
})
