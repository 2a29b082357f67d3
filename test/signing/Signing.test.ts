import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { compactVerify, importJWK } from "jose"
import { Call, type CallOptions } from "../../src/call/Call.ts"
import { Identified } from "../../src/call/States.ts"
import type { Lineage } from "../../src/call/Lineage.ts"
import { EnforcementUnavailable, type IdentityInvalid } from "../../src/call/Errors.ts"
import { generate, Keys } from "../../src/keys/Keys.ts"
import { app, type Principal } from "../../src/call/Principal.ts"
import { type Agent, Directory } from "../../src/signing/Directory.ts"
import * as Envelope from "../../src/signing/Envelope.ts"
import { Replay } from "../../src/signing/Replay.ts"
import { Signing } from "../../src/signing/Signing.ts"

const layer = Signing.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(Keys.layerMemory, Directory.layer, Replay.layerMemory))
)
const key = generate()
const params = { model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] }
const where: CallOptions = { app: "shop", server: "service-1" }
const alice: Principal = {
  ...app("alice"),
  kind: "user",
  issuer: "https://issuer.test",
  tokenHash: "A".repeat(43)
}
const bot: Principal = { ...app("bot"), kind: "agent" }
const registered: Agent = {
  agentId: "agent-1",
  kid: key.kid,
  publicKey: key.publicKey,
  kind: "user",
  app: "bot",
  principal: alice
}

const invocationOf = (principal = alice, options: CallOptions = {}, body: object = params) =>
  Effect.clockWith((clock) =>
    Effect.succeed(
      Envelope.signInvocation({
        key,
        agentId: "agent-1",
        principal,
        call: Call.generate(body, { ...where, ...options }),
        now: clock.currentTimeMillisUnsafe()
      })
    )
  )
const sign = (principal: Principal, options: CallOptions = {}, body: object = params) =>
  Effect.flatMap(Signing, (signing) =>
    signing.sign(new Identified(Call.generate(body, { ...where, ...options }), principal))
  )
const refusal = (
  principal: Principal,
  options: CallOptions,
  body: object = params
): Effect.Effect<IdentityInvalid["reason"], unknown, Signing> =>
  Effect.map(Effect.flip(sign(principal, options, body)), (error) => {
    assert.strictEqual(error._tag, "IdentityInvalid")
    return error._tag === "IdentityInvalid" ? error.reason : assert.fail()
  })
const register = (agent: Agent) => Effect.map(Directory, (directory) => directory.add(agent))
const claimsOf = (jws: string): Envelope.EnvelopeClaims =>
  JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString())

/** An envelope of the agent or service `iss`, which follows `parent`. */
const link = (iss: string, parent: Envelope.Link | undefined) =>
  Envelope.sign({
    ...Envelope.ofCall(Call.generate(params, where), alice),
    key,
    iss,
    aud: "service-1",
    parent,
    now: 0
  })

