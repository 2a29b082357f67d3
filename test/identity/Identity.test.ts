import { assert, describe, it, vi } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { Call } from "../../src/call/Call.ts"
import type { Credentials, TokenSource } from "../../src/call/Credentials.ts"
import { IdentityInvalid } from "../../src/call/Errors.ts"
import { Identity } from "../../src/identity/Identity.ts"
import { makeIssuer, type TokenClaims } from "../../src/testing/Tokens.ts"

const issuer = makeIssuer()
const layer = Identity.layer({ issuers: [issuer.options] })
const mint: typeof issuer.mint = (claims, options) => issuer.mint(claims, { now: 0, ...options })

const user = (token: TokenSource | string, userName?: string): Credentials => ({
  _tag: "User",
  token: typeof token === "string" ? Redacted.make(token) : token,
  ...(userName !== undefined && { userName })
})
const resolve = (credentials: Credentials) =>
  Effect.flatMap(Identity, (identity) => identity.resolve(Call.generate({}, { app: "shop", credentials })))
const refusal = (credentials: Credentials): Effect.Effect<IdentityInvalid, unknown, Identity> =>
  Effect.map(Effect.flip(resolve(credentials)), invalid)
const invalid = (error: { readonly _tag: string }): IdentityInvalid => {
  assert.instanceOf(error, IdentityInvalid)
  return error
}

