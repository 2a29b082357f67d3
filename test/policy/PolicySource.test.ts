import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Buffer from "node:buffer"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Json } from "../../src/base/Json.ts"
import { empty } from "../../src/policy/PolicySet.ts"
import { changesOf, load, type PolicySource } from "../../src/policy/PolicySource.ts"

let folder = ""
beforeEach(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "policies-"))
})
afterEach(() => Fs.rmSync(folder, { recursive: true, force: true }))

const write = (name: string, content: string | object): string => {
  const path = Path.join(folder, name)
  Fs.mkdirSync(Path.dirname(path), { recursive: true })
  Fs.writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content))
  return path
}

const ids = (source: PolicySource) => [...Result.getOrThrow(load(source)).ids()].sort()

const revision = (source: PolicySource): string => Result.getOrThrow(load(source)).revision

const failure = (source: PolicySource): string =>
  Result.match(load(source), { onFailure: ({ message }) => message, onSuccess: () => "loaded" })

describe("policies load", () => {
  it("from a folder with its subfolders, files of one or several documents, without cases", () => {
    write("a.json", { policy_id: "user:a" })
    write("deep/er/b.json", [{ policy_id: "user:b" }, { policy_id: "user:c" }])
    write("a.cases.json", "not a policy")
    write("notes.txt", "not a policy")
    write(".git/x.json", "not a policy")
    Fs.symlinkSync(folder, Path.join(folder, "deep", "loop"))
    assert.deepStrictEqual(ids(folder), ["user:a", "user:b", "user:c"])
  })

  it("from a file, a document, or documents", () => {
    assert.deepStrictEqual(ids(write("a.json", { policy_id: "user:a" })), ["user:a"])
    assert.deepStrictEqual(ids({ policy_id: "user:a" }), ["user:a"])
    assert.deepStrictEqual(ids([{ policy_id: "user:a" }, { policy_id: "user:b", extends: "user:a" }]), [
      "user:a",
      "user:b"
    ])
  })

  it("to the revision that anyone can recompute", () => {
    const sha256 = (text: string) => Crypto.createHash("sha256").update(text)
    const texts = {
      "b.json": `{"policy_id":"user:b"}`,
      "a/z.json": `\uFEFF{"policy_id":"user:ü"}\n`,
      "é.json": `{"policy_id":"x"}`
    }
    for (const [name, text] of Object.entries(texts)) write(name, text)
    const line = (name: keyof typeof texts) => `${sha256(texts[name]).digest("hex")}  ${name}\n`
    const lines = line("a/z.json") + line("b.json") + line("é.json")
    assert.strictEqual(revision(folder), `sha-256:${sha256(lines).digest("base64url")}`)
    assert.strictEqual(revision(Path.join(folder, "b.json")), `sha-256:${sha256(line("b.json")).digest("base64url")}`)
    const values = [{ policy_id: "user:a" }, { policy_id: "user:b" }]
    assert.strictEqual(revision(values), `sha-256:${sha256(JSON.stringify(values)).digest("base64url")}`)
  })

  it("to another revision when anything differs", () => {
    const a = { policy_id: "user:a", resources: ["x"] }
    const b = { policy_id: "user:b" }
    assert.strictEqual(revision([a, b]), revision([{ ...a }, b]))
    assert.notStrictEqual(revision([a, b]), revision([a]))
    assert.notStrictEqual(revision([a]), revision([{ ...a, resources: ["y"] }]))
    write("a.json", a)
    const before = revision(folder)
    Fs.renameSync(Path.join(folder, "a.json"), Path.join(folder, "b.json"))
    assert.notStrictEqual(revision(folder), before)
    assert.match(empty.revision, /^sha-256:[\w-]{43}$/)
    assert.strictEqual(empty.count, 0)
  })
})

