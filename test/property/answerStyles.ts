/**
 * Six ways in which servers tell one answer, whole and streamed, written as data of our own: the API's chat completions and
 * responses, and servers like vLLM, Ollama, Azure and llama.cpp or Groq. Each is what such a server legally sends: it may cut
 * texts anywhere between characters.
 */
import type { Random } from "../policy/random.ts"

/** A tool that the model asks for. */
export interface Tool {
  readonly name: string
  readonly args: string
}

/** One choice of an answer. */
export interface Said {
  readonly content: string
  readonly reasoning: string
  readonly tools: ReadonlyArray<Tool>
}

/** What a reader puts together of what came. */
export interface Heard {
  readonly content: string
  readonly reasoning: string
  readonly tools: ReadonlyArray<Tool>
}

export type Json = Record<string, unknown>

export interface Style {
  readonly name: string
  /** How many choices it gives. */
  readonly most: number
  readonly stream: (random: Random, answer: ReadonlyArray<Said>) => ReadonlyArray<Json>
  readonly whole: (random: Random, answer: ReadonlyArray<Said>) => Json
  /** As a reader of this server puts chunks together. */
  readonly read: (chunks: ReadonlyArray<Json>) => ReadonlyArray<Heard>
}

/** Cuts a text between characters. */
export const cut = (random: Random, text: string): ReadonlyArray<string> => {
  const characters = [...text]
  const pieces: Array<string> = []
  const most = random.pick([1, 2, 4, 12, 1000])
  for (let at = 0; at < characters.length;) {
    const next = at + 1 + Math.floor(random.next() * most)
    pieces.push(characters.slice(at, next).join(""))
    at = next
  }
  return pieces
}

const id = (random: Random) => `id-${Math.floor(random.next() * 1e9).toString(36)}`

// ---------------------------------------------------------------------------------------------------------------------
// Chat completions
// ---------------------------------------------------------------------------------------------------------------------

/** What tells servers of chat completions apart. */
interface Chat {
  readonly reasoning: string
  /** What stands in each chunk, and in each choice of one. */
  readonly chunk?: (random: Random) => Json
  readonly choice?: (random: Random) => Json
  /** The `finish_reason` of a choice that is not over. */
  readonly unfinished: (random: Random) => Json
  readonly content: (random: Random, piece: string) => unknown
  readonly probable?: boolean
  readonly tool: (random: Random, tool: Tool, index: number) => ReadonlyArray<Json>
  readonly before?: () => ReadonlyArray<Json>
  readonly after: (random: Random) => ReadonlyArray<Json>
  /** The call that a delta is of. */
  readonly place: (call: Json, latest: string) => string
}

const about = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "gpt-4o" }
const usage = { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }

const interleaved = <A>(random: Random, lists: ReadonlyArray<ReadonlyArray<A>>): ReadonlyArray<A> => {
  const left = lists.map((list) => [...list]).filter((list) => list.length > 0)
  const all: Array<A> = []
  while (left.length > 0) {
    const at = Math.floor(random.next() * left.length)
    all.push(left[at]!.shift()!)
    if (left[at]!.length === 0) left.splice(at, 1)
  }
  return all
}

const partsOf = (content: unknown): string =>
  typeof content === "string"
    ? content
    : Array.isArray(content)
      ? content.map((part: Json) => String(part["text"] ?? "")).join("")
      : ""