describe("Identity.resolve", () => {
  it.effect("gives an application its own name", () =>
    Effect.gen(function* () {
      const { principal } = yield* resolve({ _tag: "App" })
      assert.strictEqual(`${principal.kind}:${principal.id}`, "app:shop")
      assert.isUndefined(principal.tokenHash)
    }).pipe(Effect.provide(layer))
  )

  it.effect("gives an agent its name only if its call is signed", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* refusal({ _tag: "Agent", name: "bot" })).reason, "envelope")
      const call = Call.generate({}, { credentials: { _tag: "Agent", name: "bot" }, invocation: "a.b.c" })
      const { principal } = yield* (yield* Identity).resolve(call)
      assert.strictEqual(`${principal.kind}:${principal.id}`, "agent:bot")
    }).pipe(Effect.provide(layer))
  )

  it.effect("gives a user the principal of the verified token", () =>
    Effect.gen(function* () {
      const token = mint({
        sub: "s-1",
        preferred_username: "alice",
        roles: ["analyst"],
        company: "Acme",
        amr: ["fido"]
      })
      const { principal } = yield* resolve(user(token, "alice"))
      assert.strictEqual(principal.id, "alice")
      assert.deepStrictEqual(principal.documents, ["company:Acme", "role:analyst"])
      assert.deepStrictEqual(principal.attestations, ["phishing_resistant"])
      assert.strictEqual(principal.issuer, "https://issuer.test")
      assert.strictEqual(principal.expiresAt, 3600)
      assert.match(principal.tokenHash ?? "", /^[A-Za-z0-9_-]{43}$/)
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuses a userName that the token does not give, and names both", () =>
    Effect.gen(function* () {
      const error = yield* refusal(user(mint({ sub: "alice" }), "bob"))
      assert.strictEqual(error.reason, "name_mismatch")
      assert.include(error.message, '"bob"')
      assert.include(error.message, '"alice"')
      const token = Redacted.make(mint({ sub: "alice" }))
      yield* resolve(user(token))
      assert.strictEqual((yield* refusal(user(token, "Alice"))).reason, "name_mismatch")
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuses an empty token as missing, and never takes it for the application", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* refusal(user(""))).reason, "missing")
      assert.strictEqual((yield* refusal(user(() => Promise.resolve("")))).reason, "missing")
      assert.strictEqual((yield* refusal(user(() => Promise.reject(new Error("down"))))).reason, "missing")
      assert.strictEqual((yield* refusal(user(() => JSON.parse("{}")))).reason, "missing")
    }).pipe(Effect.provide(layer))
  )

  it.effect("refuses a user where no issuer is configured, and says how to configure one", () =>
    Effect.gen(function* () {
      const error = yield* refusal(user(mint()))
      assert.strictEqual(error.reason, "no_issuer")
      assert.include(error.message, "issuers: { issuer, audience }")
      assert.include(error.message, "SECURE_OPENAI_ISSUER")
      assert.include(error.message, "SECURE_OPENAI_AUDIENCE")
      yield* resolve({ _tag: "App" })
      yield* (yield* Identity).ready
    }).pipe(Effect.provide(Identity.layer({ issuers: [] })))
  )

  it.effect("refuses a forged token at every call, also after the real one was seen", () =>
    Effect.gen(function* () {
      const real = mint({ sub: "alice" })
      const [header, , signature] = real.split(".")
      const payload = Buffer.from(JSON.stringify({ sub: "root", iss: "https://issuer.test" })).toString("base64url")
      const forged = Redacted.make(`${header}.${payload}.${signature}`)
      yield* resolve(user(real))
      assert.strictEqual((yield* refusal(user(forged))).reason, "signature")
      assert.strictEqual((yield* refusal(user(forged))).reason, "signature")
      yield* resolve(user(real))
    }).pipe(Effect.provide(layer))
  )

  it.effect("checks the end of a token at every call, with 30 s of tolerance", () =>
    Effect.gen(function* () {
      const token = Redacted.make(mint({}, { expiresIn: 60 }))
      const first = yield* resolve(user(token))
      yield* TestClock.adjust("89 seconds")
      assert.deepStrictEqual((yield* resolve(user(token))).principal, first.principal)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* refusal(user(token))).reason, "expired")
      assert.strictEqual((yield* refusal(user(Redacted.value(token)))).reason, "expired")
    }).pipe(Effect.provide(layer))
  )

  it.effect("gives the same principal for the same token, however it is wrapped", () =>
    Effect.gen(function* () {
      const token = mint()
      const first = yield* resolve(user(token))
      const second = yield* resolve(user(token))
      assert.strictEqual(first.principal, second.principal)
      const other = yield* resolve(user(mint()))
      assert.notStrictEqual(other.principal.tokenHash, first.principal.tokenHash)
    }).pipe(Effect.provide(layer))
  )

  it.effect("asks a token function again only once its last token has expired", () =>
    Effect.gen(function* () {
      let asked = 0
      const source = () => Promise.resolve(mint({}, { now: 60_000 * asked++, expiresIn: 60 }))
      yield* resolve(user(source))
      yield* TestClock.adjust("59 seconds")
      yield* resolve(user(source))
      assert.strictEqual(asked, 1)
      yield* TestClock.adjust("1 second")
      const renewed = yield* resolve(user(source))
      assert.strictEqual(asked, 2)
      assert.strictEqual(renewed.principal.expiresAt, 120)
    }).pipe(Effect.provide(layer))
  )

  it.effect.each<readonly [what: string, first: TokenClaims, later: TokenClaims, reason: string | undefined]>([
    ["of the same user", {}, {}, undefined],
    [
      "with other roles, groups and company",
      { roles: ["a"], company: "Acme" },
      { roles: ["b"], groups: ["eu"] },
      undefined
    ],
    ["of another sub", {}, { sub: "bob" }, "subject_changed"],
    [
      "of another sub under the same name",
      { preferred_username: "al" },
      { sub: "bob", preferred_username: "al" },
      "subject_changed"
    ],
    [
      "of the same sub under another name",
      { preferred_username: "al" },
      { preferred_username: "bob" },
      "subject_changed"
    ],
    ["of the same sub, now without its name", { preferred_username: "al" }, {}, "subject_changed"],
    ["of the same sub at another issuer", {}, { iss: "https://other.test" }, "subject_changed"]
  ])("a token function may give a renewed token %s or not", ([, first, later, reason]) =>
    Effect.gen(function* () {
      const other = makeIssuer("https://other.test")
      const claims = [first, later, first]
      let asked = 0
      const source = async () => {
        const next = claims[asked]
        const now = 60_000 * asked++
        return "iss" in (next ?? {}) ? other.mint({}, { now, expiresIn: 60 }) : mint(next, { now, expiresIn: 60 })
      }
      yield* Effect.gen(function* () {
        yield* resolve(user(source))
        yield* TestClock.adjust("1 minute")
        if (reason === undefined) return void (yield* resolve(user(source)))
        const error = yield* refusal(user(source))
        assert.strictEqual(error.reason, reason)
        assert.match(error.message, /its (iss|sub|user name) is not that of the first token\. Have it get/)
        assert.notInclude(error.message, "bob")
        yield* TestClock.adjust("1 minute")
        yield* resolve(user(source))
      }).pipe(Effect.provide(Identity.layer({ issuers: [issuer.options, other.options] })))
    })
  )

  it.effect(
    "pins the user of a token function with the first token that is accepted, not with one that is refused",
    () =>
      Effect.gen(function* () {
        const claims = [{ sub: "bob" }, { sub: "alice" }, { sub: "bob" }]
        let asked = 0
        const source = async () => {
          const now = 60_000 * asked
          return mint(claims[asked++], { now, expiresIn: 60 })
        }
        assert.strictEqual((yield* refusal(user(source, "alice"))).reason, "name_mismatch")
        yield* TestClock.adjust("1 minute")
        yield* resolve(user(source, "alice"))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* refusal(user(source, "alice"))).reason, "subject_changed")
      }).pipe(Effect.provide(layer))
  )

  it.effect("lets concurrent calls share one answer of a token function", () =>
    Effect.gen(function* () {
      let asked = 0
      const source = async () => {
        asked++
        await new Promise((done) => setTimeout(done, 5))
        return mint()
      }
      const all = yield* Effect.all(
        Array.from({ length: 20 }, () => resolve(user(source))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(asked, 1)
      assert.strictEqual(new Set(all.map(({ principal }) => principal)).size, 1)
    }).pipe(Effect.provide(layer))
  )

  it.effect("asks a token function again after it failed", () =>
    Effect.gen(function* () {
      let asked = 0
      const source = () => (asked++ === 0 ? Promise.reject(new Error("down")) : Promise.resolve(mint()))
      assert.strictEqual((yield* refusal(user(source))).reason, "missing")
      yield* resolve(user(source))
    }).pipe(Effect.provide(layer))
  )

  it.effect("asks a token function again after its token was refused for good", () =>
    Effect.gen(function* () {
      const { audience, jwks } = issuer.options
      let answer = () => Response.json(jwks)
      const fetching = vi.spyOn(globalThis, "fetch").mockImplementation(() => Promise.resolve(answer()))
      yield* Effect.addFinalizer(() => Effect.sync(() => fetching.mockRestore()))
      let asked = 0
      const source = () => {
        asked++
        return Promise.resolve(mint())
      }
      let revoked: () => unknown = () => false
      const remote = { issuer: issuer.options.issuer, audience, jwksUri: "https://issuer.test/jwks" }
      yield* Effect.gen(function* () {
        const { principal } = yield* resolve(user(source))
        revoked = () => undefined
        yield* refusal(user(source))
        revoked = () => false
        assert.strictEqual((yield* resolve(user(source))).principal, principal, "not where the hook could not tell")
        revoked = () => true
        yield* refusal(user(source))
        revoked = () => false
        yield* resolve(user(source))
        assert.strictEqual(asked, 2)

        yield* TestClock.adjust("5 minutes")
        answer = () => new Response("", { status: 500 })
        assert.strictEqual((yield* refusal(user(source))).reason, "keys_unavailable")
        yield* TestClock.adjust("1 second")
        answer = () => Response.json({ keys: [] })
        assert.strictEqual((yield* refusal(user(source))).reason, "unknown_key")
        assert.strictEqual(asked, 2, "not where only the issuer's silence refused it")
        answer = () => Response.json(jwks)
        yield* TestClock.adjust("20 seconds")
        yield* resolve(user(source))
        assert.strictEqual(asked, 3)
      }).pipe(Effect.provide(Identity.layer({ issuers: [{ ...remote, revoked: () => revoked() as boolean }] })))
    })
  )

  it.effect(
    "keeps 10,000 tokens, and lets go the one kept longest",
    () =>
      Effect.gen(function* () {
        const tokens = Array.from({ length: 10_001 }, (_, i) => mint({ sub: `user-${i}` }))
        const principalOf = (token: string) => Effect.map(resolve(user(token)), ({ principal }) => principal)
        const [first, second] = yield* Effect.forEach(tokens, principalOf)
        assert.strictEqual(yield* principalOf(tokens[1] ?? ""), second)
        assert.notStrictEqual(yield* principalOf(tokens[0] ?? ""), first)
      }).pipe(Effect.provide(layer)),
    180_000
  )

  it("waits for a token function for 10 s, and for a revocation hook for 5 s", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] })
    try {
      const never = () => new Promise<never>(() => {})
      for (const [credentials, options, seconds, reason] of [
        [user(never), {}, 10, "missing"],
        [user(issuer.mint()), { revoked: never }, 5, "revoked"]
      ] as const) {
        let ended = false
        const waiting = Effect.runPromise(
          Effect.provide(refusal(credentials), Identity.layer({ issuers: [{ ...issuer.options, ...options }] }))
        ).finally(() => (ended = true))
        while (vi.getTimerCount() === 0) await new Promise((done) => setImmediate(done))
        await vi.advanceTimersByTimeAsync(seconds * 1000 - 1)
        assert.isFalse(ended)
        await vi.advanceTimersByTimeAsync(1)
        const error = await waiting
        assert.strictEqual(error instanceof IdentityInvalid && error.reason, reason)
        assert.include(String(error instanceof IdentityInvalid && error.cause), `no answer within ${seconds} s`)
      }
    } finally {
      vi.useRealTimers()
    }
  })

  it.effect("holds a token against the issuer's keys again after five minutes", () =>
    Effect.gen(function* () {
      const { audience, jwks } = issuer.options
      let keys = jwks.keys
      vi.useFakeTimers({ toFake: ["Date"], now: 0 })
      vi.spyOn(globalThis, "fetch").mockImplementation(() => Promise.resolve(Response.json({ keys })))
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          vi.useRealTimers()
          vi.restoreAllMocks()
        })
      )
      const remote = { issuer: issuer.options.issuer, audience, jwksUri: "https://issuer.test/jwks" }
      yield* Effect.gen(function* () {
        const credentials = user(mint())
        yield* resolve(credentials)
        keys = []
        yield* TestClock.adjust("299 seconds")
        vi.setSystemTime(299_000)
        yield* resolve(credentials)
        // What is verified now rests on a key set that is as old.
        const late = user(mint())
        yield* resolve(late)
        yield* TestClock.adjust("1 second")
        vi.setSystemTime(300_000)
        assert.strictEqual((yield* refusal(credentials)).reason, "unknown_key")
        assert.strictEqual((yield* refusal(late)).reason, "unknown_key")
      }).pipe(Effect.provide(Identity.layer({ issuers: [remote] })))
    })
  )

  it.effect("verifies a token anew after five minutes, by a given key set too", () =>
    Effect.gen(function* () {
      const credentials = user(mint())
      const { principal } = yield* resolve(credentials)
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual((yield* resolve(credentials)).principal, principal)
      yield* TestClock.adjust("1 second")
      assert.notStrictEqual((yield* resolve(credentials)).principal, principal)
    }).pipe(Effect.provide(layer))
  )

  it.effect("never mixes concurrent callers", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 200 }, (_, i) => `user-${i % 20}`)
      const tokens = new Map(names.map((name) => [name, mint({ sub: name })]))
      const found = yield* Effect.forEach(names, (name) => resolve(user(tokens.get(name) ?? "", name)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        found.map(({ principal }) => principal.id),
        names
      )
    }).pipe(Effect.provide(layer))
  )

  it.effect("quotes no token in an error", () =>
    Effect.gen(function* () {
      const token = mint({ aud: "other" })
      const error = yield* refusal(user(token))
      for (const part of token.split(".")) assert.notInclude(`${error.message}${JSON.stringify(error)}`, part)
    }).pipe(Effect.provide(layer))
  )
})

