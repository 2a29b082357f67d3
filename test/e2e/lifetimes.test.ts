/** How a binding ends: by whom, and what becomes of its calls, its streams and its clones. */
import * as Effect from "effect/Effect"
import { describe, expect, it } from "vitest"
import {
  AgentClient,
  BindError,
  type BoundSecureOpenAI,
  ClosedError,
  Pipeline,
  type SecureOpenAI,
  type SecureOptions,
  UnboundError,
  type Workspace
} from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { openProvider } from "./fixture.ts"

const { openClient, openWorkspace, provider } = await openProvider()
const messages = [{ role: "user" as const, content: "Hello" }]
const asked = { model: "gpt-4o", messages }
const policies = [
  { policy_id: "app:lab", resources: ["tool:lab/**"] },
  { policy_id: "user:alice", resources: ["tool:lab/**", "api:lab/**"] }
]

interface Held {
  readonly workspace: Workspace
  readonly service: SecureOpenAI
  readonly user: AgentClient
  readonly bound: BoundSecureOpenAI
}
const open = async (options: SecureOptions = {}): Promise<Held> => {
  const workspace = openWorkspace({ issuers: testIssuer, policies })
  const service = openClient({ appName: "lab", workspace, ...options })
  const user = await new AgentClient({ iamToken: mintToken({ sub: "alice" }), workspace }).register()
  return { workspace, service, user, bound: service.bindToUser(user) }
}

type Ending = readonly [
  name: string,
  error: abstract new (...args: ReadonlyArray<never>) => Error,
  end: (held: Held) => unknown
]
/** Begins to end it; the test does not wait for the log to say so. */
const begin = (end: Ending[2], held: Held): void => void Promise.resolve(end(held)).catch(() => {})
const endings: ReadonlyArray<Ending> = [
  ["unbind()", UnboundError, ({ bound }) => bound.unbind()],
  ["close({ force: true }) of the binding", UnboundError, ({ bound }) => bound.close({ force: true })],
  ["unregister() of its user", UnboundError, ({ user }) => user.unregister()],
  [
    "unregister() of its user, who is registered again",
    UnboundError,
    async ({ user }) => (await user.unregister(), await user.register())
  ],
  ["unregister() by its holder", UnboundError, ({ bound }) => bound.userClient.unregister()],
  ["close({ force: true }) of its service", ClosedError, ({ service }) => service.close({ force: true })]
]

describe.each(endings)("a binding that ended by %s", (_name, kind, end) => {
  it("is no binding any more; nor are its clones, and what was taken of it", async () => {
    const held = await open()
    const { bound } = held
    const clone = bound.withOptions({ timeout: 5000 })
    const { completions } = bound.chat
    expect([bound.isBound, clone.isBound, bound.mode]).toEqual([true, true, "service"])
    await end(held)
    expect([bound.isBound, clone.isBound, bound.mode]).toEqual([false, false, "service"])
    for (const call of [
      () => bound.chat.completions.create(asked),
      () => clone.chat.completions.create(asked),
      () => completions.create(asked),
      () => bound.models.list(),
      () => bound.withOptions({}).models.list(),
      () => bound.ready(),
      () => bound.can("generate", asked),
      () => bound.limits(),
      () => bound.invokeTool({ id: "1", type: "function", function: { name: "t", arguments: "{}" } })
    ])
      await expect(call()).rejects.toBeInstanceOf(kind)
    expect(provider.hits).toEqual([])
  })

  it("ends the streams that are being read, and those that nobody reads yet", async () => {
    const held = await open()
    provider.behave({ chunks: 500, every: 5 })
    const stream = await held.bound.chat.completions.create({ ...asked, stream: true })
    const unread = await held.bound.chat.completions.create({ ...asked, stream: true })
    let chunks = 0
    const read = async () => {
      for await (const _ of stream) if (++chunks === 2) begin(end, held)
    }
    await expect(read()).rejects.toBeInstanceOf(kind)
    await expect(Array.fromAsync(unread)).rejects.toBeInstanceOf(kind)
    expect(chunks).toBe(2)
  })

  it("sends nothing of a call that was under way, before it was decided or after", async () => {
    const before = await open()
    const undecided = before.bound.chat.completions.create(asked)
    begin(end, before)
    await expect(undecided).rejects.toBeInstanceOf(kind)
    const held: { after?: Held } = {}
    const ending = Pipeline.layerFrom(
      ({ audit, identity, invocation, policy, rewriting, signing }) =>
        (call) =>
          identity.resolve(call).pipe(
            Effect.flatMap(signing.sign),
            Effect.flatMap(policy.evaluate),
            Effect.flatMap(rewriting.apply),
            Effect.flatMap(audit.commit),
            Effect.tap(() => Effect.sync(() => begin(end, held.after!))),
            Effect.flatMap(invocation.invoke)
          )
    )
    held.after = await open({ layer: ending })
    await expect(held.after.bound.chat.completions.create(asked)).rejects.toBeInstanceOf(Error)
    expect(provider.hits).toEqual([])
  })

  it("sends no retry, of a call or of a request that passes", async () => {
    for (const ask of [
      ({ bound }: Held) => bound.chat.completions.create(asked, { maxRetries: 2 }),
      ({ bound }: Held) => bound.models.list({ maxRetries: 2 })
    ]) {
      const held = await open()
      const { workspace } = held
      let attempts = 0
      const failing = openClient({
        appName: "lab",
        workspace,
        fetch: async () => {
          attempts++
          begin(end, { ...held, service: failing, bound })
          return new Response("{}", { status: 503, headers: { "retry-after-ms": "1" } })
        }
      })
      const bound = failing.bindToUser(held.user)
      await expect(ask({ ...held, bound })).rejects.toBeInstanceOf(kind)
      expect(attempts).toBe(1)
    }
  })

  it("runs no tool that it was asked for", async () => {
    const held = await open()
    const ran: Array<string> = []
    held.service.registerTool("dig", () => ran.push("dug"))
    const answer = held.bound.invokeTool({ id: "1", type: "function", function: { name: "dig", arguments: "{}" } })
    begin(end, held)
    await expect(answer).rejects.toBeInstanceOf(kind)
    expect(ran).toEqual([])
  })
})

