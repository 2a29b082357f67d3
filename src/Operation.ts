/**
 * What the OpenAI API offers, as this library names it: the protected operations with their endpoints, prompt fields and
 * parameter aliases, and the families that pass through.
 *
 * @since 0.1.0
 */

/** A protected operation: every stage judges it. */
export type OperationName = "generate" | "complete" | "embed"

/** A place where an operation is served. */
export interface Endpoint {
  /** API path below the base URL. */
  readonly path: string
  /** The parameter that holds the prompt; each element of it is digested in the envelope. */
  readonly prompt: string
  /** Spellings of the cap on output tokens that it takes; the oldest, which every server knows, first. */
  readonly caps: ReadonlyArray<string>
  /** The API path under which models are known to be served here, where that is another one. */
  readonly servedAs?: string
}

/** An operation with its endpoints; the first is where it goes that says nothing else. */
export interface Operation {
  readonly name: OperationName
  /** `gen_ai.operation.name` of OpenTelemetry's conventions for generative AI. */
  readonly telemetry: "chat" | "text_completion" | "embeddings"
  readonly endpoints: readonly [Endpoint, ...ReadonlyArray<Endpoint>]
}

/** The protected operations by name. */
export const operations: Readonly<Record<OperationName, Operation>> = {
  generate: {
    name: "generate",
    telemetry: "chat",
    endpoints: [
      { path: "/chat/completions", prompt: "messages", caps: ["max_tokens", "max_completion_tokens"] },
      { path: "/responses", prompt: "input", caps: ["max_output_tokens"] },
      { path: "/responses/compact", prompt: "input", caps: [], servedAs: "/responses" }
    ]
  },
  complete: {
    name: "complete",
    telemetry: "text_completion",
    endpoints: [{ path: "/completions", prompt: "prompt", caps: ["max_tokens"] }]
  },
  embed: {
    name: "embed",
    telemetry: "embeddings",
    endpoints: [{ path: "/embeddings", prompt: "input", caps: [] }]
  }
}

/** True for the name of a protected operation. */
export const isOperation = (name: string): name is OperationName => Object.hasOwn(operations, name)

/** The URL of a call's method and URL, `POST https://host/path`. */
export const urlOf = (target: string): string => target.slice(target.indexOf(" ") + 1)

/** Where a call of an operation goes, by its method and URL (`POST https://host/v1/responses`). */
export const endpointAt = ({ endpoints }: Operation, target: string): Endpoint => {
  const [usual, ...others] = endpoints
  if (others.length === 0) return usual
  const path = pathOf(urlOf(target))
  return endpoints.find((endpoint) => path.endsWith(endpoint.path)) ?? usual
}

