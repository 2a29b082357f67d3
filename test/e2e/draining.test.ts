/** What becomes of calls and streams that were begun when their client is disposed or closed. */
import { describe, expect, it } from "vitest"
import {
  AgentClient,
  ClosedError,
  ConfigurationError,
  IdentityError,
  type SecureOpenAI,
  type SecureOptions,
  UnboundError
} from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { openProvider } from "./fixture.ts"

const { openClient, openWorkspace, provider } = await openProvider()
const messages = [{ role: "user" as const, content: "Hello" }]
const asked = { model: "gpt-4o", messages }
const streamed = { ...asked, stream: true } as const
const policies = [
  { policy_id: "app:lab", resources: ["tool:lab/**"] },
  { policy_id: "user:alice", resources: ["tool:lab/**", "api:lab/**"] }
]
const token = mintToken({ sub: "alice" })
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const open = (options: SecureOptions = {}) => {
  const workspace = openWorkspace({ issuers: testIssuer, policies })
  return { workspace, service: openClient({ appName: "lab", workspace, ...options }) }
}

/** What a call ended with. */
const outcome = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => "answered",
    (error: unknown) => error
  )

const textOf = async (stream: AsyncIterable<{ choices: ReadonlyArray<{ delta: { content?: string | null } }> }>) =>
  (await Array.fromAsync(stream)).map(({ choices }) => choices[0]?.delta.content ?? "").join("")

/** Every way to begin something with a client. */
const beginnings: ReadonlyArray<readonly [string, (client: SecureOpenAI) => Promise<unknown>]> = [
  ["chat.completions.create", async (c) => c.chat.completions.create(asked)],
  ["a clone", async (c) => c.withOptions({ timeout: 5000 }).chat.completions.create(asked)],
  ["chat.completions.stream", async (c) => c.chat.completions.stream(asked).done()],
  ["models.list", async (c) => c.models.list()],
  ["ready", (c) => c.ready()],
  ["can", (c) => c.can("generate", asked)],
  ["limits", (c) => c.limits()],
  ["invokeTool", (c) => c.invokeTool({ id: "1", type: "function", function: { name: "t", arguments: "{}" } })]
]

