import { assert, describe, it } from "@effect/vitest"
import {
  classify,
  endpointAt,
  endpointFor,
  isOperation,
  operations,
  outputTokenCaps,
  spellingsOf,
  withoutSlashes
} from "../../src/call/Operation.ts"
import { passedFamilies } from "../../src/call/Families.ts"

const base = "https://api.openai.com/v1"
const named = (method: string, url: string, baseUrl = base): string => {
  const target = classify(method, url, baseUrl)
  return target._tag === "Protected" ? target.operation.name : `family ${target.family}`
}

describe("classify", () => {
  it.each([
    ["/chat/completions", "generate"],
    ["/chat/completions/", "generate"],
    ["/chat/completions///", "generate"],
    ["//chat//completions", "generate"],
    ["/CHAT/Completions", "generate"],
    ["/%63hat/completions", "generate"],
    ["/chat%2Fcompletions", "generate"],
    ["/chat%2fcompletions%2f", "generate"],
    ["/./chat/completions", "generate"],
    ["/files/../chat/completions", "generate"],
    ["/files/%2e%2e/chat/completions", "generate"],
    ["/files/..%2fchat/completions", "generate"],
    ["\\chat\\completions", "generate"],
    ["/chat%5ccompletions", "generate"],
    ["/chat/completions?x=/models", "generate"],
    ["/chat/completions#/models", "generate"],
    ["/completions", "complete"],
    ["/completions/", "complete"],
    ["/%43ompletions", "complete"],
    ["/embeddings", "embed"],
    ["/responses", "generate"],
    ["/Responses/?beta=true", "generate"],
    ["/respons%65s", "generate"],
    ["/chat%252fcompletions", "generate"],
    ["/%25252563hat/completions", "generate"],
    ["/%ff%2fchat%2fcompletions", "generate"],
    ["/chat/.%2fcompletions", "generate"],
    ["/files/..%252fchat/completions", "generate"],
    ["/chat/completions/..%2f..%2fembeddings", "embed"],
    ["/chat/completions;v=1", "generate"],
    ["/chat;v=1/completions", "generate"],
    ["/chat/..;/chat/completions", "generate"],
    ["/chat/completions.", "generate"],
    ["/chat/completions%20", "generate"],
    ["/chat/completions%00", "generate"],
    ["/chat%20/completions%09", "generate"],
    ["/chat./completions", "generate"],
    ["/responses/compact", "generate"],
    ["/responses//compact/", "generate"],
    ["/EMBEDDINGS?x", "embed"]
  ])("judges POST %s as %s", (path, operation) => {
    assert.strictEqual(named("POST", base + path), operation)
    for (const method of ["post", "PUT", "PATCH", "DELETE", "QUERY", "x-post"])
      assert.strictEqual(named(method, base + path), operation)
  })

  it("judges deployments and other base URLs too", () => {
    const azure = "https://x.openai.azure.com/openai"
    assert.strictEqual(named("POST", `${azure}/deployments/d/chat/completions?api-version=1`, azure), "generate")
    assert.strictEqual(named("POST", "http://127.0.0.1:1/chat/completions", "http://127.0.0.1:1"), "generate")
    assert.strictEqual(
      named("POST", `https://gateway.example/a/b/v1/embeddings`, "https://gateway.example/a/b/v1/"),
      "embed"
    )
  })

  it.each([
    ["GET", "/models", "models"],
    ["GET", "/models/gpt-4o", "models"],
    ["POST", "/images/generations", "images"],
    ["POST", "/audio/speech", "audio"],
    ["DELETE", "/files/f-1", "files"],
    ["POST", "/fine_tuning/jobs", "fine_tuning"],
    ["GET", "/responses/resp_1", "responses"],
    ["GET", "/responses", "responses"],
    ["POST", "/responses/resp_1/cancel", "responses"],
    ["POST", "/responses/input_tokens", "responses"],
    ["DELETE", "/responses/resp_1", "responses"],
    ["GET", "/chat/completions", "chat"],
    ["GET", "/Models", "models"]
  ])("names the family of %s %s", (method, path, family) => {
    assert.strictEqual(named(method, base + path), `family ${family}`)
  })

  it.each([
    "/files/..%2frealtime",
    "/realtime/..%2ffiles",
    "/files/%2e%2e%2frealtime",
    "/files%5c..%5crealtime",
    "/files%2f.",
    "/files/..%252frealtime",
    "/files/..;/realtime",
    "/files;x/realtime",
    "/files%20/realtime",
    "/files./realtime"
  ])("puts %s, which servers read differently, into no family", (path) => {
    assert.strictEqual(named("GET", base + path), "family ")
    assert.isFalse(passedFamilies.has(""))
  })

  it.each([".", "%20", ".%00", ";", "..;/"])(
    "reads a path with %s a hundred thousand times before its operation in time that grows with its length",
    (part) => {
      const many = part.repeat(100_000)
      assert.strictEqual(named("POST", `${base}/${many}x/chat/completions`), "generate")
    }
  )

  it("reads a base URL with a hundred thousand slashes in time that grows with its length", () => {
    const slashes = "/".repeat(100_000)
    assert.strictEqual(withoutSlashes(`https://a.example${slashes}v1${slashes}`), `https://a.example${slashes}v1`)
    assert.strictEqual(withoutSlashes(slashes), "")
  })

  it("does not take a longer word for an operation", () => {
    assert.strictEqual(named("POST", `${base}/mycompletions`), "family mycompletions")
    assert.strictEqual(named("POST", `${base}/completions/x`), "family completions")
  })
})

