/**
 * What an answer says it used. Each number is the provider's; what it does not say is absent, and never 0.
 */
import { type Fields, isFields, memberOf } from "./Fields.ts"

/**
 * Tokens. `cached`, `cacheWrite` and `audioInput` are parts of `input`; `reasoning` and `audioOutput` are parts of
 * `output`. `tier` is the service tier that answered.
 */
export interface Usage {
  readonly audioInput?: number
  readonly audioOutput?: number
  readonly cacheWrite?: number
  readonly cached?: number
  readonly input?: number
  readonly output?: number
  readonly reasoning?: number
  readonly tier?: string
}

/**
 * The usage that an answer, a chunk or an event tells: of a chat or text completion, an embedding, a response; Groq's
 * `x_groq.usage` and DeepSeek's `prompt_cache_hit_tokens` too. Undefined where no tokens are told. A part that is larger than
 * its whole is no part, and left out.
 */
export const usageOf = (answer: unknown): Usage | undefined => {
  if (!isFields(answer)) return undefined
  const holder = isFields(answer["usage"])
    ? answer
    : isFields(answer["response"])
      ? answer["response"]
      : answer["x_groq"]
  const usage = memberOf(holder, "usage")
  if (!isFields(usage)) return undefined
  const input = count(usage["prompt_tokens"]) ?? count(usage["input_tokens"])
  const output = count(usage["completion_tokens"]) ?? count(usage["output_tokens"])
  if (input === undefined && output === undefined) return undefined
  const ofInput = details(usage, "prompt_tokens_details", "input_tokens_details")
  const ofOutput = details(usage, "completion_tokens_details", "output_tokens_details")
  const cached = part(ofInput["cached_tokens"] ?? usage["prompt_cache_hit_tokens"], input)
  const cacheWrite = part(ofInput["cache_write_tokens"], input)
  const audioInput = part(ofInput["audio_tokens"], input)
  const reasoning = part(ofOutput["reasoning_tokens"], output)
  const audioOutput = part(ofOutput["audio_tokens"], output)
  const tier = memberOf(holder, "service_tier") ?? answer["service_tier"]
  // In the order in which canonical JSON writes them.
  return {
    ...(audioInput !== undefined && { audioInput }),
    ...(audioOutput !== undefined && { audioOutput }),
    ...(cacheWrite !== undefined && { cacheWrite }),
    ...(cached !== undefined && { cached }),
    ...(input !== undefined && { input }),
    ...(output !== undefined && { output }),
    ...(reasoning !== undefined && { reasoning }),
    ...(typeof tier === "string" && ordinary.test(tier) && { tier })
  }
}

/** A tier's name; anything else may be content. */
const ordinary = /^[\w.-]{1,32}$/

const count = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined

const part = (value: unknown, whole: number | undefined): number | undefined => {
  const told = count(value)
  return told !== undefined && whole !== undefined && told <= whole ? told : undefined
}

const details = (usage: Fields, ...names: ReadonlyArray<string>): Fields => {
  for (const name of names) if (isFields(usage[name])) return usage[name]
  return {}
}
