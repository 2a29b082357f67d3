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
import { signCheckpoint } from "../../src/audit/proof/Checkpoint.ts"
import { createFile } from "../../src/base/Files.ts"
import * as KeyFolder from "../../src/keys/KeyFolder.ts"
import { generate, Keys, type KeyUse, signAs, type SigningKey, thumbprint, verify } from "../../src/keys/Keys.ts"

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

  it.effect("names the file that holds no key, and what to do", () =>
    Effect.gen(function* () {
      yield* load()
      for (const name of ["agent.pem", "log.pem"]) {
        const path = Path.join(home, name)
        const text = Fs.readFileSync(path, "utf8")
        for (const other of ["", "x", text.slice(40), text.replace("PRIVATE", "PUBLIC")]) {
          Fs.writeFileSync(path, other)
          const error = yield* Effect.flip(load())
          assert.include(error.message, `${path} holds no Ed25519 private key in PKCS#8 PEM. Put`)
        }
        Fs.writeFileSync(path, text)
      }
      for (const text of ["", "{", "{}", '[{"use":"agent"}]', '[{"use":"agent","kid":"x","state":"lost"}]']) {
        Fs.writeFileSync(Path.join(home, "ended.json"), text, { mode: 0o600 })
        assert.match((yield* Effect.flip(load())).message, /ended\.json does not list the keys that ended/)
      }
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
      import { Keys } from ${JSON.stringify(new URL("../../src/keys/Keys.ts", import.meta.url).href)}
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

describe("files of keys", () => {
  const names = ["agent.pem", "log.pem", "salt"]

  it.effect.each(names)("refuses a symbolic link, a folder and a pipe in the place of %s", (name) =>
    Effect.gen(function* () {
      yield* load()
      const path = Path.join(home, name)
      const moved = Path.join(Path.dirname(home), name)
      Fs.renameSync(path, moved)
      Fs.symlinkSync(moved, path)
      assert.match((yield* Effect.flip(load())).message, /symbolic link/)
      Fs.unlinkSync(path)
      Fs.symlinkSync(Path.join(home, "nowhere"), path)
      assert.match((yield* Effect.flip(load())).message, /symbolic link/)
      assert.isFalse(Fs.existsSync(Path.join(home, "nowhere")))
      Fs.unlinkSync(path)
      Fs.mkdirSync(path, { mode: 0o700 })
      assert.match((yield* Effect.flip(load())).message, /no plain file/)
      Fs.rmdirSync(path)
      ChildProcess.execFileSync("mkfifo", ["-m", "600", path])
      assert.match((yield* Effect.flip(load())).message, /no plain file/)
      Fs.unlinkSync(path)
      Fs.renameSync(moved, path)
      yield* load()
    })
  )

  it.effect.each(process.geteuid?.() === 0 ? [...names, "."] : [])("refuses %s of another user", (name) =>
    Effect.gen(function* () {
      yield* load()
      Fs.chownSync(Path.join(home, name), 65_534, 65_534)
      assert.match((yield* Effect.flip(load())).message, /belongs to the user 65534/)
    })
  )

  it.effect("refuses one key for two purposes", () =>
    Effect.gen(function* () {
      yield* load()
      Fs.copyFileSync(Path.join(home, "agent.pem"), Path.join(home, "log.pem"))
      assert.match((yield* Effect.flip(load())).message, /one purpose/)
    })
  )

  it("are never made over others: what is there stays", () => {
    const path = Path.join(Path.dirname(home), "file")
    assert.isTrue(createFile(path, "first"))
    assert.isFalse(createFile(path, "second"))
    assert.strictEqual(Fs.readFileSync(path, "utf8"), "first")
    assert.strictEqual(mode(path), 0o600)
  })
})

describe("purposes", () => {
  const bytes = Buffer.from("x")
  it.each([
    ["agent", "soai-invoke+jwt", true],
    ["agent", "soai-receipt+jwt", true],
    ["agent", "checkpoint", false],
    ["log", "checkpoint", true],
    ["log", "soai-invoke+jwt", false],
    ["log", "soai-receipt+jwt", false]
  ] as const)("a key for %s and a %s: %s", (use, type, may) => {
    const key = generate<KeyUse>(use) as SigningKey<never>
    if (may) assert.isTrue(verify(key.publicKey, bytes, signAs(key, type, bytes) as Uint8Array))
    else assert.throws(() => signAs(key, type, bytes), TypeError, `a key for ${use} signs no ${type}`)
  })

  it("do not compile where they mix", () => {
    const misuse = [
      // @ts-expect-error: a log key signs no envelope
      () => signAs(generate("log"), "soai-invoke+jwt", bytes),
      // @ts-expect-error: an agent key signs no checkpoint
      () => signAs(generate("agent"), "checkpoint", bytes),
      // @ts-expect-error: an agent key signs no checkpoint
      () => signCheckpoint({ origin: "o", size: 0, root: new Uint8Array(32) }, generate("agent"))
    ]
    for (const each of misuse) assert.throws(each, TypeError)
  })
})

describe("rotation", () => {
  const kids = () =>
    Effect.map(load(), (keys) => ({ ...keys, agent: keys.agent.kid, log: keys.log.kid, next: keys.nextLog?.kid }))

  it.effect(
    "of the agent key is prepared, taken up at the next opening, and leaves the public part of the old one",
    () =>
      Effect.gen(function* () {
        const before = yield* kids()
        const { next, old } = KeyFolder.rotate(home, "agent", "retired")
        assert.strictEqual(old, before.agent)
        assert.deepStrictEqual(KeyFolder.rotate(home, "agent", "retired"), { old, next })
        const after = yield* kids()
        assert.strictEqual(after.agent, next)
        assert.strictEqual(after.log, before.log)
        assert.deepStrictEqual(
          after.ended?.map(({ kid, state, use }) => [use, kid, state]),
          [["agent", old, "retired"]]
        )
        assert.deepStrictEqual(Fs.readdirSync(home).sort(), ["agent.pem", "ended.json", "log.pem", "salt"])
        for (const file of Fs.readdirSync(home)) assert.strictEqual(mode(Path.join(home, file)), 0o600)
        KeyFolder.rotate(home, "agent", "revoked")
        assert.deepStrictEqual(
          (yield* kids()).ended?.map(({ state }) => state),
          ["retired", "revoked"]
        )
      })
  )

  it.effect.each(["agent", "salt"] as const)("of the %s does not let the old one come back", (use) =>
    Effect.gen(function* () {
      yield* load()
      const path = Path.join(home, use === "agent" ? "agent.pem" : "salt")
      const old = Fs.readFileSync(path)
      const { old: kid } = KeyFolder.rotate(home, use, "revoked")
      yield* load()
      const newer = Fs.readFileSync(path)
      Fs.writeFileSync(path, old)
      const error = yield* Effect.flip(load())
      assert.include(error.message, `${path} holds what was revoked before`)
      assert.include(error.message, `keys rotate ${use}`)
      assert.strictEqual(KeyFolder.list(home).keys.find((key) => key.use === use)?.state, "revoked")
      // What the message says helps, and the key stays revoked.
      KeyFolder.rotate(home, use, "retired")
      const ended = (yield* load()).ended ?? []
      assert.deepStrictEqual(
        ended.map((key) => [key.kid, key.state]),
        [[kid, "revoked"]]
      )
      Fs.writeFileSync(path, newer)
      yield* load()
    })
  )

  it.effect("of the log key does not let the old one come back, and can be cut short", () =>
    Effect.gen(function* () {
      const before = yield* load()
      const path = Path.join(home, "log.pem")
      const old = Fs.readFileSync(path)
      KeyFolder.rotate(home, "log", "retired")
      const next = Fs.readFileSync(Path.join(home, "log.next.pem"))
      KeyFolder.finish(home, "retired")
      Fs.writeFileSync(path, old)
      assert.match((yield* Effect.flip(load())).message, /log\.pem holds what was retired before.*newer one there\.$/)
      // As a finish that died between its two steps leaves it: both sign, until it is done again.
      Fs.writeFileSync(Path.join(home, "log.next.pem"), next, { mode: 0o600 })
      const cut = yield* load()
      assert.deepStrictEqual([cut.log.kid, cut.ended?.length], [before.log.kid, 0])
      assert.isDefined(cut.nextLog)
      KeyFolder.finish(home, "retired")
      assert.strictEqual((yield* load()).log.kid, cut.nextLog?.kid)
    })
  )

  it.effect("of the log key has both sign until it is finished", () =>
    Effect.gen(function* () {
      const before = yield* kids()
      const { next } = KeyFolder.rotate(home, "log", "retired")
      const during = yield* kids()
      assert.deepStrictEqual([during.log, during.next], [before.log, next])
      assert.deepStrictEqual(during.ended, [])
      KeyFolder.finish(home, "retired")
      const after = yield* kids()
      assert.deepStrictEqual([after.log, after.next], [next, undefined])
      assert.deepStrictEqual(
        after.ended?.map(({ kid, use }) => [use, kid]),
        [["log", before.log]]
      )
      assert.throws(() => KeyFolder.finish(home, "retired"), /No rotation/)
    })
  )

  it.effect("of the salt gives another one", () =>
    Effect.gen(function* () {
      const before = yield* load()
      KeyFolder.rotate(home, "salt", "retired")
      const after = yield* load()
      assert.notDeepEqual(Redacted.value(after.salt), Redacted.value(before.salt))
      assert.notInclude(JSON.stringify(after.ended), Buffer.from(Redacted.value(before.salt)).toString("base64url"))
    })
  )

  it("is taken up by one of many that open at once, and by all of them alike", async () => {
    await Effect.runPromise(load())
    const { next } = KeyFolder.rotate(home, "agent", "retired")
    const code = `
      import * as Effect from "effect/Effect"
      import { Keys } from ${JSON.stringify(new URL("../../src/keys/Keys.ts", import.meta.url).href)}
      const keys = await Effect.runPromise(Effect.provide(Keys, Keys.layerDirectory(${JSON.stringify(home)})))
      console.log(JSON.stringify([keys.agent.kid, keys.ended.length]))`
    const run = () => promisify(ChildProcess.execFile)(process.execPath, ["--input-type=module", "-e", code])
    const all = (await Promise.all([run(), run(), run()])).map(({ stdout }) => JSON.parse(stdout))
    assert.deepStrictEqual(all, [
      [next, 1],
      [next, 1],
      [next, 1]
    ])
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
