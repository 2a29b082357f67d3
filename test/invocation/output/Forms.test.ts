/** What the provider's own values look like: each word of the SDK's types is known, and a text is of no form. */
import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import {
  eventTypes,
  type Form,
  isEmbedding,
  isEncrypted,
  isEventType,
  isId,
  isImage,
  isModel,
  isPadding,
  isSound,
  isWord
} from "../../../src/invocation/output/Forms.ts"
import { membersOf } from "../../sdkTypes.ts"
import { literalRules, make } from "./gate.ts"

const judge = make(literalRules(["secret", "own"]))
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")
const floats = (...all: ReadonlyArray<number>): string => base64(new Uint8Array(Float32Array.from(all).buffer))

describe("the words of the SDK's types", () => {
  const literals = (file: string, type: string, ...paths: ReadonlyArray<string>): ReadonlyArray<string> => {
    const members = membersOf(file, type)
    return paths.flatMap((path) => {
      const found = [...(members.get(path)?.literals ?? [])]
      assert.isAbove(found.length, 0, path)
      return found
    })
  }

  it("are known: of answers", () => {
    const all = [
      ...literals("responses/responses.d.ts", "Response", "object", "status", "service_tier", "truncation"),
      ...literals("responses/responses.d.ts", "ResponseOutputItem", "type", "status", "role", "execution"),
      ...literals(
        "chat/completions/completions.d.ts",
        "ChatCompletion",
        "object",
        "service_tier",
        "choices[].finish_reason",
        "choices[].message.role"
      ),
      ...literals("chat/completions/completions.d.ts", "ChatCompletionChunk", "object", "choices[].delta.role")
    ]
    assert.deepStrictEqual(
      all.filter((word) => !isWord(word, judge)),
      []
    )
  })

  it("are known: of events", () => {
    const file = new URL("../../../node_modules/openai/resources/responses/responses.d.ts", import.meta.url)
    const all = [...Fs.readFileSync(file, "utf8").matchAll(/\btype: '(response\.[\w.]+|error)'/gu)].flatMap(
      ([, type]) => type ?? []
    )
    assert.isAbove(all.length, 40)
    assert.deepStrictEqual(
      all.filter((type) => !eventTypes.has(type)),
      []
    )
  })
})

describe("a value", () => {
  it.each<[string, Form, ReadonlyArray<unknown>, ReadonlyArray<unknown>]>([
    [
      "an id",
      isId,
      ["chatcmpl-8f2a91", "call_abc", "functions.look:0", "1"],
      ["secret", "a secret-1", `x1${"a".repeat(300)}`, 1, ["x-1"]]
    ],
    ["a model", isModel, ["gpt-4o", "gpt-4o-2024-08-06"], ["secret", "the gpt-4o", {}]],
    ["a word", isWord, ["stop"], ["Stop", "stop it", ["stop"]]],
    ["an event's type", isEventType, ["response.completed"], ["response.tomorrow", "secret"]],
    [
      "an image",
      isImage,
      ["iVBORw0KGgo=", `/9j/${"A".repeat(400)}`],
      ["secret00", "iVBORw0KGgo a secret", "iVBORw0", "UklGRsecret=secret"]
    ],
    ["sound", isSound, ["UklGRgAA"], ["a secret", "UklG=gAA"]],
    [
      "an embedding",
      isEmbedding,
      [floats(0.5, -0.25, 0), floats(1e-6, 0.1)],
      ["secretsecretsecretsecret", floats(1e30), "", [0.1], "AAAA AAA"]
    ],
    [
      "encrypted",
      isEncrypted,
      ["gAAAAABo9f3Qx0ZkW1bHq2mJ7nT4vYc6RsL8uPdE5iKfXgA="],
      ["secret", "a secret of 32 characters or more: 1234", "secretsecretsecretsecretsecretsecret"]
    ],
    ["padding", isPadding, ["aB3", "", "xownx"], ["a secret", "secret", "xxsecretxx", "a".repeat(65), ["aB3"]]]
  ])("is %s, or is text", (_, form, good, bad) => {
    for (const value of good) assert.isTrue(form(value, judge), JSON.stringify(value))
    for (const value of bad) assert.isFalse(form(value, judge), JSON.stringify(value))
  })
})
