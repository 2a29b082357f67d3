/**
 * The models that this library knows by name: who makes them, what they do, how they rank, where they are served, how the
 * cap on output tokens is spelled there, and which parameters they do not take. The catalogue is data; one's own takes its place by `Models.layerOf`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { Configuration } from "../call/Errors.ts"
import { operations, outputTokenCaps } from "../call/Operation.ts"
import rows from "./openai-models.json" with { type: "json" }

/** What a model is for. A model never takes the place of one of another modality. */
export const Modality = Schema.Literals([
  "chat",
  "completion",
  "embedding",
  "audio",
  "search",
  "code",
  "research",
  "computer",
  "security",
  "science",
  "law",
  "realtime",
  "speech",
  "transcription",
  "image",
  "video",
  "moderation"
])
export type Modality = typeof Modality.Type

const spellings = Schema.optionalKey(Schema.Array(Schema.Literals(outputTokenCaps)))

const untaken = Schema.optionalKey(Schema.Literal(false))
const someValues = Schema.optionalKey(Schema.Union([Schema.Literal(false), Schema.Array(Schema.NonEmptyString)]))

/**
 * What a model does not take of the parameters that other models take: `false` for a parameter that it refuses, a list for
 * one of which it takes these values only. What is not named is taken. One name stands for all spellings: `verbosity` is
 * `text.verbosity` too, `reasoning_effort` `reasoning.effort`, `response_format` the type of `text.format`, `logprobs`
 * `top_logprobs`. `n` is more than one answer. `tool_types` are the tools besides functions, by type (`custom`, `mcp`, or
 * `web_search_options`); for OpenAI's models `false` also means that none is known.
 */
export const ModelParameters = Schema.Struct({
  temperature: untaken,
  top_p: untaken,
  presence_penalty: untaken,
  frequency_penalty: untaken,
  reasoning: untaken,
  reasoning_effort: someValues,
  verbosity: someValues,
  logprobs: untaken,
  logit_bias: untaken,
  stop: untaken,
  prediction: untaken,
  parallel_tool_calls: untaken,
  service_tier: someValues,
  prompt_cache_retention: someValues,
  n: untaken,
  tool_types: someValues,
  response_format: someValues
})
export interface ModelParameters extends Schema.Struct.Type<typeof ModelParameters.fields> {}

/**
 * Models that are alike in all but name and rank.
 *
 * - `tools`, `images`: whether they take tools, and images in a request.
 * - `endpoints`: the API paths that serve them, each with the spellings of the cap on output tokens that they take there,
 *   the one to inject first.
 * - `parameters`: what they do not take ({@link ModelParameters}). Absent: they take everything.
 * - `source`, `date`: where that is from, and the day (`2026-11-17`) when it was so.
 * - `models`: `family` is the model without date and fine-tuning, `names` what requests call it (default: the family). Its
 *   dated snapshots and fine-tuned models go without saying.
 * - `rank` compares models of one provider and modality: the higher one does, and costs, more. Of OpenAI's, the hundreds
 *   are the class (0 the first generation, 1 nano, 2 mini, 3 standard, 4 reasoning, 5 pro), the rest orders the generations
 *   within it.
 */
export const CatalogueRow = Schema.Struct({
  provider: Schema.NonEmptyString,
  modality: Modality,
  tools: Schema.Boolean,
  images: Schema.Boolean,
  endpoints: Schema.Struct({
    "/chat/completions": spellings,
    "/responses": spellings,
    "/completions": spellings,
    "/embeddings": spellings,
    "/realtime": spellings,
    "/live": spellings,
    "/audio/speech": spellings,
    "/audio/transcriptions": spellings,
    "/audio/translations": spellings,
    "/images/generations": spellings,
    "/images/edits": spellings,
    "/images/variations": spellings,
    "/videos": spellings,
    "/moderations": spellings
  }),
  parameters: Schema.optionalKey(ModelParameters),
  source: Schema.optionalKey(Schema.NonEmptyString),
  date: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^\d{4}-\d{2}-\d{2}$/u))),
  models: Schema.NonEmptyArray(
    Schema.Struct({
      family: Schema.NonEmptyString,
      names: Schema.optionalKey(Schema.NonEmptyArray(Schema.NonEmptyString)),
      rank: Schema.Finite
    })
  )
})
export interface CatalogueRow extends Schema.Struct.Type<typeof CatalogueRow.fields> {}

/** A catalogue: rows of models, as JSON. Of a name that is there twice, the last row holds. */
export type Catalogue = ReadonlyArray<CatalogueRow>

const decode = Schema.decodeUnknownResult(Schema.Array(CatalogueRow), { errors: "all", onExcessProperty: "error" })

/** OpenAI's models: all that the `openai` package 7.59 names, as of the rows' `date`. */
export const openai: Catalogue = Result.getOrThrow(decode(rows))

/** What is known of a model; {@link CatalogueRow} says what the fields mean. */
export interface Model {
  readonly provider: string
  readonly family: string
  readonly modality: Modality
  readonly rank: number
  readonly tools: boolean
  readonly images: boolean
  readonly endpoints: ReadonlyMap<string, ReadonlyArray<string>>
  readonly parameters: ModelParameters
}