describe("a user who is unregistered", () => {
  it("loses every binding, of every service, and no other user does", async () => {
    const { bound, service, user, workspace } = await open()
    const other = openClient({ appName: "lab", workspace }).bindToUser(user)
    const bob = await service.asUser(mintToken({ sub: "alice" }))
    await user.unregister()
    expect([bound.isBound, other.isBound, bob.isBound]).toEqual([false, false, true])
    await bob.chat.completions.create(asked)
    expect(() => service.bindToUser(user)).toThrow(BindError)
    await user.register()
    await service.bindToUser(user).chat.completions.create(asked)
    expect(provider.hits).toHaveLength(2)
    await expect(bound.chat.completions.create(asked)).rejects.toBeInstanceOf(UnboundError)
  })

  it("ends with the binding that made it", async () => {
    const { service } = await open()
    const alice = await service.asUser(mintToken({ sub: "alice" }))
    const { userClient } = alice
    await alice.close()
    expect([userClient.registered, alice.isBound]).toEqual([false, false])
  })

  it("has its own calls refused, and its streams ended", async () => {
    const { service, user } = await open()
    const ran: Array<string> = []
    service.registerTool("dig", () => ran.push("dug"))
    const target = { targetAgent: service.serverId }
    provider.behave({ chunks: 500, every: 5 })
    const stream = await user.invokeTool("tool:lab/generate", asked, { ...target, stream: true })
    let chunks = 0
    let left: Promise<void> | undefined
    const read = async () => {
      for await (const _ of stream) if (++chunks === 2) left = user.unregister()
    }
    await expect(read()).rejects.toBeInstanceOf(UnboundError)
    await left
    expect(chunks).toBe(2)
    await expect(user.invokeTool("tool:lab/generate", asked, target)).rejects.toMatchObject({ code: "not_registered" })
    await user.register()
    provider.hits.length = 0
    for (const tool of ["tool:lab/generate", "tool:lab/dig"] as const) {
      const pending = user.invokeTool(tool, asked, target).catch((error: unknown) => error)
      await user.unregister()
      expect(await pending).toBeInstanceOf(Error)
      await user.register()
    }
    expect([provider.hits, ran]).toEqual([[], []])
  })
})

describe("a workspace that is closed", () => {
  it("ends what is asked through it", async () => {
    const { bound, user, workspace } = await open()
    await workspace.close()
    await expect(bound.chat.completions.create(asked)).rejects.toBeInstanceOf(Error)
    await expect(bound.models.list()).rejects.toBeInstanceOf(ClosedError)
    await expect(user.unregister()).rejects.toBeInstanceOf(ClosedError)
    expect([user.registered, bound.isBound]).toEqual([false, false])
    expect(provider.hits).toEqual([])
  })
})
