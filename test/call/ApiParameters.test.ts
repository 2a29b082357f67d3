/** The registry of parameters is the installed SDK's; and what its names make of keys that are spelt otherwise. */
import { describe, expect, it } from "vitest"
import { ambiguousKeys, apiParameters, type Shape, withNamed } from "../../src/call/ApiParameters.ts"
import { aliases, operations, quantities } from "../../src/call/Operation.ts"
import sdkOperations from "../../src/call/openai-operations.json" with { type: "json" }
import sdk from "../../src/call/openai-parameters.json" with { type: "json" }
import { sdkParameters } from "../openaiParameters.ts"

const paths = (params: object, shape?: Shape) => ambiguousKeys(params as never, shape).map(({ path }) => path)

describe("the parameters of the API", () => {
  it("are those of the installed SDK's types; `node test/openaiParameters.ts` writes them", () => {
    expect({ parameters: sdk, operations: sdkOperations }).toEqual(sdkParameters())
  })
  it("are there for each operation", () => {
    expect(Object.keys(sdkOperations).sort()).toEqual(Object.keys(operations).sort())
  })
  it("have what the rest of this library speaks of", () => {
    const at = (path: string) =>
      path
        .split(/\.|\[\]\??\.?/)
        .reduce<Shape | undefined>(
          (shape, step) => (step === "" || shape === "open" ? shape : shape?.[step]),
          apiParameters
        )
    const prompts = Object.values(operations).flatMap(({ endpoints }) => endpoints.map(({ prompt }) => prompt))
    for (const path of [...aliases.flat(), ...quantities, ...prompts])
      expect([path, at(path)]).not.toEqual([path, undefined])
  })
  it("leave to the customer what is the customer's", () => {
    for (const path of ["metadata", "logit_bias"] as const) expect(apiParameters[path]).toBe("open")
    expect(apiParameters).toMatchObject({
      prompt: { variables: "open" },
      functions: { parameters: "open" },
      tools: { parameters: "open", function: { parameters: "open" } },
      response_format: { json_schema: { schema: "open" } },
      text: { format: { schema: "open" } }
    })
  })
})

describe("a key that is spelt otherwise", () => {
  it("is named with its path, up to a bound", () => {
    const params = { Model: 1, tools: [{}, { function: { NAME: 1 } }], messages: [{ content: [{ Type: 1 }] }] }
    expect(paths(params)).toEqual(["Model", "tools[1].function.NAME", "messages[0].content[0].Type"])
    const brings = { type: "additional_tools", Tools: [] }
    expect(
      paths({ messages: [{ content: [brings] }, { Functions: [] }], instructions: [{ content: [brings] }] })
    ).toEqual(["messages[0].content[0].Tools", "messages[1].Functions", "instructions[0].content[0].Tools"])
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, 1]))
    expect(paths({ messages: Array.from({ length: 1000 }, () => ({ Role: "user" })) })).toHaveLength(16)
    expect(paths(many)).toEqual([])
  })
  it("is none where the customer names things", () => {
    expect(paths({ metadata: { Model: 1, model: 2 }, logit_bias: { A: 1, a: 2 } })).toEqual([])
    expect(paths({ x_vendor: { Model: 1, model: 2 } })).toEqual([])
  })
  it("is known of parameters that a policy names, at any depth", () => {
    const shape = withNamed(apiParameters, ["provider.order[].name", "x_mode", "metadata.team", "Max_Tokens"])
    expect(paths({ provider: { Order: [] } }, shape)).toEqual(["provider.Order"])
    expect(paths({ provider: { order: [{ Name: 1 }] } }, shape)).toEqual(["provider.order[0].Name"])
    expect(paths({ X_Mode: 1, metadata: { Team: 1 } }, shape)).toEqual(["X_Mode"])
    expect(paths({ Max_Tokens: 1 }, shape)).toEqual(["Max_Tokens"])
    expect(withNamed(apiParameters, ["model", "tools[].function.name"])).toBe(apiParameters)
  })
})
