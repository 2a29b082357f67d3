/**
 * The models that this library knows by name: who makes them, what they do, how they rank, and which spelling of the cap on
 * output tokens they take. A catalogue of one's own takes its place by `Models.layerOf`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"

/** What a model is for. A model never takes the place of one of another modality. */
export type Modality = "chat" | "completion" | "embedding" | "audio" | "search" | "code" | "research" | "computer"

/**
 * What is known of a model.
 *
 * - `family`: the model without date or fine-tuning (`gpt-4o` of `gpt-4o-2024-08-06` and of `ft:gpt-4o:acme`).
 * - `rank`: compares models of one provider and modality: the higher one does, and costs, more.
 * - `caps`: the spellings of the cap on output tokens that it takes, the one to inject first.
 */
export interface Model {
  readonly provider: string
  readonly family: string
  readonly modality: Modality
  readonly rank: number
  readonly tools: boolean
  readonly images: boolean
  readonly caps: ReadonlyArray<string>
}

/** Families by name. */
export type Catalogue = ReadonlyMap<string, Model>

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
  /** A catalogue of one's own. @category layers */
  static readonly layerOf = (catalogue: Catalogue): Layer.Layer<Models> =>
    Layer.succeed(Models, { find: (name) => lookup(catalogue, name) })

  /** The models of the OpenAI API. @category layers */
  static readonly layer: Layer.Layer<Models> = Layer.suspend(() => Models.layerOf(openai))
}

/** A model by its name: itself, a dated snapshot of a family (`-2024-08-06`, `-0613`), or a fine-tuned one (`ft:base:…`). */
export const lookup = (catalogue: Catalogue, name: string): Model | undefined => {
  const base = name.startsWith("ft:") ? (name.split(":")[1] ?? "") : name
  return catalogue.get(base) ?? catalogue.get(base.replace(/-(?:\d{4}-\d{2}-\d{2}|\d{4})$/u, ""))
}

// ---------------------------------------------------------------------------------------------------------------------
// OpenAI
// ---------------------------------------------------------------------------------------------------------------------

/** Reasoning models take only the newer spelling. */
const reasoning = ["max_completion_tokens", "max_output_tokens"]
const either = ["max_tokens", "max_completion_tokens", "max_output_tokens"]

type Traits = Partial<Pick<Model, "family" | "modality" | "tools" | "images" | "caps">>

const model = (names: string, rank: number, traits: Traits = {}): ReadonlyArray<readonly [string, Model]> =>
  names
    .split(" ")
    .map((family) => [
      family,
      { provider: "openai", family, modality: "chat", tools: true, images: true, caps: either, rank, ...traits }
    ])

const text = { images: false }
const bare = { images: false, tools: false }

/**
 * OpenAI's families. The hundreds of a rank are its class (nano, mini, standard, reasoning, pro), the rest orders the
 * generations within it.
 */