describe("a revocation hook", () => {
  const answers: ReadonlyArray<readonly [string, () => unknown]> = [
    ["true", () => true],
    ["a promise of true", () => Promise.resolve(true)],
    ["nothing", () => undefined],
    ["0", () => 0],
    [
      "an error",
      () => {
        throw new Error("down")
      }
    ],
    ["a rejection", () => Promise.reject(new Error("down"))]
  ]
  it.each(answers)("refuses where it gives %s, also a token that was served before", async (_, answer) => {
    let current: () => unknown = () => false
    const presented: Array<unknown> = []
    const revoked = (token: unknown) => {
      presented.push(token)
      return current() as boolean
    }
    await Effect.gen(function* () {
      const credentials = user(issuer.mint({ sub: "alice" }))
      const { principal } = yield* resolve(credentials)
      assert.deepStrictEqual(presented, [
        { claims: principal.claims, issuer: principal.issuer, tokenHash: principal.tokenHash }
      ])
      current = answer
      assert.strictEqual((yield* refusal(credentials)).reason, "revoked")
      assert.strictEqual((yield* refusal(credentials)).reason, "revoked")
      current = () => Promise.resolve(false)
      yield* resolve(credentials)
      assert.strictEqual(presented.length, 4)
    }).pipe(Effect.provide(Identity.layer({ issuers: [{ ...issuer.options, revoked }] })), Effect.runPromise)
  })
})

