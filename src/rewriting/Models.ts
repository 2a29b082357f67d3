/**
 * The models that this library knows by name: who makes them, what they do, how they rank, where they are served, and how
 * the cap on output tokens is spelled there. The catalogue is data; one's own takes its place by `Models.layerOf`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { Configuration } from "../Errors.ts"
import { operations, outputTokenCaps } from "../Operation.ts"
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
  "realtime",
  "speech",
  "transcription",
  "image",
  "video",
  "moderation"
])
export type Modality = typeof Modality.Type

const spellings = Schema.optionalKey(Schema.Array(Schema.Literals(outputTokenCaps)))

/**
 * Models that are alike in all but name and rank.
 *
 * - `tools`, `images`: whether they take tools, and images in a request.
 * - `endpoints`: the API paths that serve them, each with the spellings of the cap on output tokens that they take there,
 *   the one to inject first.
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

/** OpenAI's models: all that the `openai` package names. */
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
  }
>()("secure-openai/Models") {
  /** OpenAI's models, to add one's own to. */
  static readonly openai: Catalogue = openai

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

const serviceOf = (catalogue: Catalogue): Models["Service"] => ({ find: (name) => lookup(catalogue, name) })

const endpoints = Object.values(operations).flatMap((operation) => operation.endpoints)

/**
 * The spellings of the cap on output tokens that a model takes at an API path, the one to inject first. For a model that
 * nobody knows they are the endpoint's own; for one that its maker does not serve there, a gateway does, which knows the
 * newest.
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
  const base = fineTuned.exec(name)?.[1] ?? name
  return models.get(name) ?? models.get(base) ?? snapshotOf(models, base)
}

const fineTuned = /^ft:([^:]+):[^:]/u

const dated = /^(.+)-(?:\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))$/u

/** What has a date already, or is always the latest, has no snapshots. */
const snapshotOf = (models: ReadonlyMap<string, Model>, name: string): Model | undefined => {
  const [, undated = ""] = dated.exec(name) ?? []
  return dated.test(undated) || undated.endsWith("-latest") ? undefined : models.get(undated)
}

const indexes = new WeakMap<Catalogue, ReadonlyMap<string, Model>>()

/** The models of a catalogue by name, made once for each. */
const indexOf = (catalogue: Catalogue): ReadonlyMap<string, Model> => {
  const kept = indexes.get(catalogue)
  if (kept !== undefined) return kept
  const index = new Map(
    catalogue.flatMap(({ endpoints, models, ...traits }) =>
      models.flatMap(({ family, names = [family], rank }) => {
        const model: Model = { ...traits, family, rank, endpoints: new Map(Object.entries(endpoints)) }
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
