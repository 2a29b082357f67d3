import { assert, describe, it } from "@effect/vitest"
import { aliases, modelChoosers, operations, quantities } from "../../src/call/Operation.ts"
import { isKnown, isSlip, meantBy, operationsWith } from "../../src/policy/KnownParameters.ts"

describe("a parameter of an operation", () => {
  it("is known in every spelling that the library reads", () => {
    const all = aliases.flat().filter((name) => !name.includes("?"))
    for (const name of [...all, ...quantities, ...modelChoosers, "total_tokens"])
      assert.isAbove(operationsWith(name).length, 0, name)
    for (const { endpoints, name } of Object.values(operations))
      for (const { caps, prompt } of endpoints)
        for (const one of ["model", prompt, ...caps]) assert.isTrue(isKnown(one, name), `${name} ${one}`)
  })

  it.each([
    "tools",
    "tools[]",
    "tools[].type",
    "tools[].function",
    "tools[].function.name",
    "tools[].custom.name",
    "tools[].name",
    "tools[].strict",
    "tools[].server_label",
    "tools[].function.server_label",
    "tools[].function.parameters.properties.city",
    "functions[].name",
    "functions[].parameters",
    "tool_choice",
    "tool_choice.function.name",
    "tool_choice.name",
    "function_call.name",
    "messages[].role",
    "messages[].content[].text",
    "input[].content[].type",
    "response_format.type",
    "text.format.name",
    "reasoning.effort",
    "metadata.team",
    "logit_bias.50256",
    "provider.order[]",
    "instructions",
    "prompt.variables.name"
  ])("of a chat: %s", (name) => {
    assert.isTrue(isKnown(name, "generate"))
  })

  it.each([
    ["max_token", "generate", "max_tokens"],
    ["maxTokens", "generate", "max_tokens"],
    ["max_completion_token", "generate", "max_completion_tokens"],
    ["temprature", "generate", "temperature"],
    ["Model", "generate", "model"],
    ["total_token", "generate", "total_tokens"],
    ["tools[].function.nmae", "generate", "tools[].function.name"],
    ["tools[].funtion.name", "generate", "tools[].function.name"],
    ["toools[].function.nmae", "generate", "tools[].function.name"],
    ["functions[].nme", "generate", "functions[].name"],
    ["tool_choice.function.nam", "generate", "tool_choice.function.name"],
    ["mesages[].rol", "generate", "messages[].role"],
    ["messages[].content[].txt", "generate", "messages[].content[].text"],
    ["response_format.typ", "generate", "response_format.type"],
    ["reasoning.efort", "generate", "reasoning.effort"],
    ["dimension", "embed", "dimensions"],
    ["promt", "complete", "prompt"],
    ["top_k", "generate", "top_p"],
    ["guided_json", "generate", undefined],
    ["max_tokens", "embed", undefined],
    ["total_tokens", "embed", undefined],
    ["temperature.value", "generate", undefined]
  ] as const)("%s is none of %s: %s was meant", (name, operation, meant) => {
    assert.isFalse(isKnown(name, operation))
    assert.strictEqual(meantBy(name, operation), meant)
  })

  it("is taken for a slip where it is long and near", () => {
    assert.isTrue(isSlip("temprature", "temperature", 8))
    assert.isTrue(isSlip("maxTokens", "max_tokens", 8))
    assert.isFalse(isSlip("message", "messages", 8))
    assert.isFalse(isSlip("top_k", "top_p", 6))
    assert.isFalse(isSlip("repetition_penalty", "frequency_penalty", 6))
  })
})