describe("Signing.sign", () => {
  it.effect("signs every call with the agent key, for its provider", () =>
    Effect.gen(function* () {
      const signed = yield* sign(alice)
      const { agent } = yield* Keys
      yield* Effect.promise(async () => compactVerify(signed.envelope, await importJWK(agent.jwk, "Ed25519")))
      assert.strictEqual(signed.kid, agent.kid)
      const claims = claimsOf(signed.envelope)
      assert.strictEqual(claims.iss, "service-1")
      assert.strictEqual(claims.aud, "https://api.openai.com")
      assert.strictEqual(claims.sub, "alice")
      assert.strictEqual(claims.tool, "tool:shop/generate")
      assert.strictEqual(claims.ath, alice.tokenHash)
      assert.strictEqual(claims.dep, 0)
      assert.strictEqual(claims.prm?.["messages"]?.length, 1)
    }).pipe(Effect.provide(layer))
  )

  it.effect("addresses a tool that stays here to the server itself", () =>
    Effect.gen(function* () {
      const signing = yield* Signing
      const signed = yield* signing.sign(new Identified(Call.tool("weather", {}, where), app("shop")))
      assert.strictEqual(claimsOf(signed.envelope).aud, "service-1")
    }).pipe(Effect.provide(layer))
  )

  it.effect("verifies an invocation, and names it as the parent", () =>
    Effect.gen(function* () {
      yield* register(registered)
      const invocation = yield* invocationOf()
      const signed = yield* sign(alice, { invocation })
      const parent = claimsOf(invocation)
      const claims = claimsOf(signed.envelope)
      assert.strictEqual(claims.txn, parent.jti)
      assert.strictEqual(claims.dep, 1)
      assert.deepStrictEqual(claims.act, { sub: "agent-1" })
      assert.match(claims.prh ?? "", /^[A-Za-z0-9_-]{43}$/)
    }).pipe(Effect.provide(layer))
  )

  it.effect("lets an invocation through once", () =>
    Effect.gen(function* () {
      yield* register(registered)
      const invocation = yield* invocationOf()
      yield* sign(alice, { invocation })
      assert.strictEqual(yield* refusal(alice, { invocation }), "replayed")
    }).pipe(Effect.provide(layer))
  )

  it.effect("lets one of many concurrent uses of an invocation through", () =>
    Effect.gen(function* () {
      yield* register(registered)
      const invocation = yield* invocationOf()
      const results = yield* Effect.all(
        Array.from({ length: 50 }, () => Effect.result(sign(alice, { invocation }))),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(
        results.filter(({ _tag }) => _tag === "Success"),
        1
      )
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuses an invocation for other params, another server, tool, token or principal", () =>
    Effect.gen(function* () {
      yield* register(registered)
      const invocation = yield* invocationOf()
      assert.strictEqual(yield* refusal(alice, { invocation }, { ...params, model: "gpt-5" }), "envelope")
      assert.strictEqual(yield* refusal(alice, { invocation, server: "service-2" }), "envelope")
      assert.strictEqual(yield* refusal(alice, { invocation, app: "other" }), "envelope")
      assert.strictEqual(yield* refusal({ ...alice, tokenHash: "B".repeat(43) }, { invocation }), "envelope")
      assert.strictEqual(yield* refusal({ ...alice, id: "bob" }, { invocation }), "envelope")
      yield* sign(alice, { invocation })
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuses an invocation that has expired", () =>
    Effect.gen(function* () {
      yield* register(registered)
      const invocation = yield* invocationOf()
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* refusal(alice, { invocation }), "envelope")
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuses an agent that is not registered, or no longer", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* refusal(alice, { invocation: yield* invocationOf() }), "envelope")
      yield* register(registered)
      const invocation = yield* invocationOf()
      yield* Effect.map(Directory, (directory) => directory.remove("agent-1"))
      assert.strictEqual(yield* refusal(alice, { invocation }), "envelope")
      const other = generate()
      yield* register({ ...registered, kid: other.kid, publicKey: other.publicKey })
      assert.strictEqual(yield* refusal(alice, { invocation }), "envelope")
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuses an invocation that names another key than the registered one", () =>
    Effect.gen(function* () {
      yield* register(registered)
      const invocation = Envelope.signInvocation({
        key: { ...key, kid: generate().kid },
        agentId: "agent-1",
        principal: alice,
        call: Call.generate(params, where),
        now: 0
      })
      assert.strictEqual(yield* refusal(alice, { invocation }), "envelope")
    }).pipe(Effect.provide(layer))
  )

  it.effect("lets an agent act in no other name than its own", () =>
    Effect.gen(function* () {
      yield* register(registered)
      // Alice's agent drops her identity, and with it her policies.
      assert.strictEqual(yield* refusal(bot, { invocation: yield* invocationOf(bot) }), "envelope")
      const sameNameOtherwise: Principal = { ...alice, kind: "agent" }
      assert.strictEqual(
        yield* refusal(sameNameOtherwise, { invocation: yield* invocationOf(sameNameOtherwise) }),
        "envelope"
      )
      const sameNameElsewhere = { ...alice, issuer: "https://other.test" }
      assert.strictEqual(
        yield* refusal(sameNameElsewhere, { invocation: yield* invocationOf(sameNameElsewhere) }),
        "envelope"
      )
    }).pipe(Effect.provide(layer))
  )

  it.effect("knows an agent without a token by the name of its application", () =>
    Effect.gen(function* () {
      const { principal: _, ...agent } = registered
      yield* register({ ...agent, kind: "agent" })
      yield* sign(bot, { invocation: yield* invocationOf(bot) })
      yield* sign(alice, { invocation: yield* invocationOf(alice) })
      const root: Principal = { ...bot, id: "root" }
      assert.strictEqual(yield* refusal(root, { invocation: yield* invocationOf(root) }), "envelope")
    }).pipe(Effect.provide(layer))
  )

  it.effect("ends a chain of eight agents", () =>
    Effect.gen(function* () {
      yield* register(registered)
      let envelope = link("agent-1", undefined)
      const chain = [envelope.jws]
      for (let depth = 1; depth <= 7; depth++) chain.push((envelope = link("agent-1", envelope)).jws)
      const signed = yield* sign(alice, { invocation: envelope.jws, chain: chain.slice(0, -1) })
      assert.strictEqual(claimsOf(signed.envelope).dep, 8)
      assert.deepStrictEqual(signed.chain, chain)
      assert.strictEqual(yield* refusal(alice, { invocation: link("agent-1", envelope).jws, chain }), "envelope")
    }).pipe(Effect.provide(layer))
  )

  it.effect("follows the call in whose course it is made, while that one's chain is good", () =>
    Effect.gen(function* () {
      const root = link("service-1", undefined)
      const before = link("service-1", root)
      const lineage: Lineage = {
        call: "c",
        principal: alice,
        credentials: { _tag: "App" },
        intents: [],
        behalf: [],
        envelope: before.jws,
        chain: [root.jws]
      }
      const signedIn = (principal: Principal, change: Partial<Lineage> = {}) =>
        Effect.map(sign(principal, { lineage: { ...lineage, ...change } }), ({ chain, envelope }) => {
          const { dep, prh, txn } = claimsOf(envelope)
          return { chain, dep, follows: prh === before.digest && txn === root.claims.jti }
        })
      const following = { chain: [root.jws, before.jws], dep: 2, follows: true }
      const beginning = { chain: [], dep: 0, follows: false }
      assert.deepStrictEqual(yield* signedIn(alice), following)
      // What a mock signed is none, and whoever is not the same begins anew.
      assert.deepStrictEqual(yield* signedIn(alice, { envelope: "x" }), beginning)
      assert.deepStrictEqual(yield* signedIn({ ...alice, tokenHash: "B".repeat(43) }), beginning)
      assert.deepStrictEqual(yield* signedIn({ ...alice, id: "bob" }), beginning)
      assert.deepStrictEqual(yield* signedIn({ ...alice, kind: "agent" }), beginning)
      let deep = before
      while (deep.claims.dep < Envelope.maximumDepth) deep = link("service-1", deep)
      assert.strictEqual(yield* refusal(alice, { lineage: { ...lineage, envelope: deep.jws } }), "envelope")
      yield* TestClock.setTime(59_999)
      assert.deepStrictEqual(yield* signedIn(alice), following)
      yield* TestClock.setTime(60_000)
      assert.deepStrictEqual(yield* signedIn(alice), beginning)
    }).pipe(Effect.provide(layer))
  )

  it.effect("fails closed when the signer does", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(sign(alice))
      assert.instanceOf(error, EnforcementUnavailable)
      assert.strictEqual(error._tag === "EnforcementUnavailable" ? error.stage : "", "signing")
    }).pipe(
      Effect.provide(
        Signing.layer.pipe(
          Layer.provide(
            Layer.mergeAll(
              Layer.effect(
                Keys,
                Effect.map(Keys, (keys) => ({
                  ...keys,
                  agent: {
                    ...keys.agent,
                    sign: () => {
                      throw new Error("the HSM is gone")
                    }
                  }
                }))
              ).pipe(Layer.provide(Keys.layerMemory)),
              Directory.layer,
              Replay.layerMemory
            )
          )
        )
      )
    )
  )

  it.effect("fails closed when nothing more can be remembered", () =>
    Effect.gen(function* () {
      yield* register(registered)
      const error = yield* Effect.flip(sign(alice, { invocation: yield* invocationOf() }))
      assert.strictEqual(error._tag, "EnforcementUnavailable")
    }).pipe(
      Effect.provide(
        Signing.layer.pipe(
          Layer.provideMerge(
            Layer.mergeAll(
              Keys.layerMemory,
              Directory.layer,
              Layer.succeed(Replay, {
                use: () => Effect.fail(new EnforcementUnavailable({ stage: "signing", message: "full" }))
              })
            )
          )
        )
      )
    )
  )
})
