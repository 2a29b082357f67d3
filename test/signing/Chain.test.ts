import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import { Call } from "../../src/call/Call.ts"
import { Identified } from "../../src/call/States.ts"
import { generate, Keys, type SigningKey } from "../../src/keys/Keys.ts"
import { agent as agentOf, app, type Principal } from "../../src/call/Principal.ts"
import { Directory } from "../../src/signing/Directory.ts"
import * as Envelope from "../../src/signing/Envelope.ts"
import { Replay } from "../../src/signing/Replay.ts"
import { Signing } from "../../src/signing/Signing.ts"

/**
 * Alice's agent called the service `lab`, whose tool `dig` asks, by the agent `digger` of that application, the service
 * `shop`. What reaches the shop is `digger`'s invocation, and two envelopes that it follows.
 */
const alice: Principal = {
  ...app("alice"),
  kind: "user",
  issuer: "https://idp.test",
  subject: "1",
  tokenHash: "A".repeat(43)
}
const bob: Principal = { ...alice, id: "bob", subject: "2", tokenHash: "B".repeat(43) }
/** Others whom policies call `user:alice`: of another issuer, and of hers. */
const outsider: Principal = { ...alice, issuer: "https://other.test", tokenHash: "C".repeat(43) }
const homonym: Principal = { ...alice, subject: "3", tokenHash: "D".repeat(43) }
const digger = agentOf("lab")
const own = {
  alice: generate(),
  digger: generate(),
  stranger: generate(),
  service: generate(),
  bob: generate(),
  outsider: generate(),
  namesake: generate(),
  guest: generate()
}
const service = own.service
const params = { model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] }
const intent = { constraints: { parameters: { "tool:*/generate": { max_tokens: { max: 10 } } } } }
const asked = Call.generate(params, { app: "shop", server: "app:shop:1", intents: [intent] })
const dug = Call.tool("dig", {}, { app: "lab", server: "app:lab:1", intents: [intent] })

const root = (change: Partial<Envelope.Statement> = {}): Envelope.Envelope =>
  Envelope.sign({
    ...Envelope.ofCall(dug, alice),
    key: own.alice,
    iss: "user:alice",
    aud: "app:lab:1",
    now: 0,
    ...(change as object)
  })
const middle = (parent: Envelope.Link | undefined, change: Partial<Envelope.Statement> = {}): Envelope.Envelope =>
  Envelope.sign({
    ...Envelope.ofCall(dug, alice),
    key: service,
    iss: "app:lab:1",
    aud: "app:lab:1",
    now: 0,
    parent,
    ...(change as object)
  })
const last = (parent: Envelope.Link | undefined, change: Partial<Envelope.Statement> = {}): Envelope.Envelope =>
  Envelope.sign({
    ...Envelope.ofCall(asked, alice),
    key: own.digger,
    iss: "agent:digger",
    aud: "app:shop:1",
    now: 0,
    parent,
    ...(change as object)
  })
/** Signs the claims of an envelope, some of them changed. */
const resign = ({ claims }: Envelope.Envelope, key: SigningKey, change: object): Envelope.Envelope => {
  const header = Buffer.from(JSON.stringify({ alg: "Ed25519", kid: key.kid, typ: "soai-invoke+jwt" }))
  const changed = { ...claims, ...change } as Envelope.EnvelopeClaims
  const signed = `${header.toString("base64url")}.${Buffer.from(JSON.stringify(changed)).toString("base64url")}`
  const jws = `${signed}.${Buffer.from(key.sign(Buffer.from(signed))).toString("base64url")}`
  return { jws, kid: key.kid, digest: Envelope.linkOf(jws)!.digest, claims: changed }
}

const layer = Signing.layer.pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      Layer.effect(
        Keys,
        Effect.map(Keys, (keys) => ({ ...keys, agent: service }))
      ).pipe(Layer.provide(Keys.layerMemory)),
      Directory.layer,
      Replay.layerMemory
    )
  )
)

