/**
 * Answers as the API sends them, with every member that it has: chat completions, text completions and responses, whole and as
 * chunks or events. The texts are of our own.
 */
import type { OutputRules } from "../../src/call/Judge.ts"

export type Json = Record<string, unknown>

/** The request that all of them answer: responses repeat parts of it. */
export const request: Json = {
  model: "gpt-4o",
  instructions: "Never tell of Project Heron.",
  metadata: { topic: "all but Project Heron" },
  tools: [
    {
      type: "function",
      name: "look",
      description: "Looks, but not for Project Heron",
      parameters: { type: "object", properties: { "the city": { type: "string" } } },
      strict: true
    }
  ],
  tool_choice: "auto",
  text: { format: { type: "json_schema", name: "answer", schema: { title: "no Project Heron" } } },
  reasoning: { effort: "low", summary: "auto" },
  safety_identifier: "Project Heron 7"
}

const bytes = (text: string): ReadonlyArray<number> => [...new TextEncoder().encode(text)]
const token = (text: string): Json => ({
  token: text,
  logprob: -0.1,
  bytes: bytes(text),
  top_logprobs: [
    { token: text, logprob: -0.1, bytes: bytes(text) },
    { token: " other", logprob: -3.5, bytes: bytes(" other") }
  ]
})
const probable = (...texts: ReadonlyArray<string>): Json => ({ content: texts.map(token), refusal: null })

// Chat completions

const chatUsage = {
  prompt_tokens: 9,
  completion_tokens: 4,
  total_tokens: 13,
  prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0 }
}
const citation = {
  type: "url_citation",
  url_citation: { start_index: 0, end_index: 5, title: "A page", url: "https://example.com/a" }
}

const chat: Json = {
  id: "chatcmpl-8f2a91",
  object: "chat.completion",
  created: 1767225600,
  model: "gpt-4o-2024-08-06",
  service_tier: "default",
  system_fingerprint: "fp_44709d6fcb",
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: "Hello there", refusal: null, annotations: [citation] },
      logprobs: probable("Hello", " there"),
      finish_reason: "stop"
    },
    {
      index: 1,
      message: {
        role: "assistant",
        content: null,
        refusal: null,
        reasoning_content: "Let me look.",
        reasoning_details: [{ type: "reasoning.text", text: "Let me look.", format: "unknown", index: 0 }],
        tool_calls: [
          { id: "call_81a", type: "function", function: { name: "look", arguments: '{"city":"Oslo"}' } },
          { id: "call_82b", type: "custom", custom: { name: "look", input: "Oslo" } }
        ],
        function_call: { name: "look", arguments: "{}" },
        annotations: []
      },
      logprobs: null,
      finish_reason: "tool_calls",
      content_filter_results: { hate: { filtered: false, severity: "safe" } }
    },
    {
      index: 2,
      message: {
        role: "assistant",
        content: [
          { type: "text", text: "In parts, " },
          { type: "tool_use", id: "toolu_01", name: "look", input: { city: "Oslo" } }
        ],
        refusal: "No.",
        audio: { id: "audio_6f", data: "UklGRgAA", expires_at: 1767225700, transcript: "Said aloud" }
      },
      finish_reason: "stop"
    }
  ],
  usage: chatUsage
}

const chatChunk = (choice: Json | undefined, more: Json = {}): Json => ({
  id: "chatcmpl-8f2a91",
  object: "chat.completion.chunk",
  created: 1767225600,
  model: "gpt-4o-2024-08-06",
  service_tier: "default",
  system_fingerprint: "fp_44709d6fcb",
  choices: choice === undefined ? [] : [{ index: 0, logprobs: null, finish_reason: null, ...choice }],
  usage: null,
  obfuscation: "aB3dE5fG7",
  ...more
})
const called = (call: Json): Json => chatChunk({ delta: { tool_calls: [{ index: 0, ...call }] } })

const chatChunks: ReadonlyArray<Json> = [
  chatChunk({ delta: { role: "assistant", content: "", refusal: null } }),
  chatChunk({ delta: { content: "Hello" }, logprobs: probable("Hello") }),
  chatChunk({
    delta: { reasoning_content: "Let me look.", reasoning_details: [{ type: "reasoning.text", text: "x" }] }
  }),
  chatChunk({ delta: { content: [{ type: "text", text: " in parts" }] } }),
  chatChunk({ delta: { refusal: "No." }, content_filter_results: { hate: { filtered: false, severity: "safe" } } }),
  called({ id: "call_81a", type: "function", function: { name: "look", arguments: "" } }),
  called({ function: { arguments: '{"city":"Oslo"}' } }),
  chatChunk({ delta: {}, finish_reason: "tool_calls" }),
  chatChunk({ index: 1, delta: { audio: { id: "audio_6f", transcript: "Said aloud", expires_at: 1767225700 } } }),
  chatChunk({ index: 1, delta: {}, finish_reason: "stop" }),
  chatChunk({ index: 2, delta: { function_call: { name: "look", arguments: "{}" } } }),
  chatChunk({ index: 2, delta: {}, finish_reason: "function_call" }),
  chatChunk({ index: 3, delta: { content: "Hi" }, message: { role: "assistant", content: "Hi" } }),
  chatChunk({
    index: 3,
    delta: { content: [{ type: "tool_use", id: "toolu_01", name: "look", input: { city: "Oslo" } }] }
  }),
  chatChunk({ index: 3, delta: {}, finish_reason: "stop" }),
  chatChunk(undefined, { usage: chatUsage })
]

