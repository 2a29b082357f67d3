import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import { exportJWK, generateKeyPair } from "jose"
import * as Http from "node:http"
import { IdentityInvalid } from "../../src/call/Errors.ts"
import * as Jwks from "../../src/identity/Jwks.ts"
import * as Claims from "../../src/identity/Claims.ts"
import * as Issuer from "../../src/identity/Issuer.ts"
import * as Jwt from "../../src/identity/Jwt.ts"
import { makeIssuer } from "../../src/testing/Tokens.ts"
import { audience, startProvider } from "./provider.ts"

/** Both clocks of a test; the steady one can be moved on. */
let moved = 0
const steady = () => performance.now() + moved
/** The steady clock, moved by the test alone. */
const frozen = () => moved
const time = { wall: () => Date.now(), steady }

/** A server on this machine whose answers a test can change. */
const serve = async (answer: Http.RequestListener) => {
  let requests = 0
  const current = { answer }
  const server = Http.createServer((request, response) => {
    requests++
    current.answer(request, response)
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    answer: (next: Http.RequestListener) => void (current.answer = next),
    requests: () => requests,
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}
const json =
  (value: unknown, status = 200): Http.RequestListener =>
  (_, response) =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))

const outcome = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "accepted",
    (error: unknown) => {
      assert.instanceOf(error, IdentityInvalid)
      return error.reason
    }
  )

describe("a key set of the type application/jwk-set+json", () => {
  it("is asked for and taken, as the API server of Kubernetes gives it", async () => {
    const { mint, options } = makeIssuer()
    const server = await serve((request, response) => {
      const type = "application/jwk-set+json"
      if (request.headers.accept?.includes(type) !== true) return void response.writeHead(406).end()
      return void response.writeHead(200, { "content-type": type }).end(JSON.stringify(options.jwks))
    })
    const { audience, issuer } = options
    const issuers = Issuer.issuers([{ issuer, audience, jwksUri: `${server.url}/openid/v1/jwks` }])
    assert.strictEqual(await outcome(Jwt.verify(mint(), issuers, time)), "accepted")
    server.close()
  })
})

describe("a real OpenID provider", () => {
  let server: Awaited<ReturnType<typeof startProvider>>

  beforeAll(async () => {
    vi.spyOn(console, "warn").mockReturnValue()
    vi.spyOn(console, "info").mockReturnValue()
    server = await startProvider("one")
  })
  afterAll(() => {
    vi.restoreAllMocks()
    server.close()
  })

  it("is discovered, its at+jwt is accepted, and a forged one is not", async () => {
    const issuers = Issuer.issuers([{ issuer: server.url, audience }])
    const real = await server.token()
    const { claims } = await Jwt.verify(real, issuers, time)
    assert.strictEqual(claims["preferred_username"], "alice")
    const mapping = Claims.mapping({ roles: ["realm_access", "roles"], team: "https://acme.example/team" })
    const credential = { issuer: server.url, expiresAt: 0, tokenHash: "" }
    assert.deepStrictEqual(Claims.principal(claims, mapping, credential).documents, [
      "company:Acme",
      "team:Lab",
      "role:analyst"
    ])
    const forged = makeIssuer(server.url, audience).mint({}, { header: { kid: "one", alg: "ES256" } })
    assert.strictEqual(await outcome(Jwt.verify(forged, issuers, time)), "signature")
    const elsewhere = Issuer.issuers([{ issuer: server.url, audience: "https://other.example" }])
    assert.strictEqual(await outcome(Jwt.verify(real, elsewhere, time)), "audience")
  })

  it("may change its key: the new one counts within 30 s, the old one no longer than the set is kept", async () => {
    const issuers = Issuer.issuers([{ issuer: server.url, audience }])
    const before = await server.token()
    await Jwt.verify(before, issuers, time)
    await server.rotate("two")
    const after = await server.token()
    moved += 10_000
    assert.strictEqual(await outcome(Jwt.verify(after, issuers, time)), "accepted")
    assert.strictEqual(await outcome(Jwt.verify(before, issuers, time)), "unknown_key")
    moved += Jwks.maximumAge
    assert.strictEqual(await outcome(Jwt.verify(after, issuers, time)), "accepted")
  })

  it("is not asked for every unknown key id", async () => {
    const issuers = Issuer.issuers([{ issuer: server.url, audience }])
    await Jwt.verify(await server.token(), issuers, time)
    const asked = server.requests()
    const mint = makeIssuer(server.url, audience).mint
    const reasons = await Promise.all(
      Array.from({ length: 50 }, (_, i) => outcome(Jwt.verify(mint({}, { header: { kid: `x${i}` } }), issuers, time)))
    )
    assert.deepStrictEqual(new Set(reasons), new Set(["unknown_key"]))
    assert.strictEqual(server.requests(), asked)
  })
})