const arrive = (
  invocation: Envelope.Envelope,
  chain: ReadonlyArray<Envelope.Envelope>,
  {
    behalf = [digger],
    principal = alice,
    ...call
  }: {
    readonly behalf?: ReadonlyArray<Principal>
    readonly principal?: Principal
    readonly intents?: ReadonlyArray<object>
  } = {}
) =>
  Effect.gen(function* () {
    const directory = yield* Directory
    const enter = (agentId: string, key: SigningKey, kind: "user" | "agent", of: string, who: Principal) => {
      if (directory.get(agentId) !== undefined) return
      directory.add({ agentId, kid: key.kid, publicKey: key.publicKey, kind, app: of, principal: who })
    }
    enter("user:alice", own.alice, "user", "inbox", alice)
    enter("user:bob", own.bob, "user", "inbox", bob)
    // Bob's agent in the application of the tool.
    enter("user:guest", own.guest, "user", "lab", bob)
    enter("user:outsider", own.outsider, "user", "lab", outsider)
    enter("user:namesake", own.namesake, "user", "lab", homonym)
    enter("agent:digger", own.digger, "agent", "lab", digger)
    enter("agent:stranger", own.stranger, "agent", "bar", agentOf("bar"))
    const signing = yield* Signing
    const arrived = Call.generate(params, {
      app: "shop",
      server: "app:shop:1",
      intents: (call.intents ?? [intent]) as ReadonlyArray<Record<string, unknown>>,
      invocation: invocation.jws,
      chain: chain.map(({ jws }) => jws),
      behalf
    })
    return yield* signing.sign(new Identified(arrived, principal))
  })
const fault = (...args: Parameters<typeof arrive>) =>
  Effect.map(Effect.result(arrive(...args)), (result) =>
    result._tag === "Success" ? undefined : result.failure.message
  )