/** A base URL without the slashes at its end. */
export const withoutSlashes = (url: string): string => withoutEnd(url, /\//)

/**
 * A text without the characters at its end that `dropped` matches, one by one from the last: a pattern such as `x+$` begins
 * anew at each x of a text, and so takes the square of its length.
 */
const withoutEnd = (text: string, dropped: RegExp): string => {
  let end = text.length
  while (end > 0 && dropped.test(text[end - 1]!)) end--
  return text.slice(0, end)
}

/** The path of a URL, empty for what is none. Every stage asks for it, and an app has few. */
const pathOf = (url: string): string => {
  const known = paths.get(url)
  if (known !== undefined) return known
  const path = URL.canParse(url) ? normalPath(url).path : ""
  if (paths.size === 256) paths.clear()
  paths.set(url, path)
  return path
}
const paths = new Map<string, string>()

/** Where a call of an operation goes that has only its params: to the first endpoint whose prompt they hold. */
export const endpointFor = ({ endpoints }: Operation, params: object): Endpoint =>
  endpoints.find(({ prompt }) => Object.hasOwn(params, prompt)) ?? endpoints[0]

/**
 * Parameters that are one thing under several names: a policy that names one spelling covers all of them (mapl §3).
 * Paths are dotted, `[]` stands for every element of an array.
 */
export const aliases: ReadonlyArray<ReadonlyArray<string>> = [
  ["max_tokens", "max_completion_tokens", "max_output_tokens"],
  ["tools[].function.name", "tools[].custom.name", "tools[].name", "functions[].name"],
  ["messages", "input"]
]

/**
 * True where an answer's model is the one that was asked: by its name, or a dated snapshot that its name stood for
 * (`gpt-4o-2024-08-06` of `gpt-4o`, `gpt-4-0613` of `gpt-4`), of a fine-tuned model's base too.
 */
export const isSameModel = (asked: string, answered: string): boolean => {
  if (asked === answered) return true
  const [, base = asked, tuning = ""] = fineTuned.exec(asked) ?? []
  const [, answeredBase = answered, answeredTuning = ""] = fineTuned.exec(answered) ?? []
  return tuning === answeredTuning && answeredBase.startsWith(base) && dateOf.test(answeredBase.slice(base.length))
}

const fineTuned = /^(ft:[^:]+)(:.+)$/u
const dateOf = /^(?:-(?:\d{4}-\d{2}-\d{2}|\d{4}))?$/u

/** The spellings of the cap on output tokens. */
export const outputTokenCaps: ReadonlyArray<string> = aliases[0]!

/** Parameters of the operations that are quantities, never content: their numbers and booleans may be told in the log. */
export const quantities: ReadonlySet<string> = new Set([
  ...outputTokenCaps,
  "best_of",
  "dimensions",
  "echo",
  "frequency_penalty",
  "logprobs",
  "n",
  "parallel_tool_calls",
  "presence_penalty",
  "seed",
  "store",
  "stream",
  "temperature",
  "top_logprobs",
  "top_p"
])

/** Families that pass for everyone, audited: the ones that the service's users know as pass-through. */
export const passedFamilies: ReadonlySet<string> = new Set([
  "models",
  "images",
  "audio",
  "files",
  "fine_tuning",
  "moderations",
  "batches",
  "assistants",
  "threads",
  "vector_stores"
])

/** `tool:my-app/generate`, the resource that policies name. */
export const toolResource = (app: string, name: string): string => `tool:${app}/${name}`

/** `api:my-app/models`, the resource of a family that passes through. */
export const familyResource = (app: string, family: string): string => `api:${app}/${family}`

/** What a request is: a protected operation, or a member of a family. */
export type Target =
  | { readonly _tag: "Protected"; readonly operation: Operation }
  | { readonly _tag: "Family"; readonly family: string }

/**
 * Names what a request would do, from its method and final URL. The path is decoded until nothing is left to decode; doubled
 * slashes and backslashes become one slash, dot segments are resolved, a segment's parameters (`;v=1`), spaces and dots at its
 * end are cut, as is a trailing slash, and case is folded, as lenient servers do: more spellings are judged, never fewer. Any
 * method that may carry a body counts as POST.
 */
export const classify = (method: string, url: string, baseUrl: string): Target => {
  const { ambiguous, path } = normalPath(url)
  if (!bodiless.has(method.toUpperCase()))
    // `/chat/completions` ends as `/completions` does: the first that fits is meant.
    for (const operation of Object.values(operations))
      if (operation.endpoints.some((endpoint) => path.endsWith(endpoint.path))) return { _tag: "Protected", operation }
  // Servers differ in how they read such a path: it is of no family that passes.
  if (ambiguous) return { _tag: "Family", family: "" }
  const base = normalPath(baseUrl).path
  const below = path.startsWith(`${base}/`) ? path.slice(base.length) : path
  return { _tag: "Family", family: below.split("/")[1] ?? "" }
}

/** Methods whose requests have no body (Fetch standard, §5.3). */
const bodiless: ReadonlySet<string> = new Set(["GET", "HEAD"])

/** What lenient servers drop at the end of a segment. */
// eslint-disable-next-line no-control-regex
const droppedEnd = /[\s.\0]/

/** A path as a lenient server reads it; `ambiguous` where strict ones read another. */
const normalPath = (url: string): { readonly path: string; readonly ambiguous: boolean } => {
  const { pathname } = new URL(url)
  const decoded = decodeAll(pathname).replaceAll(/[\\/]+/g, "/")
  const segments: Array<string> = []
  let ambiguous = false
  for (const segment of decoded.split("/").slice(1)) {
    const named = segment.replace(/;.*$/s, "")
    if (named === "." || named === "..") {
      ambiguous = true
      if (named === "..") segments.pop()
    } else {
      const bare = withoutEnd(named, droppedEnd)
      ambiguous ||= bare !== segment
      segments.push(bare)
    }
  }
  return { path: `/${segments.join("/")}`.replace(/\/$/, "").toLowerCase(), ambiguous }
}

/** Nobody decodes more often; what is left then names nothing that we know. */
const mostDecodings = 8

/** ASCII alone: every name that we know is, and a path need not be well-formed to be read. */
const decodeAll = (pathname: string): string => {
  let path = pathname
  for (let i = 0; i < mostDecodings && path.includes("%"); i++)
    path = path.replaceAll(/%([0-7][\da-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return path
}
