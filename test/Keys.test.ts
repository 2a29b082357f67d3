import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { calculateJwkThumbprint } from "jose"
import * as ChildProcess from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { generate, Keys, thumbprint, verify } from "../src/Keys.ts"

let home = ""
beforeEach(() => {
  home = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "keys-")), "keys")
})
afterEach(() => Fs.rmSync(Path.dirname(home), { recursive: true }))

const load = () => Effect.provide(Keys, Keys.layerDirectory(home))
const mode = (path: string) => Fs.statSync(path).mode & 0o777

describe("Keys.layerDirectory", () => {
  it.effect("makes keys and salt that only their owner can read, and no draft is left", () =>
    Effect.gen(function* () {
      yield* load()
      assert.strictEqual(mode(home), 0o700)
      assert.deepStrictEqual(Fs.readdirSync(home).sort(), ["agent.pem", "log.pem", "salt"])
      for (const file of Fs.readdirSync(home)) assert.strictEqual(mode(Path.join(home, file)), 0o600)
    })
  )

  it.effect("gives the same keys the next time, and different ones by purpose", () =>
    Effect.gen(function* () {
      const first = yield* load()
      const second = yield* load()
      assert.strictEqual(first.agent.kid, second.agent.kid)
      assert.strictEqual(first.log.kid, second.log.kid)
      assert.notStrictEqual(first.agent.kid, first.log.kid)
      assert.deepStrictEqual(Redacted.value(first.salt), Redacted.value(second.salt))
      assert.lengthOf(Redacted.value(first.salt), 32)
    })
  )

  it.effect.each(["agent.pem", "log.pem", "salt", "."])(
    "refuses %s where others can read it, and says what to run",
    (name) =>
      Effect.gen(function* () {
        yield* load()
        const path = Path.join(home, name)
        for (const bits of [0o040, 0o004, 0o020, 0o002]) {
          Fs.chmodSync(path, (name === "." ? 0o700 : 0o600) | bits)
          const error = yield* Effect.flip(load())
          assert.strictEqual(error._tag, "Configuration")
          assert.include(error.message, `chmod ${name === "." ? "700" : "600"} ${path}`)
        }
      })
  )

  it.effect("refuses what is no Ed25519 key, and quotes no key", () =>
    Effect.gen(function* () {
      yield* load()
      const path = Path.join(home, "agent.pem")
      const { privateKey } = Crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })
      const pem = privateKey.export({ format: "pem", type: "pkcs8" }).toString()
      Fs.writeFileSync(path, pem)
      assert.match((yield* Effect.flip(load())).message, /Ed25519/)
      Fs.writeFileSync(path, pem.slice(0, 60))
      const error = yield* Effect.flip(load())
      assert.strictEqual(error._tag, "Configuration")
      assert.notInclude(error.message, pem.slice(30, 60))
    })
  )

  it.effect("refuses a salt that is cut", () =>
    Effect.gen(function* () {
      yield* load()
      Fs.writeFileSync(Path.join(home, "salt"), "AAAA\n")
      assert.match((yield* Effect.flip(load())).message, /32 bytes/)
    })
  )

  it.effect("names the variable where the folder cannot be made", () =>
    Effect.gen(function* () {
      Fs.writeFileSync(home, "")
      const error = yield* Effect.flip(load())
      assert.include(error.message, "SECURE_OPENAI_HOME")
      assert.include(error.message, 'audit: "memory"')
    })
  )

  it("lets processes that start at once agree on one key", async () => {
    const start = Date.now() + 2500
    const code = `
      import * as Effect from "effect/Effect"
      import { Keys } from ${JSON.stringify(new URL("../src/Keys.ts", import.meta.url).href)}
      const kids = []
      for (let round = 0; round < 20; round++) {
        while (Date.now() < ${start} + round * 30);
        const home = ${JSON.stringify(home)} + "/" + round
        const keys = await Effect.runPromise(Effect.provide(Keys, Keys.layerDirectory(home)))
        kids.push(keys.agent.kid, keys.log.kid)
      }
      console.log(JSON.stringify(kids))`
    const run = () => promisify(ChildProcess.execFile)(process.execPath, ["--input-type=module", "-e", code])
    const [one, two] = (await Promise.all([run(), run()])).map(({ stdout }) => JSON.parse(stdout))
    assert.lengthOf(one, 40)
    assert.deepStrictEqual(one, two)
    for (const round of Fs.readdirSync(home)) assert.lengthOf(Fs.readdirSync(Path.join(home, round)), 3)
  })
})

describe("Keys", () => {
  it.effect("shows no secret when it is printed", () =>
    Effect.gen(function* () {
      const keys = yield* Keys
      const salt = Buffer.from(Redacted.value(keys.salt))
      const printed = JSON.stringify(keys)
      assert.notInclude(printed, salt.toString("base64"))
      assert.include(printed, "redacted")
      assert.notInclude(printed, '"d"')
    }).pipe(Effect.provide(Keys.layerMemory))
  )

  it("names a key by its RFC 7638 thumbprint", async () => {
    const { jwk, kid } = generate()
    assert.strictEqual(kid, await calculateJwkThumbprint(jwk))
    // RFC 8037, appendix A.3.
    assert.strictEqual(
      thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
      "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    )
  })

  it("verifies what it signed, and nothing else", () => {
    const { publicKey, sign } = generate()
    const bytes = Buffer.from("hello")
    const signature = sign(bytes)
    assert.isTrue(verify(publicKey, bytes, signature))
    assert.isFalse(verify(publicKey, Buffer.from("hallo"), signature))
    assert.isFalse(verify(generate().publicKey, bytes, signature))
    assert.isFalse(verify(publicKey.slice(1), bytes, signature))
    assert.isFalse(verify(publicKey, bytes, signature.slice(1)))
    assert.isFalse(verify(publicKey, bytes, new Uint8Array(64)))
  })

  it("does not fall for a key of small order", () => {
    const identity = Uint8Array.of(1, ...new Uint8Array(31))
    assert.isFalse(verify(identity, Buffer.from("anything"), Uint8Array.of(1, ...new Uint8Array(63))))
  })
})