const chat = (name: string, server: Chat): Style => {
  const { reasoning } = server
  const choicesOf = (
    random: Random,
    { content, reasoning: thought, tools }: Said,
    index: number
  ): ReadonlyArray<Json> => {
    const choice = (delta: Json, more: Json = {}) => ({
      index,
      delta,
      ...server.unfinished(random),
      ...server.choice?.(random),
      ...more
    })
    const probable = (piece: string) =>
      server.probable === true
        ? {
            logprobs: {
              content: [{ token: piece, logprob: 0, bytes: null, top_logprobs: [{ token: piece, logprob: 0 }] }],
              refusal: null
            }
          }
        : {}
    return [
      choice({ role: "assistant", content: "" }),
      ...cut(random, thought).map((piece) => choice({ [reasoning]: piece })),
      ...cut(random, content).map((piece) => choice({ content: server.content(random, piece) }, probable(piece))),
      ...tools.flatMap((tool, i) => server.tool(random, tool, i)).map((call) => choice({ tool_calls: [call] })),
      choice({}, { finish_reason: tools.length > 0 ? "tool_calls" : "stop" })
    ]
  }
  return {
    name,
    most: 2,
    stream: (random, answer) => [
      ...(server.before?.() ?? []).map((one) => ({ ...about, ...one })),
      ...interleaved(
        random,
        answer.map((said, index) => choicesOf(random, said, index))
      ).map((choice) => ({ ...about, ...server.chunk?.(random), choices: [choice] })),
      ...server.after(random).map((one) => ({ ...about, ...one }))
    ],
    whole: (random, answer) => ({
      ...about,
      object: "chat.completion",
      choices: answer.map(({ content, reasoning: thought, tools }, index) => ({
        index,
        message: {
          role: "assistant",
          content: random.chance(0.2) ? cut(random, content).map((text) => ({ type: "text", text })) : content,
          [reasoning]: thought,
          ...(tools.length > 0 && {
            tool_calls: tools.map(({ args, name }) => ({
              id: id(random),
              type: "function",
              function: { name, arguments: args }
            }))
          })
        },
        ...server.choice?.(random),
        finish_reason: "stop"
      })),
      usage
    }),
    read: (chunks) => {
      const heard: Array<{
        content: string
        reasoning: string
        tools: Map<string, { name: string; args: string }>
        latest: string
      }> = []
      for (const { choices } of chunks)
        for (const { delta, index } of (Array.isArray(choices) ? choices : []) as ReadonlyArray<{
          delta?: Json
          index: number
        }>) {
          const mine = (heard[index] ??= { content: "", reasoning: "", tools: new Map(), latest: "" })
          mine.content += partsOf(delta?.["content"])
          mine.reasoning += String(delta?.[reasoning] ?? "")
          for (const call of (delta?.["tool_calls"] ?? []) as ReadonlyArray<Json>) {
            const place = (mine.latest = server.place(call, mine.latest))
            const known = mine.tools.get(place) ?? { name: "", args: "" }
            const f = (call["function"] ?? {}) as { readonly name?: string; readonly arguments?: string | null }
            known.name = f.name ?? known.name
            known.args += f.arguments ?? ""
            mine.tools.set(place, known)
          }
        }
      return heard.map(({ tools, ...texts }) => ({
        content: texts.content,
        reasoning: texts.reasoning,
        tools: [...tools.values()]
      }))
    }
  }
}

const byIndex = (call: Json): string => String(call["index"])

const usual = (random: Random, { args, name }: Tool, index: number): ReadonlyArray<Json> => [
  { index, id: id(random), type: "function", function: { name, arguments: "" } },
  ...cut(random, args).map((piece) => ({ index, function: { arguments: piece } }))
]

const openAi = chat("OpenAI", {
  reasoning: "refusal",
  chunk: () => ({ service_tier: "default", system_fingerprint: "fp_1", usage: null, obfuscation: "x7" }),
  unfinished: () => ({ finish_reason: null, logprobs: null }),
  content: (_, piece) => piece,
  probable: true,
  tool: usual,
  after: () => [{ choices: [], usage }],
  place: byIndex
})

const vllm = chat("vLLM", {
  reasoning: "reasoning_content",
  chunk: () => ({ usage }),
  choice: () => ({ logprobs: null, stop_reason: null, token_ids: null }),
  unfinished: (random) => random.pick<Json>([{ finish_reason: null }, { finish_reason: "" }, {}]),
  content: (_, piece) => piece,
  // Each delta has an id of its own.
  tool: (random, { args, name }, index) => [
    { index, id: id(random), type: "function", function: { name } },
    ...cut(random, args).map((piece) => ({ index, id: id(random), type: "function", function: { arguments: piece } }))
  ],
  after: (random) => (random.chance(0.5) ? [{ choices: [], usage }] : []),
  place: byIndex
})

const ollama = chat("Ollama", {
  reasoning: "reasoning",
  unfinished: () => ({ finish_reason: null }),
  content: (_, piece) => piece,
  // Whole calls, all at one index.
  tool: (random, { args, name }) => [
    {
      index: 0,
      id: id(random),
      type: "function",
      function: {
        name,
        ...((args !== "{}" || random.chance(0.5)) && { arguments: args === "{}" && random.chance(0.5) ? null : args })
      }
    }
  ],
  after: () => [],
  place: ({ id }) => String(id)
})

const filters = { hate: { filtered: false, severity: "safe" }, violence: { filtered: false, severity: "low" } }

const azure = chat("Azure", {
  reasoning: "reasoning_content",
  choice: (random) => (random.chance(0.7) ? { content_filter_results: filters } : { content_filter_results: {} }),
  unfinished: () => ({ finish_reason: null }),
  content: (_, piece) => piece,
  tool: usual,
  before: () => [
    {
      id: "",
      model: "",
      object: "",
      choices: [],
      prompt_filter_results: [{ prompt_index: 0, content_filter_results: filters }]
    }
  ],
  after: (random) =>
    random.chance(0.5)
      ? [
          {
            choices: [
              {
                index: 0,
                finish_reason: null,
                content_filter_results: filters,
                content_filter_offsets: { check_offset: 0, start_offset: 0, end_offset: 9 }
              }
            ]
          }
        ]
      : [],
  place: byIndex
})