/**
 * The model catalogue.
 *
 * @category services
 */
export class Models extends Context.Service<
  Models,
  {
    /** What is known of a model by its name; `undefined` for one that nothing is known of. */
    readonly find: (name: string) => Model | undefined
    /**
     * The model itself, or for a name that is not known the nearest model of its line ({@link likeness}): what a newer model
     * takes is what its line takes. `undefined` where no line is known.
     */
    readonly like: (name: string) => Model | undefined
  }
>()("secure-openai/Models") {
  /** OpenAI's models, to add one's own to. */
  static readonly openai: Catalogue = openai

  /** The day when the newest of OpenAI's rows was right: `2026-11-17`. What came later is taken for its line. */
  static readonly asOf: string = openai.reduce((last, { date = "" }) => (date > last ? date : last), "")

  /**
   * A catalogue of one's own; a row that is not well-formed is a {@link Configuration} error that names it.
   *
   * @example
   * ```ts
   * import * as Effect from "effect/Effect"
   * import { Models } from "secure-openai"
   *
   * const models = Models.layerOf([
   *   ...Models.openai,
   *   {
   *     provider: "acme",
   *     modality: "chat",
   *     tools: true,
   *     images: false,
   *     endpoints: { "/chat/completions": ["max_tokens"] },
   *     models: [
   *       { family: "acme-small", rank: 1 },
   *       { family: "acme-large", names: ["acme-large", "acme-latest"], rank: 2 }
   *     ]
   *   }
   * ])
   *
   * const { find } = Effect.runSync(Models.pipe(Effect.provide(models)))
   * console.log(find("acme-latest")?.family) // acme-large
   * console.log(find("ft:acme-small-2026-01-31:my-org")?.rank) // 1
   * console.log(find("gpt-4o")?.provider) // openai
   * ```
   *
   * @category layers
   */
  static readonly layerOf = (catalogue: Catalogue): Layer.Layer<Models, Configuration> =>
    Layer.effect(
      Models,
      Effect.map(
        Effect.fromResult(Result.mapError(decode(catalogue), (error) => misshapen(error, catalogue))),
        serviceOf
      )
    )

  /** The models of the OpenAI API. @category layers */
  static readonly layer: Layer.Layer<Models> = Layer.sync(Models, () => serviceOf(openai))
}

const serviceOf = (catalogue: Catalogue): Models["Service"] => ({
  find: (name) => lookup(catalogue, name),
  like: (name) => likeness(catalogue, name)
})

const endpoints = Object.values(operations).flatMap((operation) => operation.endpoints)

/**
 * The spellings of the cap on output tokens that a model takes at an API path, the one to inject first. For an
 * unknown model they are the endpoint's own; a model that its maker does not serve there is served by a gateway, which takes
 * the newest spelling.
 */
export const capsOf = (model: Model | undefined, path: string): ReadonlyArray<string> => {
  const own = endpoints.find((endpoint) => endpoint.path === path)?.caps ?? []
  return model === undefined ? own : (model.endpoints.get(path) ?? own.slice(-1))
}

// ---------------------------------------------------------------------------------------------------------------------
// Names
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A model by its name: one that the catalogue gives, a dated snapshot of it (`-2024-08-06`, `-0613`), or one that is
 * fine-tuned from either (`ft:base:org:suffix:id`). No name is guessed from its beginning.
 */
export const lookup = (catalogue: Catalogue, name: string): Model | undefined => {
  const models = indexOf(catalogue)
  const known = models.get(name)
  if (known !== undefined) return known
  const base = fineTuned.exec(name)?.[1] ?? name
  return models.get(base) ?? snapshotOf(models, base)
}

/** Whether a catalogue knows a name: a model, a snapshot or a fine-tuned one, also with a gateway's prefix (`openai/gpt-4o`). */
export const isKnownModel = (catalogue: Catalogue, name: string): boolean =>
  (lookup(catalogue, name) ?? lookup(catalogue, unrouted(name))) !== undefined

/** The names that requests call a catalogue's models by. */
export const modelNames = (catalogue: Catalogue): ReadonlyArray<string> => [...indexOf(catalogue).keys()]

/** A gateway puts who serves a model before its name: `openai/gpt-6.2-sol`. */
const unrouted = (name: string): string => name.slice(name.lastIndexOf("/") + 1)

const fineTuned = /^ft:([^:]+):[^:]/u

const dated = /^(.+)-(?:\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))$/u

/** What has a date already, or is always the latest, has no snapshots. */
const snapshotOf = (models: ReadonlyMap<string, Model>, name: string): Model | undefined => {
  const [, undated = ""] = dated.exec(name) ?? []
  return dated.test(undated) || undated.endsWith("-latest") ? undefined : models.get(undated)
}