describe("tokens and clocks", () => {
  /** Both clocks of a test, in seconds, each set alone. */
  const clocks = () => {
    const at = { wall: 0, steady: 0 }
    const clock: Clock.Clock = {
      currentTimeMillisUnsafe: () => at.wall * 1000,
      currentTimeMillis: Effect.sync(() => at.wall * 1000),
      currentTimeNanosUnsafe: () => BigInt(at.wall) * 1_000_000_000n,
      currentTimeNanos: Effect.sync(() => BigInt(at.wall) * 1_000_000_000n),
      monotonicTimeNanosUnsafe: () => BigInt(at.steady) * 1_000_000_000n,
      monotonicTimeNanos: Effect.sync(() => BigInt(at.steady) * 1_000_000_000n),
      sleep: () => Effect.void
    }
    return { at, clock }
  }
  const during = (
    test: (at: { wall: number; steady: number }) => Effect.Effect<void, unknown, Identity>,
    identity: typeof layer = layer
  ) => {
    const { at, clock } = clocks()
    return test(at).pipe(Effect.provide(identity), Effect.provideService(Clock.Clock, clock), Effect.runPromise)
  }

  it("refuses while the clock is set back by more than 30 s, as unavailable, and accepts once it has caught up", () =>
    during((at) =>
      Effect.gen(function* () {
        const unavailable = Effect.gen(function* () {
          const error = yield* Effect.flip(resolve(credentials))
          assert.strictEqual(error._tag, "EnforcementUnavailable")
          const ready = yield* Effect.flip(Effect.flatMap(Identity, (identity) => identity.ready))
          assert.strictEqual(ready._tag, "EnforcementUnavailable")
          return error
        })
        at.wall = at.steady = 3600
        const credentials = user(mint({}, { expiresIn: 9000 }))
        yield* resolve(credentials)
        at.wall = 3570
        yield* resolve(credentials)
        at.wall = 3569
        yield* unavailable
        at.wall = 0
        at.steady = 3700
        const { message } = yield* unavailable
        assert.include(message, "back by 3700 s")
        assert.match(message, /restart this process\. Where the log took records at the wrong time, .*clock_behind/)
        at.wall = 100
        at.steady = 3800
        yield* unavailable
        at.wall = 0
        at.steady = 9999
        yield* unavailable
        at.wall = 9970
        at.steady = 9990
        assert.strictEqual((yield* refusal(credentials)).reason, "expired")
      })
    ))

  it("goes on after a jump forward: tokens end sooner, never later", () =>
    during((at) =>
      Effect.gen(function* () {
        const short = user(mint({}, { expiresIn: 60 }))
        const long = user(mint({}, { expiresIn: 9000 }))
        yield* resolve(short)
        yield* resolve(long)
        at.wall = 600
        assert.strictEqual((yield* refusal(short)).reason, "expired")
        yield* resolve(long)
        at.wall = 569
        assert.strictEqual((yield* Effect.flip(resolve(long)))._tag, "EnforcementUnavailable", "and back again")
        at.wall = 570
        yield* resolve(long)
      })
    ))

  for (const step of [600, 31, 29])
    it(`verifies a token anew where the steady clock stands still, ${step} s at a time`, () =>
      during((at) =>
        Effect.gen(function* () {
          const credentials = user(mint({}, { expiresIn: 9000 }))
          const { principal } = yield* resolve(credentials)
          assert.strictEqual((yield* resolve(credentials)).principal, principal)
          for (; at.wall < 360; at.wall += step) yield* resolve(credentials)
          assert.notStrictEqual((yield* resolve(credentials)).principal, principal)
        })
      ))

  it("asks for an issuer's keys anew after a sleep in which the steady clock stood still", async () => {
    const keys: { now: unknown } = { now: issuer.options.jwks }
    const server = Http.createServer(
      (_, response) =>
        void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(keys.now))
    )
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
    const { jwks: _, ...options } = issuer.options
    const jwksUri = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const asleep = Identity.layer({ issuers: [{ ...options, jwksUri }] })
    await during(
      (at) =>
        Effect.gen(function* () {
          const credentials = user(mint({}, { expiresIn: 80_000 }))
          yield* resolve(credentials)
          keys.now = makeIssuer().options.jwks
          at.wall = 3600
          assert.strictEqual((yield* refusal(credentials)).reason, "unknown_key")
        }),
      asleep
    ).finally(() => server.close())
  })

  it("keeps nothing past exp: within the tolerance a token is verified at every call", () =>
    during((at) =>
      Effect.gen(function* () {
        const token = Redacted.make(mint({}, { expiresIn: 60 }))
        const { principal } = yield* resolve(user(token))
        at.wall = at.steady = 59
        assert.strictEqual((yield* resolve(user(token))).principal, principal)
        at.wall = at.steady = 60
        assert.notStrictEqual((yield* resolve(user(token))).principal, principal)
        at.wall = at.steady = 89
        yield* resolve(user(token))
        at.wall = at.steady = 90
        assert.strictEqual((yield* refusal(user(token))).reason, "expired")
      })
    ))
})

describe("Identity.principal", () => {
  it.effect("gives the same answers outside a pipeline", () =>
    Effect.gen(function* () {
      const identity = yield* Identity
      assert.strictEqual((yield* identity.principal({ _tag: "App" }, "shop")).id, "shop")
      assert.strictEqual((yield* identity.principal(user(mint({ sub: "bob" })), "shop")).id, "bob")
      const error = yield* Effect.flip(identity.principal({ _tag: "Agent", name: "x" }, "shop"))
      assert.strictEqual(invalid(error).reason, "envelope")
    }).pipe(Effect.provide(layer))
  )
})

describe("Identity.layer", () => {
  it.effect("fails for an issuer without audience", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.provide(Identity, Identity.layer({ issuers: [{ ...issuer.options, audience: "" }] }))
      )
      assert.strictEqual(error._tag, "Configuration")
    })
  )
})
