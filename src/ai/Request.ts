/**
 * What a model of `effect/ai` is asked, as the body of a chat completion.
 */
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import { toCodecOpenAI } from "effect/ai/OpenAiStructuredOutput"
import * as Tool from "effect/ai/Tool"
import type { OpenAI } from "openai"
import { messagesOf } from "./Messages.ts"

/** The body, without what the caller sets; throws an `AiErrorReason` for what the endpoint cannot do. */
export const requestOf = ({
  prompt,
  responseFormat,
  toolChoice,
  tools
}: LanguageModel.ProviderOptions): Pick<
  OpenAI.ChatCompletionCreateParams,
  "messages" | "tools" | "tool_choice" | "response_format"
> => ({
  messages: messagesOf(prompt),
  ...(tools.length > 0 && { tools: tools.map(toolOf), tool_choice: choiceOf(toolChoice) }),
  ...(responseFormat.type === "json" && {
    response_format: {
      type: "json_schema",
      json_schema: {
        name: responseFormat.objectName.replaceAll(/[^\w-]/g, "_").slice(0, 64),
        strict: true,
        schema: schemaOf(() => toCodecOpenAI(responseFormat.schema).jsonSchema)
      }
    }
  })
})

const toolOf = (tool: Tool.Any): OpenAI.ChatCompletionFunctionTool => {
  if (Tool.isProviderDefined(tool))
    throw new AiError.InvalidRequestError({
      description: `${tool.name} is run by a provider; a chat completion takes the program's own tools.`
    })
  const description = Tool.getDescription(tool)
  const strict = Tool.getStrictMode(tool) ?? (Tool.isDynamic(tool) ? undefined : true)
  return {
    type: "function",
    function: {
      name: tool.name,
      ...(description !== undefined && { description }),
      parameters: schemaOf(() => Tool.getJsonSchema(tool, { transformer: toCodecOpenAI })),
      ...(strict !== undefined && { strict })
    }
  }
}

/** `oneOf` has chosen the tools already. */
const choiceOf = (choice: LanguageModel.ToolChoice<string>): OpenAI.ChatCompletionToolChoiceOption => {
  if (typeof choice === "string") return choice
  return "tool" in choice ? { type: "function", function: { name: choice.tool } } : (choice.mode ?? "auto")
}

const schemaOf = (make: () => object): Record<string, unknown> => {
  try {
    return make() as Record<string, unknown>
  } catch (error) {
    throw new AiError.UnsupportedSchemaError({ description: error instanceof Error ? error.message : String(error) })
  }
}