describe("a chain of three agents", () => {
  it.effect("holds, and the call that follows carries its root", () =>
    Effect.gen(function* () {
      const first = root()
      const second = middle(first)
      const third = last(second)
      const signed = yield* arrive(third, [first, second])
      const claims = Envelope.linkOf(signed.envelope)!.claims
      assert.strictEqual(claims.txn, first.claims.jti)
      assert.strictEqual(claims.prh, third.digest)
      assert.strictEqual(claims.dep, 3)
      assert.strictEqual(claims.sub, "alice")
      assert.deepStrictEqual(claims.act, {
        sub: "agent:digger",
        act: { sub: "app:lab:1", act: { sub: "user:alice" } }
      })
      assert.deepStrictEqual(
        signed.chain,
        [first, second, third].map(({ jws }) => jws)
      )
    }).pipe(Effect.provide(layer))
  )

  const first = root()
  const second = middle(first)
  const third = last(second)
  const bobs = Envelope.ofCall(asked, bob)
  const bobsRoot = Envelope.sign({
    ...Envelope.ofCall(dug, bob),
    key: own.bob,
    iss: "user:bob",
    aud: "app:lab:1",
    now: 0
  })
  const other = root()
  const foreign = middle(other)
  const toStranger = root({ aud: "app:bar:1", tool: "tool:bar/dig" })
  const stolen = last(second, { key: own.stranger, iss: "agent:stranger" })
  const old = root({ now: -30_000 })
  const late = resign(middle(old), service, { exp: old.claims.exp + 1 })
  const short = root({ now: -59_000 })
  const shortLink = middle(short)
  const unended = resign(last(shortLink), own.digger, { exp: 60 })
  const longLived = resign(root({ now: 0 }), own.alice, { exp: 300 })
  const longLink = middle(longLived)
  const planner = agentOf("planner")
  const ofPlanner = Envelope.ofCall(asked, planner)
  const plannersRoot = Envelope.sign({
    ...Envelope.ofCall(dug, planner),
    key: own.stranger,
    iss: "agent:stranger",
    aud: "app:lab:1",
    now: 0
  })
  const plannersLink = middle(plannersRoot, Envelope.ofCall(dug, planner))
  const served = Envelope.sign({
    ...Envelope.ofCall(dug, planner),
    key: service,
    iss: "app:lab:1",
    aud: "app:lab:1",
    now: 0
  })
  const byDigger = middle(first, { key: own.digger, iss: "agent:digger" })
  const herOwn = last(byDigger, { key: own.alice, iss: "user:alice" })
  /** A root, a link that follows it, and one that follows that. */
  const after = (
    begun: Envelope.Envelope,
    link = middle(begun)
  ): [Envelope.Envelope, ReadonlyArray<Envelope.Envelope>] => [last(link), [begun, link]]
  const undeclared = root({ intents: [{ constraints: {} }] })

  const widenings: ReadonlyArray<readonly [string, Parameters<typeof arrive>, RegExp]> = [
    ["without its chain", [third, []], /depth 2, and 0 envelopes/],
    ["with half of its chain", [third, [second]], /depth 2, and 1 envelopes/],
    ["with more than its chain", [third, [first, first, second]], /depth 2, and 3 envelopes/],
    ["with its chain in another order", [third, [second, first]], /another depth/],
    [
      "in the name of another than its parent",
      [last(second, bobs), [first, second], { principal: bob }],
      /another principal than its parent/
    ],
    ["for another's root", [last(second, bobs), [bobsRoot, second], { principal: bob }], /another parent/],
    [
      "with another token than its parent",
      [
        resign(third, own.digger, { ath: "C".repeat(43) }),
        [first, second],
        { principal: { ...alice, tokenHash: "C".repeat(43) } }
      ],
      /another token than its parent/
    ],
    ["of another root", [resign(third, own.digger, { txn: other.claims.jti }), [first, second]], /another root/],
    ["after a link of another root", [third, [other, foreign]], /another parent/],
    [
      "with a parent that it makes up",
      [resign(third, own.digger, { prh: "A".repeat(43) }), [first, second]],
      /another parent/
    ],
    ["at a smaller depth than it stands", [resign(third, own.digger, { dep: 1 }), [second]], /another depth/],
    [
      "at a greater depth than it stands",
      [resign(third, own.digger, { dep: 3 }), [first, second, second]],
      /another depth/
    ],
    [
      "as a root of its own, in another's name",
      [resign(third, own.digger, { dep: 0, prh: undefined, act: undefined, txn: third.claims.jti }), []],
      /not user:alice/
    ],
    [
      "as a root that comes with a chain",
      [resign(third, own.digger, { dep: 0, prh: undefined, act: undefined, txn: third.claims.jti }), [first]],
      /depth 0, and 1/
    ],
    ["after a link that outlives its parent", [last(late), [old, late]], /outlives its parent/],
    [
      "that outlives its parent",
      [resign(third, own.digger, { exp: 61, iat: 1 }), [first, second]],
      /outlives its parent/
    ],
    ["after a root that has expired", [unended, [short, shortLink]], /expired|outlives/],
    [
      "by an agent that its parent was not for",
      [stolen, [first, second], { behalf: [agentOf("bar")] }],
      /parent was not for/
    ],
    ["after a root that was for another service", after(toStranger), /parent was not for/],
    ["after a link by another key", after(first, middle(first, { key: own.stranger })), /not by an agent/],
    [
      "after a link that was changed",
      [third, [first, { ...second, jws: second.jws.replace(/.$/, "") }]],
      /canonical|signed/
    ],
    ["after a link that is no envelope", [third, [first, { ...second, jws: "x" }]], /compact JWS/],
    [
      "that names others as those who acted",
      [resign(third, own.digger, { act: { sub: "user:alice" } }), [first, second]],
      /others as those who acted/
    ],
    [
      "that names others as those who acted for them",
      [resign(third, own.digger, { act: { sub: "app:lab:1", act: { sub: "user:bob" } } }), [first, second]],
      /others as those who acted/
    ],
    [
      "that names the last of those who acted alone",
      [resign(third, own.digger, { act: { sub: "app:lab:1" } }), [first, second]],
      /others as those who acted/
    ],
    ...(
      [
        ["names a parent", { prh: "A".repeat(43) }],
        ["is of another chain", { txn: "A".repeat(22) }],
        ["names others as those who acted", { act: { sub: "user:bob" } }]
      ] as const
    ).map(([what, change]): (typeof widenings)[number] => {
      const changed = resign(first, own.alice, change)
      const link = middle(changed)
      return [`after a root that ${what}`, [last(link), [changed, link]], /is no root/]
    }),
    [
      "that names nobody who acted",
      [resign(third, own.digger, { act: undefined }), [first, second]],
      /others as those who acted/
    ],
    [
      "without an intent that its root declared",
      [resign(third, own.digger, { int: undefined }), [first, second], { intents: [] }],
      /intent policy that does not take part/
    ],
    ["without an intent that only its root declared", after(undeclared), /intent policy/],
    [
      "without the policies of the agent it came through",
      [third, [first, second], { behalf: [] }],
      /leaves out an agent/
    ],
    [
      "without the policies of an agent that an earlier one came through",
      [herOwn, [first, byDigger], { behalf: [] }],
      /leaves out an agent/
    ],
    [
      "after a root that a service signed for a registered agent",
      after(root({ key: service })),
      /not by an agent that is registered with this key/
    ],
    [
      "by an agent of another user, in her name",
      [last(second, { key: own.guest, iss: "user:guest" }), [first, second], { behalf: [digger, bob] }],
      /not user:alice of https:\/\/idp.test, in a chain that is not his/
    ],
    ...(
      [
        ["of another issuer", outsider, own.outsider, "user:outsider"],
        ["of her issuer with another sub", homonym, own.namesake, "user:namesake"]
      ] as const
    ).flatMap(([what, who, key, iss]): typeof widenings => {
      const link = middle(first, { key, iss })
      return [
        [
          `by an agent of a user of her name ${what}`,
          [last(second, { key, iss }), [first, second], { behalf: [digger, who] }],
          /not user:alice of https:\/\/idp.test, in a chain that is not his/
        ],
        [
          `as a root by a user of her name ${what}`,
          [resign(third, key, { iss, dep: 0, prh: undefined, act: undefined, txn: third.claims.jti }), []],
          /not user:alice of https:\/\/idp.test/
        ],
        [
          `without the policies of a user of her name ${what} that it came through`,
          [last(link, { key: own.alice, iss: "user:alice" }), [first, link], { behalf: [] }],
          /leaves out an agent/
        ],
        [
          `without the policies of a user of her name ${what}, for which hers stand in`,
          [last(link, { key: own.alice, iss: "user:alice" }), [first, link], { behalf: [alice] }],
          /leaves out an agent/
        ]
      ]
    }),
    [
      "in a chain that a service began in the name of another agent",
      [last(served, ofPlanner), [served], { principal: planner, behalf: [digger] }],
      /in a chain that is not his/
    ],
    [
      "in a chain that another agent began with her token",
      [...after(root({ key: own.stranger, iss: "agent:stranger" })), { behalf: [digger, agentOf("bar")] }],
      /in a chain that is not his/
    ],
    [
      "after a root that is good for longer than a minute",
      [last(longLink), [longLived, longLink]],
      /good for 1 to 60 seconds/
    ],
    [
      "in a chain that somebody else began",
      [
        last(plannersLink, ofPlanner),
        [plannersRoot, plannersLink],
        { principal: planner, behalf: [digger, agentOf("bar")] }
      ],
      /in a chain that is not his/
    ]
  ]
  it.effect.each(widenings)("is refused %s", ([, args, message]) =>
    Effect.gen(function* () {
      assert.match((yield* fault(...args)) ?? "accepted", message)
      // The very same chain, unchanged, is good: nothing else is wrong here.
      assert.isUndefined(yield* fault(third, [first, second]))
    }).pipe(Effect.provide(layer))
  )

  it.effect("is refused after its root's agent has left, and after its time", () =>
    Effect.gen(function* () {
      const [a, b] = [root(), middle(root())]
      const good = [a, middle(a)] as const
      assert.isUndefined(yield* fault(last(good[1]), good))
      assert.isDefined(yield* fault(last(b), [a, b]))
      yield* TestClock.adjust("61 seconds")
      assert.match((yield* fault(last(good[1]), good)) ?? "", /expired/)
    }).pipe(Effect.provide(layer))
  )

  const model = middle(first, { aud: "https://api.openai.com", tool: "tool:lab/generate" })
  const tool = middle(model)
  const usersOwn = middle(undefined)
  it.effect.each<readonly [string, Parameters<typeof arrive>]>([
    ["through an agent, by an agent of her own", [herOwn, [first, byDigger]]],
    ["through a tool that a model asked the service for", [last(tool), [first, model, tool]]],
    ["that the service began for a user, by her token", [last(usersOwn), [usersOwn]]]
  ])("holds %s", ([, args]) =>
    Effect.gen(function* () {
      assert.isUndefined(yield* fault(...args))
    }).pipe(Effect.provide(layer))
  )

  it.effect("is judged before it counts as used, and is then used", () =>
    Effect.gen(function* () {
      assert.match((yield* fault(third, [])) ?? "accepted", /0 envelopes/)
      assert.isUndefined(yield* fault(third, [first, second]))
      assert.match((yield* fault(third, [])) ?? "accepted", /0 envelopes/)
      assert.match((yield* fault(third, [first, second], { behalf: [] })) ?? "accepted", /leaves out/)
      assert.match((yield* fault(third, [first, second])) ?? "accepted", /used before/)
    }).pipe(Effect.provide(layer))
  )

  it("is measured with its last envelope", () => {
    const follower = middle(first)
    const room = Envelope.maximumChain - follower.jws.length
    const expected = { publicKey: () => undefined, mayFollow: () => true, intents: [], now: 0 }
    const faultOf = (length: number) =>
      Result.match(Envelope.verifyChain(follower, ["x".repeat(length)], expected), {
        onSuccess: () => "accepted",
        onFailure: (why) => why
      })
    assert.match(faultOf(room), /compact JWS/)
    assert.match(faultOf(room + 1), /more than 65536 characters/)
  })

  it.effect("is refused where it is longer than 64 KiB in all", () =>
    Effect.gen(function* () {
      const wide = { ...Envelope.ofCall(dug, alice), prompts: { p: Array.from({ length: 128 }, (_, i) => i) } }
      let link = root(wide)
      const chain = [link]
      for (let i = 0; i < 6; i++)
        chain.push((link = middle(link, { ...wide, prompts: { ...wide.prompts, q: wide.prompts.p } })))
      assert.match((yield* fault(last(link), chain)) ?? "accepted", /more than 65536 characters/)
    }).pipe(Effect.provide(layer))
  )
})
