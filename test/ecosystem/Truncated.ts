/**
 * Answers that a cap on tokens cut short, as the API gives them: a chat whose `finish_reason` is `length`, a response whose
 * `status` is `incomplete`. For `Provider.behave`.
 */

const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }

/** A chat with the text so far. */
export const chat = (content: string) => ({
  json: {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "gpt-4o-mini",
    choices: [
      { index: 0, message: { role: "assistant", content, refusal: null }, finish_reason: "length", logprobs: null }
    ],
    usage
  }
})

/** The same chat, streamed. */
export const chatStream = (content: string) => ({
  events: [
    [{ role: "assistant", content }, null],
    [{}, "length"]
  ].map(([delta, finish_reason]) => ({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "gpt-4o-mini",
    choices: [{ index: 0, delta, finish_reason }]
  }))
})

/** A response with the text so far. */
export const response = (text: string) => ({
  json: {
    id: "resp_1",
    object: "response",
    created_at: 1,
    model: "gpt-4o-mini",
    status: "incomplete",
    incomplete_details: { reason: "max_output_tokens" },
    error: null,
    output: [
      {
        id: "msg_1",
        type: "message",
        role: "assistant",
        status: "incomplete",
        content: [{ type: "output_text", text, annotations: [] }]
      }
    ],
    usage: { input_tokens: 5, output_tokens: 3, total_tokens: 8 }
  }
})
