/**
 * What the OpenAI API offers, as this library names it: the protected operations with their endpoints, prompt fields and
 * parameter aliases, and what a request is: one of these, or of a family that passes through.
 */
import { type FamilyUse, familyUse, otherFamilyName } from "./Families.ts"

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
 * Paths are dotted, `[]` stands for every element of an array, `[]?` for those that have the field. What stands below a
 * name stands below the others too; of two names that fit, the first is meant. These hold for registered tools as well.
 */
const common: ReadonlyArray<ReadonlyArray<string>> = [
  ["max_tokens", "max_completion_tokens", "max_output_tokens"],
  ["tools[].function.name", "tools[].custom.name", "tools[].name", "functions[].name"],
  ["messages", "input"]
]

/** A setting as items change it. */
const ofItems = (field: string): ReadonlyArray<string> => [`input[]?.${field}`, `instructions[]?.${field}`]

/**
 * Settings that chat completions and responses spell differently, and that an item of the type `configuration_update`
 * changes in the midst of an input, or of instructions that are a list of items. A JSON schema stands one level deeper in a chat completion's format. A tool's
 * arguments are its own: there these names are no aliases.
 */
const settings: ReadonlyArray<ReadonlyArray<string>> = [
  ["reasoning_effort", "reasoning.effort", ...ofItems("reasoning.effort")],
  ["reasoning.summary", "reasoning.generate_summary"],
  ["verbosity", "text.verbosity"],
  ...["name", "description", "schema", "strict"].map((field) => [
    `response_format.json_schema.${field}`,
    `text.format.${field}`,
    ...ofItems(`text.format.${field}`)
  ]),
  ["response_format.json_schema", "text.format.schema", ...ofItems("text.format.schema")],
  ["response_format", "text.format", ...ofItems("text.format")],
  ["user", "safety_identifier"]
]

/** All of them. */
export const aliases: ReadonlyArray<ReadonlyArray<string>> = [...common, ...settings]

/**
 * Every name of the parameter that `name` is for an operation (a registered tool: `undefined`), the one that stands for all
 * of them first.
 */
export const spellingsOf = (name: string, operation: OperationName | undefined): ReadonlyArray<string> => {
  for (const group of operation === undefined ? common : aliases)
    for (const alias of group) {
      if (name !== alias && !name.startsWith(`${alias}.`) && !name.startsWith(`${alias}[`)) continue
      // An embedding's `input` is no conversation.
      if (operation === "embed" && group.includes("input")) return [name]
      return group.map((other) => other + name.slice(alias.length))
    }
  return [name]
}

/** The first names of what an operation spells elsewhere too, where one of its names stands inside `name`. */
export const spelledWithin = (name: string, operation: OperationName | undefined): ReadonlyArray<string> =>
  spellingsOf(name, operation).length > 1
    ? []
    : (operation === undefined ? common : aliases).flatMap((group) =>
        group.some((alias) => alias.startsWith(`${name}.`)) ? group.slice(0, 1) : []
      )

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

/**
 * Members of a body by which gateways choose a model, or another place that serves one: OpenRouter's `models`, `route` and
 * `provider`, LiteLLM's `fallbacks` and `api_base`. A list of models says nothing of what they choose.
 */
export const modelChoosers: ReadonlyArray<string> = ["models", "fallbacks", "api_base", "route", "provider"]

/** The spellings of the cap on output tokens. */
export const outputTokenCaps: ReadonlyArray<string> = common[0]!

/**
 * True for a number that every server reads as a cap on output tokens: to some, 0 and less mean "no limit", and a fraction
 * is cut to a whole number, which may be 0.
 */
export const isTokenCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 1

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

/** `tool:my-app/generate`, the resource that policies name. */
export const toolResource = (app: string, name: string): string => `tool:${app}/${name}`

/** `api:my-app/models`, the resource of a family that passes through. */
export const familyResource = (app: string, family: string): string => `api:${app}/${family}`

/** The other resource by which policies may name this one: `api:my-app/beta` for `api:my-app/threads`. */
export const otherNameOf = (resource: string): string | undefined => {
  if (!resource.startsWith("api:")) return undefined
  const at = resource.lastIndexOf("/") + 1
  const name = otherFamilyName(resource.slice(at))
  return name === undefined ? undefined : `${resource.slice(0, at)}${name}`
}

/** What a request is: a protected operation, or a member of a family with what it does about models. */
export type Target =
  | { readonly _tag: "Protected"; readonly operation: Operation }
  | { readonly _tag: "Family"; readonly family: string; readonly use: FamilyUse }

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
  if (ambiguous) return { _tag: "Family", family: "", use: "reaches_model" }
  const base = normalPath(baseUrl).path
  const below = path.startsWith(`${base}/`) ? path.slice(base.length) : path
  // What the table does not know is not taken for harmless.
  return { _tag: "Family", family: below.split("/")[1] ?? "", use: familyUse(method, below) ?? "reaches_model" }
}

/**
 * True where a model may stand in the path of a protected request, before its endpoint, in a way that is not read:
 * `/models/<name>/chat/completions`. Deployments and engines are.
 */
export const mayNameModel = (url: string, baseUrl: string): boolean => {
  const { path } = normalPath(url)
  const base = normalPath(baseUrl).path
  return /\/models?\//.test(path.startsWith(`${base}/`) ? path.slice(base.length) : path)
}

/** What a request of a family does about models, by its endpoint (`POST https://host/v1/fine_tuning/jobs`), as a log has it. */
export const familyUseAt = (endpoint: string, family: string): FamilyUse => {
  const path = pathOf(urlOf(endpoint))
  const at = `${path}/`.indexOf(`/${family}/`)
  return (
    (at === -1 ? undefined : familyUse(endpoint.slice(0, endpoint.indexOf(" ")), path.slice(at))) ?? "reaches_model"
  )
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