describe("the end of a block that owns a binding", () => {
  it("lets a stream that the block returns be read to its end, and then unregisters the user", async () => {
    const { service } = open()
    provider.behave({ chunks: 20, every: 5 })
    const handler = async () => {
      await using user = await service.asUser(token)
      return { stream: await user.chat.completions.create(streamed), user: user.userClient }
    }
    const { stream, user } = await handler()
    expect(user.registered).toBe(true)
    expect((await textOf(stream)).length).toBeGreaterThan(20)
    await wait(0)
    expect(user.registered).toBe(false)
    expect(provider.closed()).toBe(0)
  })

  it("lets calls that the block did not await be answered", async () => {
    const { service } = open()
    const handler = async <A>(ask: (user: SecureOpenAI) => A) => {
      await using user = await service.asUser(token)
      return { answer: ask(user) }
    }
    const { answer } = await handler((user) => user.chat.completions.create(asked))
    expect((await answer).choices).toHaveLength(1)
    const { answer: list } = await handler((user) => user.models.list())
    expect((await list).data).toBeDefined()
    const { answer: retried } = await handler((user) => {
      provider.behave({ status: 500, times: 1, headers: { "retry-after-ms": "1" } })
      return user.chat.completions.create(asked, { maxRetries: 1 })
    })
    expect((await retried).choices).toHaveLength(1)
    const { answer: helper } = await handler((user) => user.chat.completions.stream(asked))
    expect((await helper.finalChatCompletion()).choices).toHaveLength(1)
    const { answer: responses } = await handler((user) => user.responses.stream({ model: "gpt-4o", input: "Hello" }))
    expect(await responses.finalResponse()).toBeDefined()
  })

  it("lets a runner of tools go on to its end, with all its requests", async () => {
    const { service } = open()
    const said: Array<string> = []
    const handler = async () => {
      await using user = await service.asUser(token)
      provider.behave({ toolCalls: [{ name: "dig", arguments: "{}" }] })
      const dig = async () => {
        await wait(5)
        // In the course of what was begun, more may begin.
        const inner = await user.chat.completions.create(asked)
        said.push(inner.object)
        return inner.object
      }
      return {
        runner: user.chat.completions.runTools({
          ...asked,
          tools: [
            {
              type: "function",
              function: { name: "dig", function: dig, description: "", parameters: { type: "object" } }
            }
          ]
        }),
        user
      }
    }
    const { runner, user } = await handler()
    expect(user.isBound).toBe(false)
    expect(await runner.finalContent()).toBeTruthy()
    expect(said).toEqual(["chat.completion"])
    expect(provider.hits).toHaveLength(3)
    await wait(0)
    expect(user.userClient.registered).toBe(false)
  })

  it("settles at once, and the binding takes nothing new", async () => {
    const { service } = open()
    provider.behave({ chunks: 200, every: 5 })
    const user = await service.asUser(token)
    const stream = await user.chat.completions.create(streamed)
    const order: Array<string> = []
    const read = textOf(stream).then(() => order.push("read"))
    await user[Symbol.asyncDispose]()
    order.push("disposed")
    expect(user.isBound).toBe(false)
    for (const [name, begin] of beginnings)
      expect([name, await outcome(begin(user))]).toEqual([name, expect.any(UnboundError)])
    expect(provider.hits).toHaveLength(1)
    provider.behave({})
    await read
    expect(order).toEqual(["disposed", "read"])
  })

  it.each([
    ["of the client", { drain: 50 }, undefined],
    ["of asUser", {}, { drain: 50 }]
  ])("cuts what is still under way after the option drain %s", async (_whose, options, asUser) => {
    const { service } = open(options)
    provider.behave({ chunks: 10_000, every: 5 })
    const user = await service.asUser(token, asUser)
    const read = await user.chat.completions.create(streamed)
    const unread = await user.chat.completions.create(streamed)
    await user[Symbol.asyncDispose]()
    expect(await outcome(textOf(read))).toBeInstanceOf(UnboundError)
    expect(await outcome(textOf(unread))).toBeInstanceOf(UnboundError)
    await wait(0)
    expect(user.userClient.registered).toBe(false)
  })

  it("ends at once by unbind() and unregister(), while it waits", async () => {
    const { service } = open()
    provider.behave({ chunks: 10_000, every: 5 })
    for (const end of [
      (user: Awaited<ReturnType<typeof service.asUser>>) => user.unbind(),
      (user: Awaited<ReturnType<typeof service.asUser>>) => user.userClient.unregister(),
      (user: Awaited<ReturnType<typeof service.asUser>>) => user.close({ force: true })
    ]) {
      const user = await service.asUser(token)
      const read = outcome(textOf(await user.chat.completions.create(streamed)))
      await user[Symbol.asyncDispose]()
      await end(user)
      expect(await read).toBeInstanceOf(UnboundError)
    }
  })

  it("leaves a user who was registered by hand registered", async () => {
    const { service, workspace } = open()
    const user = await new AgentClient({ iamToken: token, workspace }).register()
    {
      await using bound = service.bindToUser(user)
      await bound.chat.completions.create(asked)
    }
    expect(user.registered).toBe(true)
  })

  it.each([-1, NaN, Infinity, 2 ** 31, "60"])("refuses a drain of %s", async (drain) => {
    const wrong = drain as number
    expect(() => openClient({ appName: "lab", drain: wrong })).toThrow(ConfigurationError)
    const { service } = open()
    await expect(service.asUser(token, { drain: wrong })).rejects.toBeInstanceOf(ConfigurationError)
  })
})