describe("operations", () => {
  it("are known by their own names only", () => {
    assert.deepStrictEqual(Object.keys(operations).filter(isOperation), ["generate", "complete", "embed"])
    for (const name of ["", "constructor", "__proto__", "Generate", "toString"]) assert.isFalse(isOperation(name))
  })

  it("spell their caps as the aliases do", () => {
    for (const { endpoints } of Object.values(operations))
      for (const { caps } of endpoints) for (const cap of caps) assert.include(outputTokenCaps, cap)
  })

  it("have one meaning for each spelling, whichever of them is named", () => {
    for (const [name, ...others] of [
      ["reasoning_effort", "reasoning.effort"],
      ["verbosity", "text.verbosity"],
      ["response_format", "text.format"],
      ["response_format.type", "text.format.type"],
      ["response_format.json_schema.name", "text.format.name"],
      ["response_format.json_schema.schema.properties", "text.format.schema.properties"],
      ["response_format.json_schema.strict", "text.format.strict"],
      ["user", "safety_identifier"],
      ["max_tokens", "max_completion_tokens", "max_output_tokens"],
      ["messages[].role", "input[].role"]
    ] as const)
      for (const other of others) {
        assert.include(spellingsOf(name, "generate"), other)
        assert.deepStrictEqual(spellingsOf(other, "generate"), spellingsOf(name, "generate"))
      }
    assert.deepStrictEqual(spellingsOf("reasoning_effort_2", "generate"), ["reasoning_effort_2"])
    // A tool's arguments are its own.
    for (const name of ["user", "verbosity", "text.format"])
      assert.deepStrictEqual(spellingsOf(name, undefined), [name])
    assert.deepStrictEqual(spellingsOf("input", "embed"), ["input"])
  })

  it("are served at their own path, and generate at the Responses API's too", () => {
    const at = (operation: (typeof operations)["generate"], target: string) => endpointAt(operation, target).path
    const { complete, embed, generate } = operations
    for (const url of [
      `${base}/responses`,
      `${base}/Responses/?x=1`,
      "http://127.0.0.1:1/respons%65s",
      "http://a//responses"
    ])
      assert.strictEqual(at(generate, `POST ${url}`), "/responses", url)
    for (const url of [
      `${base}/chat/completions`,
      `${base}/responses/r-1`,
      `${base}/mycompact`,
      `${base}?x=/responses`,
      "nowhere",
      ""
    ])
      assert.strictEqual(at(generate, `POST ${url}`), "/chat/completions", url)
    assert.strictEqual(at(complete, `POST ${base}/responses`), "/completions")
    assert.strictEqual(at(embed, "local tool:my-app/embed"), "/embeddings")
    assert.strictEqual(at(generate, `POST ${base}/responses/compact`), "/responses/compact")
  })

  it("go where their params are read", () => {
    const { complete, generate } = operations
    assert.strictEqual(endpointFor(generate, { messages: [] }).path, "/chat/completions")
    assert.strictEqual(endpointFor(generate, { input: "x" }).path, "/responses")
    assert.strictEqual(endpointFor(generate, { input: "x", messages: [] }).path, "/chat/completions")
    assert.strictEqual(endpointFor(generate, {}).path, "/chat/completions")
    assert.strictEqual(endpointFor(complete, { input: "x" }).path, "/completions")
  })
})