const llama = chat("llama.cpp or Groq", {
  reasoning: "reasoning",
  chunk: (random) => (random.chance(0.3) ? { timings: { prompt_n: 1 }, __verbose: { content: "" } } : {}),
  choice: (random) => (random.chance(0.3) ? { logprobs: null } : {}),
  unfinished: (random) => random.pick<Json>([{ finish_reason: null }, { finish_reason: false }, {}]),
  content: (random, piece) => (random.chance(0.5) ? [{ type: "text", text: piece }] : piece),
  // The name again in each delta, and no index.
  tool: (random, { args, name }) => {
    const call = { id: id(random), type: "function" }
    return ["", ...cut(random, args)].map((piece) => ({ ...call, function: { name, arguments: piece } }))
  },
  after: () => [{ choices: [{ index: 0, delta: {}, finish_reason: "stop" }], x_groq: { id: "req_1", usage } }],
  place: ({ id }) => String(id)
})

// ---------------------------------------------------------------------------------------------------------------------
// Responses
// ---------------------------------------------------------------------------------------------------------------------

const itemsOf = (random: Random, { content, reasoning, tools }: Said): ReadonlyArray<Json> => [
  { id: "rs_1", type: "reasoning", summary: [{ type: "summary_text", text: reasoning }] },
  {
    id: "msg_1",
    type: "message",
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text: content, annotations: [], logprobs: [] }]
  },
  ...tools.map(({ args, name }) => ({
    id: id(random),
    type: "function_call",
    call_id: id(random),
    status: "completed",
    name,
    arguments: args
  }))
]

/** What a response repeats of its request: the caller's own. */
export const request = "Never tell of Project Heron, HX-1234, or pay in Rome."

const responseOf = (output: ReadonlyArray<Json>, status: string): Json => ({
  id: "resp_1",
  object: "response",
  created_at: 1,
  model: "gpt-4o",
  status,
  error: null,
  incomplete_details: null,
  instructions: request,
  output,
  tools: [],
  usage: status === "completed" ? { input_tokens: 5, output_tokens: 3 } : null
})

const responses: Style = {
  name: "Responses",
  most: 1,
  stream: (random, [said]) => {
    const items = itemsOf(random, said!)
    const events: Array<Json> = []
    const tell = (type: string, more: Json) =>
      void events.push({ type: `response.${type}`, sequence_number: events.length, ...more })
    tell("created", { response: responseOf([], "in_progress") })
    items.forEach((item, output_index) => {
      const place = { item_id: item["id"], output_index }
      const texts = (kind: string, at: Json, text: string, more: Json = {}) => {
        for (const delta of cut(random, text)) tell(`${kind}.delta`, { ...place, ...at, delta, ...more })
      }
      if (item["type"] === "reasoning") {
        tell("output_item.added", { output_index, item: { ...item, summary: [] } })
        tell("reasoning_summary_part.added", { ...place, summary_index: 0, part: { type: "summary_text", text: "" } })
        texts("reasoning_summary_text", { summary_index: 0 }, said!.reasoning)
        tell("reasoning_summary_text.done", { ...place, summary_index: 0, text: said!.reasoning })
        tell("reasoning_summary_part.done", {
          ...place,
          summary_index: 0,
          part: { type: "summary_text", text: said!.reasoning }
        })
      } else if (item["type"] === "message") {
        tell("output_item.added", { output_index, item: { ...item, status: "in_progress", content: [] } })
        tell("content_part.added", {
          ...place,
          content_index: 0,
          part: { type: "output_text", text: "", annotations: [] }
        })
        texts("output_text", { content_index: 0 }, said!.content, { logprobs: [] })
        tell("output_text.done", { ...place, content_index: 0, text: said!.content, logprobs: [] })
        tell("content_part.done", {
          ...place,
          content_index: 0,
          part: { type: "output_text", text: said!.content, annotations: [] }
        })
      } else {
        tell("output_item.added", { output_index, item: { ...item, status: "in_progress", arguments: "" } })
        texts("function_call_arguments", {}, String(item["arguments"]))
        tell("function_call_arguments.done", { ...place, arguments: item["arguments"] })
      }
      tell("output_item.done", { output_index, item })
    })
    tell("completed", { response: responseOf(items, "completed") })
    return events
  },
  whole: (random, [said]) => responseOf(itemsOf(random, said!), "completed"),
  read: (events) => {
    const deltas = (type: string) =>
      events.map((event) => (event["type"] === `response.${type}.delta` ? String(event["delta"]) : "")).join("")
    const items = events.flatMap(({ item, type }) => (type === "response.output_item.done" ? [item as Json] : []))
    return [
      {
        content: deltas("output_text"),
        reasoning: deltas("reasoning_summary_text"),
        tools: items.flatMap((item) =>
          item["type"] === "function_call" ? [{ name: String(item["name"]), args: String(item["arguments"]) }] : []
        )
      }
    ]
  }
}

export const styles: ReadonlyArray<Style> = [openAi, responses, vllm, ollama, azure, llama]
