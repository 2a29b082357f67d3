import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "vitest"
import { requestOf } from "../../src/ai/Request.ts"

const of = (options: Partial<LanguageModel.ProviderOptions>) =>
  requestOf({
    prompt: Prompt.make("Hello"),
    tools: [],
    toolChoice: "none",
    responseFormat: { type: "text" },
    ...options
  } as LanguageModel.ProviderOptions)
const tool = Tool.make("weather", { parameters: Schema.Struct({ city: Schema.String }) })

describe("a request", () => {
  it("names no tools where there are none", () => {
    expect(Object.keys(of({}))).toEqual(["messages"])
  })

  it.each<[LanguageModel.ToolChoice<"weather">, unknown]>([
    ["auto", "auto"],
    ["none", "none"],
    ["required", "required"],
    [{ tool: "weather" }, { type: "function", function: { name: "weather" } }],
    [{ oneOf: ["weather"] }, "auto"],
    [{ oneOf: ["weather"], mode: "required" }, "required"]
  ])("chooses tools: %o", (toolChoice, expected) => {
    expect(of({ tools: [tool], toolChoice }).tool_choice).toEqual(expected)
  })

  it("is strict where the schema is ours, and as the program says where it is not", () => {
    const given = { type: "object", properties: { a: { type: "string", minLength: 3 } } } as const
    const dynamic = Tool.dynamic("other", { parameters: given })
    const loose = tool.annotate(Tool.Strict, false)
    const functions = of({ tools: [tool, loose, dynamic] }).tools?.map((t) => ("function" in t ? t.function : t))
    expect(functions).toMatchObject([{ strict: true }, { strict: false }, { name: "other", parameters: given }])
    expect(functions?.[2]).not.toHaveProperty("strict")
  })

  it("refuses a tool of a provider's, and a schema that has no form here", () => {
    const theirs = Tool.providerDefined({ id: "openai.web_search", customName: "Search", providerName: "web_search" })
    expect(() => of({ tools: [theirs()] })).toThrow("run by a provider")
    const responseFormat = { type: "json", objectName: "a", schema: Schema.Array(Schema.String) } as const
    expect(() => of({ responseFormat })).toThrow('must have type "object"')
  })
})
