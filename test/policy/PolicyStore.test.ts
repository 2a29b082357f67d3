import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { empty, load, type PolicySource } from "../../src/policy/PolicyStore.ts"

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
  })

  it("with a cycle, and name both ends", () => {
    const message = failure([
      { policy_id: "team:a", extends: "team:b" },
      { policy_id: "team:b", extends: "team:c" },
      { policy_id: "team:c", extends: "team:b" },
      { policy_id: "team:d", extends: "team:d" }
    ])
    assert.include(message, "team:c extends team:b, which extends team:c in turn: a cycle")
    assert.include(message, "team:d extends team:d")
    assert.include(message, "2 errors")
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
})
