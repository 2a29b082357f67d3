/** The JSON Schema of policies: what it takes, and what an editor makes of it. */
import { assert, describe, it } from "@effect/vitest"
import { Ajv } from "ajv"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { getLanguageService, TextDocument } from "vscode-json-languageservice"
import { type Document, jsonSchema, parse } from "../../src/policy/Mapl.ts"
import suite from "./cases.json" with { type: "json" }

const root = Path.resolve(import.meta.dirname, "../..")
const file = Path.join(root, "mapl.schema.json")
const validate = new Ajv({ strict: true, strictTypes: true, allErrors: true }).compile(jsonSchema())

describe("mapl.schema.json", () => {
  it("is what is generated: secure-openai policy schema > mapl.schema.json", () => {
    assert.strictEqual(Fs.readFileSync(file, "utf8"), `${JSON.stringify(jsonSchema(), null, 2)}\n`)
  })

  it("is exported from the package", () => {
    assert.strictEqual(import.meta.resolve("secure-openai/mapl.schema.json"), `file://${file}`)
  })

  const folder = Path.join(root, "examples/policies")
  const blocks = ["policies.md", "mapl.md"].flatMap((name) =>
    [...Fs.readFileSync(Path.join(root, "docs", name), "utf8").matchAll(/^```json\n(.*?)^```$/gmsu)].map(
      (block, i) => [`block ${i} of docs/${name}`, JSON.parse(block[1]!)] as const
    )
  )
  const good: ReadonlyArray<readonly [string, unknown]> = [
    ...Fs.readdirSync(folder)
      .filter((name) => !name.endsWith(".cases.json"))
      .map((name) => [name, JSON.parse(Fs.readFileSync(Path.join(folder, name), "utf8"))] as const),
    ...blocks,
    ...Object.entries(suite.policies).map(([name, documents]) => [`the case set ${name}`, documents] as const),
    ["$schema", { $schema: "node_modules/secure-openai/mapl.schema.json", policy_id: "user:a" }]
  ]
  it.each(good)("takes %s", (_, value) => {
    assert.isTrue(validate(value), JSON.stringify(validate.errors))
  })

  it.each(suite.load_errors.filter(({ id }) => ["no-id", "unknown-key"].includes(id)))(
    "refuses $id",
    ({ policies }) => {
      assert.isFalse(validate(policies))
    }
  )

  const spec = (parameters: object) => ({ policy_id: "x", constraints: { parameters: { "tool:*/x": parameters } } })
  const output = (rule: unknown) => ({ policy_id: "x", constraints: { output: { "tool:*/x": rule } } })
  const bad: ReadonlyArray<unknown> = [
    [],
    { policy_id: "" },
    { policy_id: " x" },
    { policy_id: "x", resources: "**" },
    { policy_id: "x", resources: [""] },
    { policy_id: "x", on_violation: "refuse" },
    { policy_id: "x", attestations: ["key::params.a"] },
    { policy_id: "x", attestations: { key: "yes" } },
    { policy_id: "x", attestations: [{ resources: ["**"] }] },
    { policy_id: "x", attestations: [{ key: "", resources: ["**"] }] },
    { policy_id: "x", attestations: [{ key: "a::b" }] },
    { policy_id: "x", attestations: [{ key: "k", resources: [] }] },
    { policy_id: "x", attestations: [{ key: "k", resource: ["**"] }] },
    { policy_id: "x", validity: { not_after: "2026-01-10T09:00:00" } },
    { policy_id: "x", validity: { until: "2026-01-10" } },
    { policy_id: "x", constraints: { rate_limit: 0 } },
    { policy_id: "x", constraints: { rate_limit: 1.5 } },
    output(5),
    output({ denied: "x" }),
    output({ denied: [""] }),
    output({ denied: [5] }),
    output({ denied: [{ patern: "x" }] }),
    output({ max_characters: 0 }),
    output({ on_response: "rewrite" }),
    output({ hold_back: 4097 }),
    output({ hold: 5 }),
    { policy_id: "x", constraints: { bogus: {} } },
    { policy_id: "x", constraints: { "tool:*/x": { a: 5 } } },
    { policy_id: "x", constraints: { attestations: { key: { approver: "x" } } } },
    { policy_id: "x", constraints: { denied_parameters: { "tool:*/x": { a: "x" } } } },
    spec({ a: 5 }),
    spec({ a: { maximum: 5 } }),
    spec({ a: { max: "5" } }),
    spec({ a: { type: "int" } }),
    spec({ a: { range: [1] } }),
    spec({ a: { range: [1, 2, 3] } }),
    spec({ a: { max_length: -1 } }),
    spec({ a: { downgrade: { "*": "x" } } }),
    spec({ model: { downgrade: { "gpt-*": "x" } } }),
    spec({ "a[0]": ["x"] })
  ]
  it.each(bad.map((value) => [JSON.stringify(value), value] as const))("refuses %s, as the loader does", (_, value) => {
    assert.isFalse(validate(value))
    assert.isTrue(Array.isArray(value) || Result.isFailure(parse(value as Document)))
  })
})