describe("policies do not load", () => {
  it("with an unknown key, and say file, line, column and what was meant", () => {
    const path = write("a.json", `{\n  "policy_id": "user:x",\n  "resorces": ["**"]\n}`)
    assert.include(failure(folder), `${path}:3:3: unknown key "resorces"; did you mean "resources"?`)
  })

  it("with a wrong value deep inside, at the key that holds it", () => {
    const path = write(
      "a.json",
      `[{\n  "policy_id": "user:x",\n  "constraints": {\n    "parameters": {\n      "tool:*": { "mode": {\n        "pattern": "(?=x)" } } } } }]`
    )
    assert.include(failure(folder), `${path}:6:9: constraints.parameters["tool:*"].mode.pattern: is no pattern`)
  })

  it("with broken JSON", () => {
    const path = write("a.json", `{\n  "policy_id": "x",,\n}`)
    assert.include(failure(folder), `${path}:2:20: it is not JSON`)
  })

  it("with a key that is there twice", () => {
    const path = write("a.json", `{ "policy_id": "x",\n  "resources": ["a"], "resources": ["**"] }`)
    assert.include(failure(folder), `${path}:2:23: the key "resources" is there twice`)
  })

  it("without an id", () => {
    const path = write("a.json", { resources: ["**"] })
    assert.include(failure(folder), `${path}:1:1: no policy_id`)
  })

  it("with an id that is there twice, and name both places", () => {
    const first = write("a.json", { policy_id: "user:x" })
    const second = write("b.json", { policy_id: "user:x" })
    assert.include(failure(folder), `${second}:1:2: "user:x" is there twice, first at ${first}:1:2`)
  })

  it("with a parent that is missing, and name both ends", () => {
    const path = write("a.json", `{ "policy_id": "user:hal",\n  "extends": "team:nowhere" }`)
    assert.include(failure(folder), `${path}:2:3: user:hal extends team:nowhere, which is not among the policies`)
    const slip = failure([{ policy_id: "team:Lab" }, { policy_id: "user:hal", extends: "team:lab" }])
    assert.include(slip, `user:hal extends team:lab, which is not among the policies; did you mean "team:Lab"?`)
  })

  it("with a cycle, and name both ends", () => {
    const message = failure([
      { policy_id: "team:a", extends: "team:b" },
      { policy_id: "team:b", extends: "team:c" },
      { policy_id: "team:c", extends: "team:b" },
      { policy_id: "team:d", extends: "team:d" }
    ])
    assert.include(message, "team:c extends team:b, which closes a cycle: team:b → team:c → team:b")
    assert.include(message, "team:d extends team:d")
    assert.include(message, "2 errors")
  })

  it("with a cycle of several, and show it whole", () => {
    const ring = ["team:A", "bu:B", "company:C", "user:d"]
    const documents = (ids: ReadonlyArray<string>) =>
      ids.map((policy_id, at) => ({ policy_id, extends: ids[(at + 1) % ids.length]! }))
    assert.include(failure(documents(ring)), "team:A → bu:B → company:C → user:d → team:A")
    assert.include(failure(documents(["team:d"])), "team:d extends team:d, which closes a cycle: team:d → team:d")
    const long = failure(documents(Array.from({ length: 5000 }, (_, i) => `user:${i}`)))
    assert.include(long, "user:0 → user:1 → ")
    assert.include(long, " → 4901 more → user:4999 → user:0")
    assert.isBelow(long.length, 4000)
  })

  it("with several errors, and list them all", () => {
    write("a.json", { policy_id: "user:x", resorces: [], on_violation: "shrug" })
    write("b.json", { policy_id: "user:y", extends: "user:z" })
    assert.include(failure(folder), "(3 errors)")
  })

  it("from nothing", () => {
    assert.match(failure(folder), /holds no \*\.json file/)
    assert.match(failure(Path.join(folder, "absent")), /cannot be read.*Set "policies"/s)
    assert.match(failure([]), /empty array/)
    assert.match(failure(write("a.json", "[]")), /an empty array holds no policy/)
  })

  it("from a file that cannot be read", () => {
    const path = write("a.json", { policy_id: "user:x" })
    Fs.rmSync(path)
    Fs.symlinkSync(Path.join(folder, "absent"), path)
    assert.match(failure(folder), /cannot be read/)
  })

  it("from a folder that is a file, from a file that is a folder, from a circle of links", () => {
    const path = write("a.json", { policy_id: "user:x" })
    assert.match(failure(Path.join(path, "deeper")), /a\.json\/deeper cannot be read: ENOTDIR/)
    Fs.mkdirSync(Path.join(folder, "b.json"))
    assert.deepStrictEqual(ids(folder), ["user:x"])
    Fs.symlinkSync("loop.json", Path.join(folder, "loop.json"))
    assert.match(failure(folder), /loop\.json cannot be read: ELOOP/)
  })

  it("from a file that is there but cannot be read", () => {
    assert.match(failure("/proc/self/mem"), /\/proc\/self\/mem cannot be read: EIO/)
  })

  it("from a link to nowhere, and say where it leads", () => {
    Fs.symlinkSync("/nowhere/at/all.json", Path.join(folder, "a.json"))
    assert.match(
      failure(folder),
      /a\.json cannot be read: it is a link to \/nowhere\/at\/all\.json, which does not exist/
    )
  })

  it("from a file that is longer than a text can be", () => {
    const path = write("a.json", "[")
    Fs.truncateSync(path, Buffer.constants.MAX_STRING_LENGTH + 1)
    assert.match(failure(folder), /a\.json cannot be read: it has \d+ bytes, and a file may have \d+: split it/)
  })

  it("from bytes that are no UTF-8", () => {
    const path = Path.join(folder, "a.json")
    Fs.writeFileSync(path, Buffer.Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]))
    assert.include(failure(folder), `${path}:1:1: it is not JSON: it is not UTF-8`)
  })

  const broken: ReadonlyArray<readonly [text: string, line: number, column: number, reason: string]> = [
    [``, 1, 1, "expected a policy or an array, found the end"],
    [`\n`, 2, 1, "expected a policy or an array, found the end"],
    [`[{"policy_id":"x"},\n]`, 2, 1, `expected a policy, found "]"`],
    [`[{"policy_id":"x"}\r\n {"policy_id":"y"}]`, 2, 2, `expected "," or "]" after a policy, found "{"`],
    [`[{"policy_id":"x"}`, 1, 19, `expected "," or "]" after a policy, found the end`],
    [`{"policy_id":"x"} {`, 1, 19, `expected the end, found "{"`],
    [`[{"policy_id":"x"}]\n]`, 2, 1, `expected the end, found "]"`],
    [`[{"policy_id":"x", "extends": ["y"}, {"policy_id":"z"}]`, 1, 35, "Unexpected token RBrace found"],
    [`[{"policy_id":"x"}, {"policy_id":"y]`, 1, 37, "Unexpected end of input found"],
    [`[{"policy_id":"x", "name":"a\nb"}]`, 1, 2, "Bad control character"]
  ]
  for (const [text, line, column, reason] of broken)
    it(`from the text ${JSON.stringify(text)}`, () => {
      const path = write("a.json", text)
      const message = failure(folder)
      assert.include(message, `${path}:${line}:${column}: it is not JSON`)
      assert.include(message, reason)
    })

  it("with a key that is there twice in another spelling, or named __proto__, deep inside", () => {
    write("a.json", `{"policy_id":"x","constraints":{"parameters":{"tool:*":{"n":[1],"\\u006e":[2]}}}}`)
    assert.include(failure(folder), `the key "n" is there twice`)
    write("a.json", `{"policy_id":"x","constraints":{"parameters":{"\\u005f_proto__":{"n":[1]}}}}`)
    assert.include(failure(folder), "a key must not be __proto__")
    write("a.json", `{"policy_id":"x","constraints":{"parameters":{"tool:*":{"n":[{"a":{"b":1,"b":2}}]}}}}`)
    assert.include(failure(folder), `the key "b" is there twice`)
  })
})

