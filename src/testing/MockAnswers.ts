/**
 * What a mocked model says, in the shapes of the API: chat completions, text completions, embeddings and responses, whole
 * and in chunks.
 */
import type { JsonObject } from "../base/Json.ts"
import { endpointAt, type Endpoint, isOperation, operations } from "../call/Operation.ts"

/** A text, or a tool that the model asks for. */
export type ModelOutput = string | { readonly tool: string; readonly arguments: JsonObject }

/** To what it is the answer: `n` counts answers from 1, and makes their ids. */
export interface AnswerContext {
  readonly operation: string
  readonly endpoint: string
  readonly params: JsonObject
  readonly n: number
}

/** The answer as one JSON value. */
export const whole = (said: ModelOutput, asked: AnswerContext): unknown => shapeOf(asked).whole(said, asked)

/** The answer in chunks: a text comes word by word, a tool call in one. */
export const chunks = (said: ModelOutput, asked: AnswerContext): ReadonlyArray<unknown> =>
  shapeOf(asked).chunks(said, asked)

interface Shape {
  readonly whole: (said: ModelOutput, asked: AnswerContext) => unknown
  readonly chunks: (said: ModelOutput, asked: AnswerContext) => ReadonlyArray<unknown>
}

const shapeOf = ({ endpoint, operation }: AnswerContext): Shape => {
  const path: Endpoint["path"] = isOperation(operation) ? endpointAt(operations[operation], endpoint).path : ""
  return shapes.get(path) ?? chat
}

const words = (text: string): ReadonlyArray<string> => text.match(/\S+\s*/g) ?? [text]

const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }

const functionCall = ({ arguments: args, tool }: Exclude<ModelOutput, string>) => ({
  name: tool,
  arguments: JSON.stringify(args)
})

const chat: Shape = {
  whole: (said, { n, params }) => ({
    id: `chatcmpl-test-${n}`,
    object: "chat.completion",
    created: 0,
    model: params["model"],
    choices: [
      {
        index: 0,
        message:
          typeof said === "string"
            ? { role: "assistant", content: said, refusal: null }
            : { role: "assistant", content: null, refusal: null, tool_calls: [toolCall(said, n)] },
        finish_reason: typeof said === "string" ? "stop" : "tool_calls",
        logprobs: null
      }
    ],
    usage
  }),
  chunks: (said, { n, params }) => {
    const chunk = (delta: object, finish_reason: string | null) => ({
      id: `chatcmpl-test-${n}`,
      object: "chat.completion.chunk",
      created: 0,
      model: params["model"],
      choices: [{ index: 0, delta, finish_reason, logprobs: null }]
    })
    return typeof said === "string"
      ? [
          ...words(said).map((content, i) => chunk(i === 0 ? { role: "assistant", content } : { content }, null)),
          chunk({}, "stop")
        ]
      : [chunk({ role: "assistant", tool_calls: [{ index: 0, ...toolCall(said, n) }] }, null), chunk({}, "tool_calls")]
  }
}

const toolCall = (said: Exclude<ModelOutput, string>, n: number) => ({
  id: `call_test_${n}`,
  type: "function",
  function: functionCall(said)
})

const completion: Shape = {
  whole: (said, asked) => textCompletion(asked, textOf(said), "stop", { usage }),
  chunks: (said, asked) => [
    ...words(textOf(said)).map((text) => textCompletion(asked, text, null)),
    textCompletion(asked, "", "stop")
  ]
}

const textCompletion = (
  { n, params }: AnswerContext,
  text: string,
  finish_reason: string | null,
  more: object = {}
) => ({
  id: `cmpl-test-${n}`,
  object: "text_completion",
  created: 0,
  model: params["model"],
  choices: [{ index: 0, text, finish_reason, logprobs: null }],
  ...more
})

/** An endpoint that knows no tools says what would have been asked for. */
const textOf = (said: ModelOutput): string => (typeof said === "string" ? said : JSON.stringify(functionCall(said)))

const embedding: Shape = {
  whole: (_said, { params }) => ({
    object: "list",
    model: params["model"],
    data: [{ object: "embedding", index: 0, embedding: [0.5, -0.5] }],
    usage
  }),
  chunks: () => []
}

const response: Shape = {
  whole: (said, asked) => responseOf(asked, "completed", [outputItem(said, asked, "completed")]),
  chunks: (said, asked) => {
    const item = outputItem(said, asked, "completed")
    const place = { item_id: item.id, output_index: 0 }
    const inText = { ...place, content_index: 0 }
    const events: ReadonlyArray<object> = [
      { type: "response.created", response: responseOf(asked, "in_progress", []) },
      { type: "response.output_item.added", output_index: 0, item: outputItem(emptied(said), asked, "in_progress") },
      ...(typeof said === "string"
        ? [
            { type: "response.content_part.added", ...inText, part: outputText("") },
            ...words(said).map((delta) => ({ type: "response.output_text.delta", ...inText, delta, logprobs: [] })),
            { type: "response.output_text.done", ...inText, text: said, logprobs: [] },
            { type: "response.content_part.done", ...inText, part: outputText(said) }
          ]
        : [
            { type: "response.function_call_arguments.delta", ...place, delta: functionCall(said).arguments },
            { type: "response.function_call_arguments.done", ...place, ...functionCall(said) }
          ]),
      { type: "response.output_item.done", output_index: 0, item },
      { type: "response.completed", response: responseOf(asked, "completed", [item]) }
    ]
    return events.map((event, sequence_number) => ({ ...event, sequence_number }))
  }
}

const emptied = (said: ModelOutput): ModelOutput => (typeof said === "string" ? "" : { ...said, arguments: {} })

const responseOf = ({ n, params }: AnswerContext, status: string, output: ReadonlyArray<object>) => ({
  id: `resp_test_${n}`,
  object: "response",
  created_at: 0,
  status,
  model: params["model"],
  output,
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: {},
  parallel_tool_calls: true,
  temperature: 1,
  tool_choice: "auto",
  tools: params["tools"] ?? [],
  top_p: 1,
  ...(status === "completed" && {
    usage: {
      input_tokens: 1,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 1,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 2
    }
  })
})

const outputItem = (said: ModelOutput, { n }: AnswerContext, status: string) =>
  typeof said === "string"
    ? {
        id: `msg_test_${n}`,
        type: "message",
        role: "assistant",
        status,
        content: said === "" ? [] : [outputText(said)]
      }
    : { id: `fc_test_${n}`, type: "function_call", status, call_id: `call_test_${n}`, ...functionCall(said) }

const outputText = (text: string) => ({ type: "output_text", text, annotations: [], logprobs: [] })

const compaction: Shape = {
  whole: (said, { n }) => ({
    id: `resp_test_${n}`,
    object: "response.compaction",
    created_at: 0,
    output: [{ id: `cmp_test_${n}`, type: "compaction", encrypted_content: textOf(said) }],
    usage: { input_tokens: 1, output_tokens: 1, total_tokens: 2 }
  }),
  chunks: () => []
}

const shapes: ReadonlyMap<string, Shape> = new Map([
  ["/chat/completions", chat],
  ["/completions", completion],
  ["/embeddings", embedding],
  ["/responses", response],
  ["/responses/compact", compaction]
])