describe("an editor that knows $schema", () => {
  const service = getLanguageService({})
  service.configure({ schemas: [{ uri: "file:///mapl.schema.json", fileMatch: ["*.json"], schema: jsonSchema() }] })

  /** A document with the cursor at `|`. */
  const open = (marked: string) => {
    const text = marked.replace("|", "")
    const document = TextDocument.create("file:///policies/a.json", "json", 1, text)
    return { document, json: service.parseJSONDocument(document), at: document.positionAt(marked.indexOf("|")) }
  }
  const complete = async (marked: string) => {
    const { at, document, json } = open(marked)
    return (await service.doComplete(document, at, json))?.items.map(({ label }) => label) ?? []
  }
  const hover = async (marked: string) => {
    const { at, document, json } = open(marked)
    return JSON.stringify((await service.doHover(document, at, json))?.contents ?? "")
  }
  const marks = async (text: string) => {
    const { document, json } = open(`${text}|`)
    return (await service.doValidation(document, json)).map(({ message, range }) => [document.getText(range), message])
  }

  it("completes keys at the top, in constraints, of parameters and in a spec", async () => {
    assert.includeMembers(await complete(`{ "policy_id": "user:a", "|" }`), ["resources", "extends", "on_violation"])
    assert.includeMembers(await complete(`[{ "policy_id": "user:a", "|" }]`), ["resources", "validity"])
    assert.includeMembers(await complete(`{ "policy_id": "user:a", "constraints": { "|" } }`), [
      "parameters",
      "rate_limit"
    ])
    const inside = (text: string) =>
      `{ "policy_id": "user:a", "constraints": { "parameters": { "tool:*/generate": { ${text} } } } }`
    assert.includeMembers(await complete(inside(`"|"`)), ["model", "max_tokens"])
    assert.includeMembers(await complete(inside(`"n": { "|" }`)), ["max", "allowed_values", "required"])
  })

  it("completes the long form of an attestation", async () => {
    assert.includeMembers(await complete(`{ "policy_id": "user:a", "attestations": [{ "|" }] }`), [
      "key",
      "when",
      "resources"
    ])
    assert.deepStrictEqual(await marks(`{ "policy_id": "a", "attestations": ["k", { "key": "k" }] }`), [])
  })

  it("offers the values of a choice, and examples", async () => {
    assert.includeMembers(await complete(`{ "policy_id": "user:a", "on_violation": | }`), [`"rewrite"`, `"deny"`])
    assert.includeMembers(
      await complete(`{ "policy_id": "a", "constraints": { "parameters": { "tool:*/x": { "n": { "type": | } } } } }`),
      [`"integer"`, `"boolean"`]
    )
    assert.include(await complete(`{ "policy_id": | }`), `"user:alice"`)
  })

  it("says what a key is", async () => {
    assert.include(await hover(`{ "policy_id": "a", "denied_res|ources": [] }`), "whatever any document allows")
    assert.include(
      await hover(`{ "policy_id": "a", "constraints": { "tool:*/x": { "n": { "ma|x": 5 } } } }`),
      "highest number that is allowed"
    )
  })

  it("marks an unknown key, and what is missing", async () => {
    assert.deepStrictEqual(await marks(`{ "policy_id": "a", "resorces": [] }`), [
      [`"resorces"`, "Property resorces is not allowed."]
    ])
    assert.deepStrictEqual(await marks(`[{ "resources": [] }]`), [["{", `Missing property "policy_id".`]])
    assert.deepStrictEqual(await marks(`{ "policy_id": "a", "resources": ["**"] }`), [])
  })
})