describe("a document that is too large", () => {
  const resources = (count: number) => Array.from({ length: count }, (_, index) => String(index))
  const nested = (levels: number) => JSON.parse("[".repeat(levels) + "]".repeat(levels)) as Json
  const inValues = (value: Json) => ({
    policy_id: "user:x",
    constraints: { parameters: { "tool:*": { mode: { allowed_values: [value] } } } }
  })

  it("in bytes is refused, and one of a mebibyte is not", () => {
    const excess = 1024 * 1024 + 1
    const bare = JSON.stringify({ policy_id: "user:x", description: "" }).length
    const path = write("a.json", { policy_id: "user:x", description: "ü".repeat((excess - bare) / 2) })
    assert.strictEqual(Fs.statSync(path).size, excess)
    assert.include(
      failure(folder),
      `${path}:1:1: user:x has ${excess} bytes, and a policy may have 1048576 (1 MiB): move a part of it to a policy that it extends`
    )
    write("a.json", Fs.readFileSync(path, "utf8").replace("ü", "u"))
    assert.deepStrictEqual(ids(folder), ["user:x"])
  })

  it("in levels is refused, and one of 64 is not", () => {
    // Six brackets stand around the value.
    const path = write("a.json", inValues(nested(59)))
    assert.include(failure(folder), `${path}:1:1: user:x is nested 65 levels deep, and a policy may have 64: flatten`)
    write("a.json", inValues(nested(58)))
    assert.deepStrictEqual(ids(folder), ["user:x"])
  })

  it("in patterns is refused, and one of 100,000 is not", () => {
    const path = write("a.json", [{ policy_id: "user:y" }, { policy_id: "user:x", resources: resources(100_001) }])
    const message = failure(folder)
    assert.include(message, `${path}:1:25: user:x has 100001 patterns, and a policy may have 100000: use wildcards`)
    const parameters = { "tool:a": { n: [1] }, "tool:b": { n: [1] } }
    const more = { resources: resources(99_997), denied_resources: ["x"] }
    const constraints = { parameters, denied_parameters: { "tool:c": { n: [1] } }, "tool:d": { n: [1] } }
    assert.include(failure([{ policy_id: "user:z", ...more, constraints }]), "user:z has 100002 patterns")
    assert.deepStrictEqual(ids([{ policy_id: "user:z", ...more, constraints: { parameters } }]), ["user:z"])
  })
})