// Text completions

const text = (choice: Json, more: Json = {}): Json => ({
  id: "cmpl-71c2",
  object: "text_completion",
  created: 1767225600,
  model: "gpt-4o",
  system_fingerprint: "fp_44709d6fcb",
  choices: [{ index: 0, logprobs: null, finish_reason: null, ...choice }],
  ...more
})
const textProbable = (...tokens: ReadonlyArray<string>): Json => ({
  tokens,
  token_logprobs: tokens.map(() => -0.1),
  top_logprobs: tokens.map((one) => ({ [one]: -0.1, " other": -3.5 })),
  text_offset: tokens.map((_, i) => i)
})

const completion = text(
  { text: "Hello there", logprobs: textProbable("Hello", " there"), finish_reason: "stop" },
  { usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 } }
)
const completionChunks: ReadonlyArray<Json> = [
  text({ text: "Hello", logprobs: textProbable("Hello") }),
  text({ text: " there" }),
  text({ text: "", finish_reason: "stop" })
]

// Responses

const part = { type: "output_text", text: "Hello there", annotations: [], logprobs: [token("Hello"), token(" there")] }
const cited = {
  type: "output_text",
  text: "Hello there",
  logprobs: [],
  annotations: [
    { type: "url_citation", start_index: 0, end_index: 5, title: "A page", url: "https://example.com/a" },
    { type: "container_file_citation", container_id: "cntr_5", file_id: "cfile_6", filename: "a.csv", start_index: 0 }
  ]
}
const message: Json = { id: "msg_10", type: "message", status: "completed", role: "assistant", content: [part] }
const reasoning: Json = {
  id: "rs_11",
  type: "reasoning",
  status: "completed",
  summary: [{ type: "summary_text", text: "Greets." }],
  content: [{ type: "reasoning_text", text: "I greet." }],
  encrypted_content: "gAAAAABo9f3Qx0ZkW1bHq2mJ7nT4vYc6RsL8uPdE5iKfXgA="
}
const called1: Json = {
  id: "fc_12",
  type: "function_call",
  status: "completed",
  call_id: "call_13",
  name: "look",
  arguments: '{"city":"Oslo"}'
}
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
const items: ReadonlyArray<Json> = [
  message,
  reasoning,
  called1,
  { id: "msg_14", type: "message", status: "completed", role: "assistant", phase: "commentary", content: [cited] },
  {
    id: "msg_15",
    type: "message",
    status: "completed",
    role: "assistant",
    content: [{ type: "refusal", refusal: "No." }]
  },
  { id: "ctc_16", type: "custom_tool_call", status: "completed", call_id: "call_17", name: "look", input: "Oslo" },
  {
    id: "ws_18",
    type: "web_search_call",
    status: "completed",
    action: { type: "search", query: "oslo", sources: [{ type: "url", url: "https://example.com" }] }
  },
  {
    id: "fs_19",
    type: "file_search_call",
    status: "completed",
    queries: ["oslo"],
    results: [
      { file_id: "file-20", filename: "a.txt", score: 0.5, text: "Oslo is a city.", attributes: { kind: "note" } }
    ]
  },
  {
    id: "ci_21",
    type: "code_interpreter_call",
    status: "completed",
    container_id: "cntr_5",
    code: "print(1)",
    outputs: [
      { type: "logs", logs: "1" },
      { type: "image", url: "https://example.com/a.png" }
    ]
  },
  { id: "ig_22", type: "image_generation_call", status: "completed", result: png, revised_prompt: "A bird" },
  {
    id: "mcp_23",
    type: "mcp_call",
    status: "completed",
    server_label: "notes",
    name: "find",
    arguments: '{"a":1}',
    output: "found",
    error: null,
    approval_request_id: "mcpr_24"
  },
  {
    id: "mcpl_25",
    type: "mcp_list_tools",
    server_label: "notes",
    tools: [{ name: "find", description: "Finds", input_schema: { type: "object" }, annotations: null }]
  },
  { id: "mcpr_26", type: "mcp_approval_request", server_label: "notes", name: "look", arguments: "{}" },
  { id: "cmp_27", type: "compaction", encrypted_content: "gAAAAABo9f3Qx0ZkW1bHq2mJ7nT4vYc6RsL8uPdE5iKfXgA=" },
  { id: "cu_28", type: "computer_call", call_id: "call_29", status: "completed", action: { type: "wait" } },
  {
    id: "ls_30",
    type: "local_shell_call",
    call_id: "call_31",
    status: "completed",
    action: { type: "exec", command: ["ls"] }
  },
  {
    id: "ap_32",
    type: "apply_patch_call",
    call_id: "call_33",
    status: "completed",
    operation: { type: "update_file", diff: "+" }
  },
  {
    id: "ts_34",
    type: "tool_search_call",
    call_id: null,
    execution: "server",
    status: "completed",
    arguments: { q: "x" }
  },
  { id: "fo_35", type: "function_call_output", call_id: "call_13", status: "completed", output: "sunny" }
]