describe("close() of a service", () => {
  it("waits for what was begun by itself and by its users, and takes nothing new", async () => {
    const { service } = open()
    provider.behave({ chunks: 30, every: 5 })
    const user = await service.asUser(token)
    const mine = textOf(await service.chat.completions.create(streamed))
    const theirs = textOf(await user.chat.completions.create(streamed))
    const call = service.chat.completions.create(asked)
    let closed = false
    const closing = service.close().then(() => (closed = true))
    for (const client of [service, user])
      for (const [name, begin] of beginnings)
        expect([name, await outcome(begin(client))]).toEqual([name, expect.any(ClosedError)])
    await expect(service.asUser(token)).rejects.toBeInstanceOf(ClosedError)
    expect(() => service.bindToUser(user.userClient)).toThrow(ClosedError)
    expect(closed).toBe(false)
    expect((await call).choices).toHaveLength(1)
    const texts = await Promise.all([mine, theirs])
    expect(texts.every((text) => text.length > 30)).toBe(true)
    await closing
    expect(provider.hits).toHaveLength(3)
  })

  it("waits at most for the option drain, and with force not at all", async () => {
    provider.behave({ chunks: 10_000, every: 5 })
    for (const [options, force] of [
      [{ drain: 50 }, false],
      [{}, true],
      [{ drain: 0 }, false]
    ] as const) {
      const { service } = open(options)
      const user = await service.asUser(token)
      const read = outcome(textOf(await service.chat.completions.create(streamed)))
      const bound = outcome(textOf(await user.chat.completions.create(streamed)))
      const unread = await user.chat.completions.create(streamed)
      await service.close({ force })
      expect([await read, await bound, await outcome(textOf(unread))]).toEqual(
        Array.from({ length: 3 }, () => expect.any(ClosedError))
      )
    }
  })

  it("is hastened by a second one with force", async () => {
    const { service } = open()
    provider.behave({ chunks: 10_000, every: 5 })
    const read = outcome(textOf(await service.chat.completions.create(streamed)))
    const closing = service.close()
    await service.close({ force: true })
    await closing
    expect(await read).toBeInstanceOf(ClosedError)
  })

  it("waits for a disposed user to have left, key and all", async () => {
    const { service, workspace } = open()
    service.registerTool("dig", () => "dug")
    const user = await service.asUser(token)
    await user.userClient.invokeTool("tool:lab/dig", {}, { targetAgent: service.serverId })
    await user[Symbol.asyncDispose]()
    await service.close()
    const kinds = (await workspace.records()).map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind === "key.retired")).toHaveLength(1)
  })

  it("is what the end of a block waits for", async () => {
    const { service } = open()
    provider.behave({ chunks: 20, every: 5 })
    let read: Promise<string> | undefined
    {
      await using client = service
      read = textOf(await client.chat.completions.create(streamed))
    }
    expect((await read).length).toBeGreaterThan(20)
    await expect(service.chat.completions.create(asked)).rejects.toBeInstanceOf(ClosedError)
  })
})

describe("asUser() a request", () => {
  it("writes nothing: a key is made, and recorded, when the user first calls an agent", async () => {
    const { service, workspace } = open()
    service.registerTool("dig", () => "dug")
    const before = (await workspace.records()).length
    const user = await service.asUser(token)
    await user.chat.completions.create(asked)
    const target = { targetAgent: service.serverId }
    const kinds = async () => (await workspace.records()).slice(before).map(({ kind }) => kind)
    expect(await kinds()).toEqual(["decision", "outcome"])
    const [one, two] = await Promise.all([
      user.userClient.invokeTool("tool:lab/dig", {}, target),
      user.userClient.invokeTool("tool:lab/dig", {}, target)
    ])
    expect([one, two]).toEqual(["dug", "dug"])
    expect((await kinds()).filter((kind) => kind.startsWith("key."))).toEqual(["key.active"])
    await user.close()
    expect((await kinds()).filter((kind) => kind.startsWith("key."))).toEqual(["key.active", "key.retired"])
  })

  it("refuses a bad token before anything else", async () => {
    const { service } = open()
    await expect(service.asUser("a.b.c")).rejects.toBeInstanceOf(IdentityError)
  })
})