describe("many documents", () => {
  it("are found, located and given away as they were written", () => {
    const count = 1000
    write("b.json", `[\n${Array.from({ length: count }, (_, n) => `  {"policy_id":"user:${n}"}`).join(",\n")}\n]`)
    write("a.json", { policy_id: "team:ü", resources: ["x"] })
    const set = Result.getOrThrow(load(folder))
    assert.strictEqual(set.count, count + 1)
    assert.deepStrictEqual([...set.ids()].slice(0, 3), ["team:ü", "user:0", "user:1"])
    assert.deepStrictEqual(set.find("user:999"), { policy_id: "user:999" })
    assert.isUndefined(set.find("user:1000"))
    assert.isFalse(set.has("user:1000"))
    assert.isTrue(set.has("team:ü"))
    assert.deepInclude(set.locate("user:41", ["policy_id"]), {
      line: 43,
      column: 4,
      text: `  {"policy_id":"user:41"},`
    })
  })

  it("are nobody's to change", () => {
    const source = { policy_id: "user:x", resources: ["a"] }
    const set = Result.getOrThrow(load(source))
    source.resources.push("b")
    const given = set.find("user:x")?.resources as Array<string>
    given.push("c")
    assert.deepStrictEqual(set.find("user:x")?.resources, ["a"])
  })
})

describe("changes", () => {
  it.live("come at once where the files are no longer those of the revision, and otherwise once they change", () =>
    Effect.gen(function* () {
      write("a.json", { policy_id: "user:a" })
      const read = revision(folder)
      write("a.json", { policy_id: "user:a", name: "changed before the watch stood" })
      const before = yield* Stream.runHead(changesOf(folder, Effect.succeed(read))).pipe(
        Effect.timeoutOption("10 seconds")
      )
      assert.isTrue(Option.isSome(before))
      let count = 0
      const changes = changesOf(folder, Effect.succeed(revision(folder))).pipe(
        Stream.tap(() => Effect.sync(() => void count++))
      )
      const first = yield* Effect.forkChild(Stream.runHead(changes))
      yield* Effect.sleep(500)
      assert.strictEqual(count, 0)
      write("a.json", { policy_id: "user:a", name: "changed after it" })
      yield* Fiber.join(first)
      assert.strictEqual(count, 1)
    })
  )
})