/**
 * The model that a name is most likely like: itself where it is known, else the nearest of its line. A gateway's prefix
 * (`openai/`) is ignored. A line is the text before the first number, and that number: `gpt-6.3-foo` is of `gpt-6`, `o5-mini` of `o5`. A generation that is not known
 * takes after the last one before it, unless that is far away (Azure writes `gpt-35-turbo`). Of the models of a generation
 * that one is nearest which shares the longest beginning, then the longest end, then is shortest, then ranks highest. Use it for what a
 * line has in common, such as the spelling of a request; never for a rank.
 */
export const likeness = (catalogue: Catalogue, name: string): Model | undefined => {
  const own = unrouted(name)
  const known = lookup(catalogue, name) ?? lookup(catalogue, own)
  if (known !== undefined) return known
  const base = fineTuned.exec(own)?.[1] ?? own
  const line = base.length > longestGuessed ? undefined : lineOf(base)
  if (line === undefined) return undefined
  const relatives = relativesIn(catalogue).filter((one) => one.stem === line.stem && one.generation <= line.generation)
  const last = Math.max(...relatives.map(({ generation }) => generation))
  if (line.generation - last > mostUnknownGenerations) return undefined
  const end = turned(base)
  return relatives
    .filter(({ generation }) => generation === last)
    .map(({ model, name: other, turned }) => ({
      model,
      start: commonPrefixLength(base, other),
      end: commonPrefixLength(end, turned),
      length: other.length
    }))
    .sort((a, b) => b.start - a.start || b.end - a.end || a.length - b.length || b.model.rank - a.model.rank)[0]?.model
}

/** No model has a longer name; for what is longer nothing is guessed. */
const longestGuessed = 128

const mostUnknownGenerations = 20

const lineOf = (name: string): { readonly stem: string; readonly generation: number } | undefined => {
  const [, stem, generation] = /^([a-z]+(?:-[a-z]+)*-?)(\d+)/u.exec(name) ?? []
  return stem === undefined ? undefined : { stem, generation: Number(generation) }
}

interface Relative extends NonNullable<ReturnType<typeof lineOf>> {
  readonly name: string
  readonly turned: string
  readonly model: Model
}

const families = new WeakMap<Catalogue, ReadonlyArray<Relative>>()

/** The models of a catalogue whose names have a line, made once for each. */
const relativesIn = (catalogue: Catalogue): ReadonlyArray<Relative> => {
  const kept = families.get(catalogue)
  if (kept !== undefined) return kept
  const relatives = [...indexOf(catalogue)].flatMap(([name, model]) => {
    const line = lineOf(name)
    return line === undefined ? [] : [{ ...line, name, turned: turned(name), model }]
  })
  families.set(catalogue, relatives)
  return relatives
}

/** How many characters two texts begin with alike. */
const commonPrefixLength = (one: string, other: string): number => {
  let length = 0
  while (length < one.length && one[length] === other[length]) length++
  return length
}

const turned = (text: string): string => [...text].toReversed().join("")

const indexes = new WeakMap<Catalogue, ReadonlyMap<string, Model>>()

/** The models of a catalogue by name, made once for each. */
const indexOf = (catalogue: Catalogue): ReadonlyMap<string, Model> => {
  const kept = indexes.get(catalogue)
  if (kept !== undefined) return kept
  const index = new Map(
    catalogue.flatMap(({ endpoints, images, modality, models, parameters = {}, provider, tools }) =>
      models.flatMap(({ family, names = [family], rank }) => {
        const model: Model = {
          provider,
          modality,
          tools,
          images,
          family,
          rank,
          endpoints: new Map(Object.entries(endpoints)),
          parameters
        }
        return names.map((name) => [name, model] as const)
      })
    )
  )
  indexes.set(catalogue, index)
  return index
}

// ---------------------------------------------------------------------------------------------------------------------
// Errors
// ---------------------------------------------------------------------------------------------------------------------

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "UnexpectedKey" ? "Unknown key" : SchemaIssue.defaultLeafHook(issue))
})

/** Everything that is wrong: `[1].models[0].rank (acme-large): Expected number, got "high"`. */
const misshapen = ({ issue }: Schema.SchemaError, catalogue: unknown): Configuration => {
  const faults = format(issue).issues.map(({ message, path = [] }) => {
    let place = ""
    let value = catalogue
    let named: unknown
    for (const step of path) {
      const key = typeof step === "object" ? step.key : step
      place +=
        typeof key === "number" ? `[${key}]` : /^\w+$/u.test(String(key)) ? `.${String(key)}` : `["${String(key)}"]`
      value = isObject(value) ? value[key] : undefined
      if (isObject(value)) named = value["family"] ?? value["provider"] ?? named
    }
    const actual = value === undefined || isObject(value) ? "" : `, got ${JSON.stringify(value)}`
    return `${place}${typeof named === "string" && named !== "" ? ` (${named})` : ""}: ${message}${actual}`
  })
  return new Configuration({ message: `The catalogue of models is not well-formed: ${faults.join("; ")}` })
}

const isObject = (value: unknown): value is Readonly<Record<PropertyKey, unknown>> =>
  typeof value === "object" && value !== null