describe("Jwks.make", () => {
  const { options } = makeIssuer()
  const kid = options.jwks.keys[0]?.kid ?? ""
  const header = { alg: "Ed25519", kid } as const
  const with_ = async (
    answer: Http.RequestListener,
    test: (server: Awaited<ReturnType<typeof serve>>) => Promise<void>
  ) => {
    const server = await serve(answer)
    try {
      await test(server)
    } finally {
      server.close()
    }
  }
  const at = (url: string) => Jwks.make({ issuer: "https://id.example", jwksUri: `${url}/jwks` })

  it("fetches a set once for many tokens at once", () =>
    with_(json(options.jwks), async (server) => {
      const keys = at(server.url)
      await Promise.all(Array.from({ length: 20 }, () => keys.key(header, steady)))
      await keys.ready(steady)
      assert.strictEqual(server.requests(), 1)
    }))

  it.each<readonly [string, Http.RequestListener]>([
    ["answers 500", json({}, 500)],
    ["answers 204", json({}, 204)],
    ["answers 404, even with a good one", json(options.jwks, 404)],
    ["answers 203, even with a good one", json(options.jwks, 203)],
    [
      "redirects, even to a good one",
      (request, response) =>
        request.url === "/jwks"
          ? void response.writeHead(302, { location: "/elsewhere" }).end()
          : json(options.jwks)(request, response)
    ],
    ["is not JSON", (_, response) => void response.end("<html>")],
    ["holds no keys", json({})],
    ["holds more than 64 keys", json({ keys: Array.from({ length: 65 }, () => ({})) })],
    ["is longer than 256 KiB", json({ keys: [], filler: "x".repeat(300_000) })],
    ["hangs up", (_, response) => void response.destroy()]
  ])("fails closed when the set %s", (_, answer) =>
    with_(answer, async (server) => {
      const keys = at(server.url)
      assert.strictEqual(await outcome(keys.ready(steady)), "keys_unavailable")
      assert.strictEqual(await outcome(keys.key(header, steady)), "keys_unavailable")
    })
  )

  it.each<readonly [string, Http.RequestListener]>([
    [
      "is HTML by its type",
      (_, response) => void response.setHeader("content-type", "text/html").end(JSON.stringify(options.jwks))
    ],
    ["has no type", (_, response) => void response.end(JSON.stringify(options.jwks))],
    [
      "says something twice",
      (_, response) =>
        void response
          .setHeader("content-type", "application/json")
          .end(`{"keys":[],${JSON.stringify(options.jwks).slice(1)}`)
    ],
    ["has 200,000 keys", json({ keys: Array.from({ length: 200_000 }, () => 0) })]
  ])("fails closed when the set %s", (_, answer) =>
    with_(answer, async (server) => {
      assert.strictEqual(await outcome(at(server.url).key(header, steady)), "keys_unavailable")
    })
  )

  it.each<readonly [string, Http.RequestListener]>([
    ["does not answer", () => {}],
    ["begins and never ends", (_, response) => void response.setHeader("content-type", "application/json").write("{")]
  ])("gives up after 5 s when the issuer %s", (_, answer) =>
    with_(answer, async (server) => {
      const late = new AbortController()
      const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(late.signal)
      try {
        const waiting = outcome(at(server.url).key(header, steady))
        await vi.waitFor(() => assert.strictEqual(server.requests(), 1))
        late.abort()
        assert.strictEqual(await waiting, "keys_unavailable")
        assert.deepStrictEqual(timeout.mock.calls, [[5000]])
      } finally {
        timeout.mockRestore()
      }
    })
  )

  it("compares key ids to the code unit, whatever stands in them, and shows them in no message", () => {
    const kids = [
      "public:hydra.openid",
      "did:web:acme.example#1",
      "a@b",
      "key 1",
      "../x",
      "\u001b[31mred\u202e",
      "\u00fc"
    ]
    const unknown = ["public:hydra", "did:web:acme.example#2", "A@b", "key  1", "./x", "\u001b[31mred", "u\u0308"]
    return with_(json({}), async (server) => {
      const { mint, options: own } = makeIssuer("https://id.example")
      const issuers = Issuer.issuers([{ ...own, jwks: undefined, jwksUri: `${server.url}/jwks` }])
      server.answer(json({ keys: kids.map((kid) => ({ ...own.jwks.keys[0], kid })) }))
      for (const kid of kids)
        assert.strictEqual(await outcome(Jwt.verify(mint({}, { header: { kid } }), issuers, time)), "accepted", kid)
      for (const kid of unknown) {
        const error: unknown = await Jwt.verify(mint({}, { header: { kid } }), issuers, time).catch((e: unknown) => e)
        assert.instanceOf(error, IdentityInvalid)
        assert.strictEqual(error.reason, "unknown_key")
        assert.notInclude(`${error.message} ${String(error.cause)}`, kid)
      }
    })
  })

  it("takes 64 keys, and 256 KiB", () =>
    with_(json({}), async (server) => {
      const others = Array.from({ length: 63 }, (_, i) => ({ ...options.jwks.keys[0], kid: `k${i}` }))
      const full = JSON.stringify({ keys: [...others, ...options.jwks.keys] })
      const sized = (length: number): Http.RequestListener =>
        json({ ...JSON.parse(full), pad: "x".repeat(length - full.length - 9) })
      for (const [length, expected] of [
        [256 * 1024, "accepted"],
        [256 * 1024 + 1, "keys_unavailable"]
      ] as const) {
        server.answer(sized(length))
        assert.strictEqual(await outcome(at(server.url).key(header, steady)), expected)
      }
    }))

  it("remembers 256 key ids that a fetch did not bring", () =>
    with_(json({ keys: [] }), async (server) => {
      const keys = at(server.url)
      const ask = (kid: string) => outcome(keys.key({ alg: "Ed25519", kid }, frozen))
      await Promise.all(Array.from({ length: 257 }, (_, i) => ask(`x${i}`)))
      moved += 10_000
      await ask("x1")
      assert.strictEqual(server.requests(), 1)
      await ask("x0")
      assert.strictEqual(server.requests(), 2)
    }))

  it("asks once in ten seconds for a thousand unknown key ids, however empty the set is", () =>
    with_(json({ keys: [] }), async (server) => {
      const keys = at(server.url)
      const flood = () =>
        Promise.all(Array.from({ length: 1000 }, (_, i) => outcome(keys.key({ alg: "Ed25519", kid: `x${i}` }, steady))))
      assert.deepStrictEqual(new Set(await flood()), new Set(["unknown_key"]))
      assert.strictEqual(server.requests(), 1)
      moved += 9000
      await flood()
      assert.strictEqual(server.requests(), 1)
    }))

  it("a key id that a fetch did not bring causes no other for 20 s", () =>
    with_(json({ keys: [] }), async (server) => {
      const keys = at(server.url)
      const ask = (kid: string) => outcome(keys.key({ alg: "Ed25519", kid }, steady))
      await ask("a")
      moved += 11_000
      await ask("a")
      assert.strictEqual(server.requests(), 1)
      moved += 10_000
      server.answer(json({ keys: [{ ...options.jwks.keys[0], kid: "a" }] }))
      assert.strictEqual(await ask("a"), "accepted")
      assert.strictEqual(server.requests(), 2)
    }))

  it("asks less and less often while the issuer fails", () =>
    with_(json({}, 500), async (server) => {
      const keys = at(server.url)
      for (const [wait, requests] of [
        [0, 1],
        [999, 1],
        [1, 2],
        [1999, 2],
        [1, 3],
        [3999, 3],
        [1, 4],
        [8000, 5],
        [16_000, 6],
        [30_000, 7],
        [29_000, 7],
        [1000, 8]
      ] as const) {
        moved += wait
        await Promise.all(Array.from({ length: 50 }, () => outcome(keys.key(header, frozen))))
        assert.strictEqual(server.requests(), requests)
      }
    }))

  it("a withdrawn key is refused after five minutes", () =>
    with_(json(options.jwks), async (server) => {
      const keys = at(server.url)
      await keys.key(header, frozen)
      server.answer(json({ keys: [] }))
      moved += Jwks.maximumAge - 1
      assert.strictEqual(await outcome(keys.key(header, frozen)), "accepted")
      moved += 1
      assert.strictEqual(await outcome(keys.key(header, frozen)), "unknown_key")
    }))

  it("gives grace to known keys alone, for as long as was configured, and says so", () =>
    with_(json(options.jwks), async (server) => {
      const source = { issuer: "https://id.example", jwksUri: `${server.url}/jwks` }
      const strict = Jwks.make(source)
      const lenient = Jwks.make({ ...source, grace: 600 })
      assert.isFalse((await lenient.key(header, frozen)).degraded)
      await strict.key(header, frozen)
      server.answer(json({}, 500))
      moved += Jwks.maximumAge
      assert.strictEqual(await outcome(strict.key(header, frozen)), "keys_unavailable")
      const found = await lenient.key(header, frozen)
      assert.isTrue(found.degraded)
      assert.isAtMost(found.until, frozen() + Jwks.cooldown)
      assert.strictEqual(await outcome(lenient.key({ ...header, kid: "other" }, frozen)), "keys_unavailable")
      moved += 599_999
      assert.strictEqual(await outcome(lenient.key(header, frozen)), "accepted")
      moved += 1
      assert.strictEqual(await outcome(lenient.key(header, frozen)), "keys_unavailable")
    }))

  it("fails closed when nobody answers", async () => {
    assert.strictEqual(await outcome(at("http://127.0.0.1:1").ready(steady)), "keys_unavailable")
  })

  it("leaves an issuer that is down in peace, and recovers", () =>
    with_(json({}, 500), async (server) => {
      const keys = at(server.url)
      for (let i = 0; i < 50; i++) assert.strictEqual(await outcome(keys.key(header, steady)), "keys_unavailable")
      assert.strictEqual(server.requests(), 1)
      server.answer(json(options.jwks))
      moved += 1000
      assert.strictEqual(await outcome(keys.key(header, steady)), "accepted")
    }))

  const discovery =
    (document: object): Http.RequestListener =>
    (request, response) =>
      json(request.url === "/jwks" ? options.jwks : document)(request, response)

  it("accepts a discovery document only if it is the issuer's own, to the byte", () =>
    with_(json({}), async (server) => {
      const jwks_uri = `${server.url}/jwks`
      const ready = (issuer: unknown) => {
        server.answer(discovery({ issuer, jwks_uri }))
        return outcome(Jwks.make({ issuer: server.url }).ready(steady))
      }
      assert.strictEqual(await ready(server.url), "accepted")
      for (const issuer of [`${server.url}/`, "https://other.example", [server.url], undefined])
        assert.strictEqual(await ready(issuer), "keys_unavailable")
    }))

  it("does not follow discovery to a key set outside https", () =>
    with_(json({}), async (server) => {
      for (const jwks_uri of ["http://id.example/jwks", "file:///etc/passwd", "/jwks", undefined]) {
        server.answer(discovery({ issuer: server.url, jwks_uri }))
        assert.strictEqual(await outcome(Jwks.make({ issuer: server.url }).ready(steady)), "keys_unavailable")
      }
    }))

  it("does not let an issuer elsewhere send it to this machine", async () => {
    const issuer = "https://id.example"
    const asked: Array<string> = []
    const spy = vi.spyOn(globalThis, "fetch").mockImplementation((url) => {
      asked.push(String(url))
      return Promise.resolve(Response.json({ issuer, jwks_uri: "http://127.0.0.1:8080/jwks", ...options.jwks }))
    })
    try {
      assert.strictEqual(await outcome(Jwks.make({ issuer }).ready(steady)), "keys_unavailable")
      assert.deepStrictEqual(asked, [`${issuer}/.well-known/openid-configuration`])
    } finally {
      spy.mockRestore()
    }
  })

  it("uses no private, symmetric or nameless key", async () => {
    const { privateKey } = await generateKeyPair("Ed25519", { extractable: true })
    const secret = { ...(await exportJWK(privateKey)), kid: "private" }
    const keys = Jwks.make({
      issuer: "i",
      jwks: { keys: [secret, { kty: "oct", k: "c2VjcmV0", kid: "oct" }, ...options.jwks.keys] }
    })
    assert.strictEqual(await outcome(keys.key({ alg: "Ed25519", kid: "private" }, steady)), "unknown_key")
    assert.strictEqual(await outcome(keys.key({ alg: "ES256", kid: "oct" }, steady)), "unknown_key")
    assert.strictEqual(await outcome(keys.key(header, steady)), "accepted")
  })
})