export const openai: Catalogue = new Map([
  // Chat: the first generation, then nano, mini, standard, reasoning, pro.
  ...model("gpt-3.5-turbo-0301", 1, { family: "gpt-3.5-turbo", ...bare }),
  ...model("gpt-3.5-turbo", 1, text),
  ...model("gpt-3.5-turbo-16k", 2, text),
  ...model("gpt-4.1-nano", 101),
  ...model("gpt-5-nano", 102, { caps: reasoning }),
  ...model("gpt-5.4-nano", 103, { caps: reasoning }),
  ...model("gpt-4o-mini", 201),
  ...model("o1-mini", 202, { ...bare, caps: reasoning }),
  ...model("o3-mini", 203, { ...text, caps: reasoning }),
  ...model("gpt-4.1-mini", 204),
  ...model("o4-mini", 205, { caps: reasoning }),
  ...model("gpt-5-mini", 206, { caps: reasoning }),
  ...model("gpt-5.1-mini", 207, { caps: reasoning }),
  ...model("gpt-5.4-mini", 208, { caps: reasoning }),
  ...model("gpt-5.6-luna", 209, { caps: reasoning }),
  ...model("gpt-6-luna", 210, { caps: reasoning }),
  ...model("gpt-4-0314", 301, { family: "gpt-4", ...bare }),
  ...model("gpt-4", 301, text),
  ...model("gpt-4-32k-0314", 302, { family: "gpt-4-32k", ...bare }),
  ...model("gpt-4-32k", 302, text),
  ...model("gpt-4-1106-preview gpt-4-0125-preview gpt-4-turbo-preview", 303, { family: "gpt-4-turbo", ...text }),
  ...model("gpt-4-vision-preview", 303, { family: "gpt-4-turbo", tools: false }),
  ...model("gpt-4-turbo", 303),
  ...model("gpt-4o", 304),
  ...model("chatgpt-4o-latest", 304, { tools: false }),
  ...model("gpt-4.1", 305),
  ...model("o1-preview", 401, { ...bare, caps: reasoning }),
  ...model("o1", 402, { caps: reasoning }),
  ...model("o3", 403, { caps: reasoning }),
  ...model("gpt-5-chat-latest", 404, { tools: false, caps: reasoning }),
  ...model("gpt-5", 405, { caps: reasoning }),
  ...model("gpt-5.1 gpt-5.1-chat-latest", 406, { caps: reasoning }),
  ...model("gpt-5.2 gpt-5.2-chat-latest", 407, { caps: reasoning }),
  ...model("gpt-5.3-chat-latest", 408, { caps: reasoning }),
  ...model("gpt-5.4", 409, { caps: reasoning }),
  ...model("gpt-5.5", 410, { caps: reasoning }),
  ...model("gpt-5.6-terra", 411, { caps: reasoning }),
  ...model("gpt-5.6-sol", 412, { caps: reasoning }),
  ...model("gpt-6.1-terra", 413, { caps: reasoning }),
  ...model("gpt-6-sol", 414, { caps: reasoning }),
  ...model("gpt-6.1-sol", 415, { caps: reasoning }),
  ...model("gpt-6-astra", 416, { caps: reasoning }),
  ...model("o1-pro", 501, { caps: reasoning }),
  ...model("o3-pro", 502, { caps: reasoning }),
  ...model("gpt-5-pro", 503, { caps: reasoning }),
  ...model("gpt-5.2-pro", 504, { caps: reasoning }),
  ...model("gpt-5.5-pro", 505, { caps: reasoning }),

  // Speech in and out.
  ...model("gpt-4o-mini-audio-preview", 201, { modality: "audio", images: false }),
  ...model("gpt-audio-mini", 202, { modality: "audio", images: false }),
  ...model("gpt-4o-audio-preview", 301, { modality: "audio", images: false }),

  // Chat that searches the web.
  ...model("gpt-4o-mini-search-preview", 201, { modality: "search", ...bare }),
  ...model("gpt-4o-search-preview", 301, { modality: "search", ...bare }),

  // Code.
  ...model("codex-mini-latest", 201, { modality: "code", caps: reasoning }),
  ...model("gpt-5-codex", 401, { modality: "code", caps: reasoning }),
  ...model("gpt-5.1-codex", 402, { modality: "code", caps: reasoning }),
  ...model("gpt-5.1-codex-max", 403, { modality: "code", caps: reasoning }),

  // Research and other special fields, where nothing takes another's place by rank.
  ...model("o4-mini-deep-research", 201, { modality: "research", caps: reasoning }),
  ...model("o3-deep-research", 401, { modality: "research", caps: reasoning }),
  ...model("computer-use-preview", 401, { modality: "computer", caps: reasoning }),

  // Completions and embeddings.
  ...model("babbage-002", 1, { modality: "completion", ...bare, caps: ["max_tokens"] }),
  ...model("davinci-002", 2, { modality: "completion", ...bare, caps: ["max_tokens"] }),
  ...model("gpt-3.5-turbo-instruct", 3, { modality: "completion", ...bare, caps: ["max_tokens"] }),
  ...model("text-embedding-ada-002", 1, { modality: "embedding", ...bare, caps: [] }),
  ...model("text-embedding-3-small", 2, { modality: "embedding", ...bare, caps: [] }),
  ...model("text-embedding-3-large", 3, { modality: "embedding", ...bare, caps: [] })
])
