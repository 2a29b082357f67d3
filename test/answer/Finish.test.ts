import { assert, describe, it } from "@effect/vitest"
import { endOf, isFailure, isReason, StreamFinish } from "../../src/answer/Finish.ts"

describe("the end of a choice", () => {
  it.each([undefined, null, "", false, true, 0, 1, {}, []])("is not %j", (reason) => {
    assert.isFalse(isReason(reason))
  })
  it("is any text", () => {
    for (const reason of ["stop", "eos", "end_turn"]) assert.isTrue(isReason(reason))
  })
})

describe("a failure", () => {
  it.each<[unknown, boolean]>([
    [{ error: { message: "x" } }, true],
    [{ error: "x" }, true],
    [{ error: null }, false],
    [{ type: "error", message: "x" }, true],
    [{ type: "response.failed", response: {} }, true],
    [{ object: "response", status: "failed" }, true],
    [{ object: "response", status: "completed", error: null }, false],
    [{ object: "response", status: "cancelled" }, true],
    [{ object: "response", status: "incomplete" }, false],
    [{ type: "response.cancelled", response: {} }, true],
    [{ type: "response.completed", response: { status: "cancelled" } }, true],
    [{ type: "response.completed", response: { status: "failed" } }, true],
    [{ type: "response.completed", response: { status: "completed", error: { message: "x" } } }, true],
    [{ type: "response.completed", response: { status: "completed", error: null } }, false],
    [{ object: "error", message: "x", code: 500 }, true],
    [{ choices: [{ finish_reason: "error" }] }, true],
    [{ choices: [{ finish_reason: "stop", error: { message: "x", code: 502 } }] }, true],
    [{ choices: [{ finish_reason: "stop", error: null }] }, false],
    [{ choices: [{ finish_reason: "stop" }] }, false],
    ["failed", false],
    [undefined, false]
  ])("%j: %s", (answer, failed) => {
    assert.strictEqual(isFailure(answer), failed)
  })
})

it.each<[unknown, string]>([
  [{ choices: [] }, "complete"],
  [{ error: "x" }, "failed"],
  ["<html></html>", "failed"],
  [undefined, "failed"],
  [[], "failed"]
])("a plain answer of %j ended: %s", (answer, end) => {
  assert.strictEqual(endOf(answer), end)
})

describe("a stream", () => {
  const choice = (index: number, finish_reason: unknown, delta: object = {}) => ({
    choices: [{ index, delta, finish_reason }]
  })
  it.each<[string, ReadonlyArray<unknown>, boolean]>([
    ["nothing", [], false],
    ["a choice that is over", [choice(0, null, { content: "a" }), choice(0, "stop")], true],
    ["one of two that is over", [choice(1, null), choice(0, "stop")], false],
    ["one that begins after the other's end", [choice(0, "stop"), choice(1, null)], false],
    [
      "usage after the end",
      [choice(0, "stop"), { ...choice(0, null, { role: "assistant", content: "" }), usage: {} }],
      true
    ],
    ["more after the end", [choice(0, "stop"), choice(0, null, { content: "a" })], false],
    ["a completion that is over", [{ choices: [{ index: 0, text: "a", finish_reason: "length" }] }], true],
    ["a response that is over", [{ type: "response.incomplete" }], true]
  ])("of %s: whole %s", (_, chunks, whole) => {
    const finish = new StreamFinish()
    for (const chunk of chunks) finish.add(chunk)
    assert.strictEqual(finish.isWhole, whole)
    assert.isFalse(finish.hasFailed)
  })

  it.each<[string, ReadonlyArray<unknown>, boolean]>([
    ["nothing", [], false],
    ["a role", [choice(0, null, { role: "assistant", content: "" })], false],
    ["an empty end", [choice(0, ""), { choices: [{ index: 0, text: "", finish_reason: "" }] }], false],
    ["usage", [{ choices: [], usage: { prompt_tokens: 1 } }], false],
    ["what a filter says of the prompt", [{ choices: [], prompt_filter_results: [{ prompt_index: 0 }] }], false],
    ["a response that begins", [{ type: "response.created", response: {} }], false],
    ["a sign of life", [{ type: "keepalive", sequence_number: 1 }], false],
    ["a text", [choice(0, null, { content: "a" })], true],
    ["a message", [{ choices: [{ index: 0, message: { content: "a" } }] }], true],
    ["an end", [choice(0, "stop")], true],
    ["a delta of a response", [{ type: "response.output_text.delta", delta: "a" }], true],
    ["a chunk of no known form", [{ id: "x", answer: "a" }], true]
  ])("of %s says something of an answer, or does not", (_, chunks, says) => {
    const finish = new StreamFinish()
    for (const chunk of chunks) finish.add(chunk)
    assert.strictEqual(finish.hasSaid, says)
  })
})