const responseOf = (output: ReadonlyArray<Json>, status: string, more: Json = {}): Json => ({
  id: "resp_40",
  object: "response",
  created_at: 1767225600,
  status,
  background: false,
  error: null,
  incomplete_details: null,
  max_output_tokens: null,
  model: "gpt-4o-2024-08-06",
  output,
  parallel_tool_calls: true,
  previous_response_id: "resp_39",
  service_tier: "default",
  store: true,
  temperature: 1,
  truncation: "disabled",
  ...request,
  usage: null,
  ...more
})
const responseUsage = {
  input_tokens: 9,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 4,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 13
}
const response = responseOf(items, "completed", { usage: responseUsage, output_text: "Hello thereHello there" })

const events: ReadonlyArray<Json> = (() => {
  const all: Array<Json> = []
  const tell = (type: string, more: Json): void =>
    void all.push({ type: `response.${type}`, sequence_number: all.length, ...more })
  tell("created", { response: responseOf([], "in_progress") })
  tell("output_item.added", {
    output_index: 0,
    item: { ...reasoning, status: "in_progress", summary: [], content: [] }
  })
  const thought = { item_id: "rs_11", output_index: 0 }
  tell("reasoning_summary_part.added", { ...thought, summary_index: 0, part: { type: "summary_text", text: "" } })
  tell("reasoning_summary_text.delta", { ...thought, summary_index: 0, delta: "Greets.", obfuscation: "k4" })
  tell("reasoning_summary_text.done", { ...thought, summary_index: 0, text: "Greets." })
  tell("reasoning_summary_part.done", { ...thought, summary_index: 0, part: { type: "summary_text", text: "Greets." } })
  tell("reasoning_text.delta", { ...thought, content_index: 0, delta: "I greet." })
  tell("reasoning_text.done", { ...thought, content_index: 0, text: "I greet." })
  tell("output_item.done", { output_index: 0, item: reasoning })
  tell("output_item.added", { output_index: 1, item: { ...message, status: "in_progress", content: [] } })
  const place = { item_id: "msg_10", output_index: 1, content_index: 0 }
  tell("content_part.added", { ...place, part: { ...part, text: "", logprobs: [] } })
  tell("output_text.delta", { ...place, delta: "Hello", logprobs: [token("Hello")], obfuscation: "Zx81kQ" })
  tell("output_text.delta", { ...place, delta: " there", logprobs: [token(" there")], obfuscation: "b" })
  tell("output_text.annotation.added", { ...place, annotation_index: 0, annotation: cited.annotations[0] })
  tell("output_text.done", { ...place, text: "Hello there", logprobs: part.logprobs })
  tell("content_part.done", { ...place, part })
  tell("output_item.done", { output_index: 1, item: message })
  tell("output_item.added", { output_index: 2, item: { ...called1, status: "in_progress", arguments: "" } })
  const call = { item_id: "fc_12", output_index: 2 }
  tell("function_call_arguments.delta", { ...call, delta: '{"city":', obfuscation: "p2q" })
  tell("function_call_arguments.delta", { ...call, delta: '"Oslo"}' })
  tell("function_call_arguments.done", { ...call, name: "look", arguments: '{"city":"Oslo"}' })
  tell("output_item.done", { output_index: 2, item: called1 })
  tell("image_generation_call.partial_image", {
    item_id: "ig_22",
    output_index: 3,
    partial_image_index: 0,
    partial_image_b64: png
  })
  items.slice(3).forEach((item, i) => tell("output_item.done", { output_index: 3 + i, item }))
  tell("completed", { response: responseOf(items.slice(0, 3), "completed", { usage: responseUsage }) })
  return all
})()

/** A text that no answer may hold, and the rules that say so. */
export const denied = "Project Heron"
const source = { policy: "app:lab", rule: "denied" }
export const rules: OutputRules = {
  denied: [{ ...source, sought: denied, holdBack: denied.length - 1 }],
  maxCharacters: undefined,
  onResponse: { ...source, does: "deny" }
}

/** An answer of one of the APIs: whole, and as its stream tells one. */
export interface Recorded {
  readonly name: string
  readonly whole: Json
  readonly stream: ReadonlyArray<Json>
}

export const recorded: ReadonlyArray<Recorded> = [
  { name: "a chat completion", whole: chat, stream: chatChunks },
  { name: "a text completion", whole: completion, stream: completionChunks },
  { name: "a response", whole: response, stream: events }
]
