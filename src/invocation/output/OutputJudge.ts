/**
 * What output rules say of the parts of an answer (mapl §6a): of a text, a tool that it asks for, the model that it comes
 * from, its length. The first part that breaks a rule refuses the answer; what rules only record is gathered.
 *
 * A finding names the rule, its document and the place, and never what stands there.
 *
 * @since 0.2.0
 */
import * as Result from "effect/Result"
import type { Judge, OutputRule, OutputRules } from "../../Call.ts"
import { parseStrictObject } from "../../CanonicalJson.ts"
import type { Violation } from "../../Decision.ts"
import { isSameModel } from "../../Operation.ts"
import { type DeniedTexts, deniedTexts } from "./DeniedTexts.ts"

/** What an answer is judged against, besides the rules. */
export interface AskedFor {
  /** The model's names, where the request has one: as policies know it, and as the provider does. */
  readonly models: ReadonlyArray<string>
  readonly tool: Judge["tool"]
}

/** A JSON object. */
export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The items of a value that should be an array. */
export const itemsOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

export const textOf = (value: unknown): string => (typeof value === "string" ? value : "")

/** See the file's first paragraph. */
export class OutputJudge {
  readonly rules: OutputRules
  readonly denied: DeniedTexts
  /** Whether texts are looked for. */
  readonly seeks: boolean
  /** Whether a tool call may only be handed on once it was judged whole. */
  readonly holdsTools: boolean
  readonly recorded: Array<Violation> = []
  readonly #asked: AskedFor
  #refused: Violation | undefined
  #model: unknown

  constructor(rules: OutputRules, asked: AskedFor) {
    this.rules = rules
    this.denied = deniedTexts(rules)
    this.seeks = rules.denied.length > 0
    this.holdsTools = this.seeks || rules.onResponse.does === "deny"
    this.#asked = asked
  }

  /** Why the answer is refused, if it is. */
  get refused(): Violation | undefined {
    return this.#refused
  }

  refuse({ policy, rule }: OutputRule, path: string, message: string, hint?: string): void {
    this.#refused ??= violation(policy, rule, path, message, hint)
  }

  /** A denied text stands at `path`. */
  found(rule: OutputRule, path: string): void {
    this.refuse(rule, path, `the answer holds a text in ${path} that ${rule.policy} denies (${rule.rule})`)
  }

  /** Looks for denied texts in a whole text. */
  text(text: string, path: string): void {
    const found = this.seeks ? this.denied.search(text) : undefined
    if (found !== undefined) this.found(found, path)
  }

  /**
   * Looks for denied texts in every string of a value, names of members among them. `skipped` members are not looked at;
   * where there are none, the value's names are its own and not the API's.
   */
  search(value: unknown, path: string, skipped: ReadonlySet<string> = metadata): void {
    if (!this.seeks || this.#refused !== undefined) return
    if (typeof value === "string") this.text(value, path)
    else if (Array.isArray(value)) value.forEach((item, i) => this.search(item, `${path}[${i}]`, skipped))
    else if (isFields(value))
      for (const key in value) {
        if (skipped.has(key) || (key === "result" && value["type"] === "image_generation_call")) continue
        // The API's own names are no text, and may stand in a path.
        const place = skipped.size > 0 ? placeOf(path, key) : path
        if (place === path) this.text(key, path)
        this.search(value[key], place, skipped)
      }
  }

  /** Bounds the characters of an answer's text. */
  length(characters: number, path: string): void {
    const most = this.rules.maxCharacters
    if (most !== undefined && characters > most.value)
      this.refuse(most, path, `the answer is longer than the ${most.value} characters that ${most.policy} allows`)
  }

  /** Sound has no text that could be judged. */
  sound(path: string): void {
    const rule = this.rules.denied[0] ?? this.rules.maxCharacters
    if (rule !== undefined)
      this.refuse(
        rule,
        path,
        `the answer holds sound, which ${rule.policy} cannot have judged (${rule.rule})`,
        `ask for text alone: "modalities": ["text"]`
      )
  }

  /** Judges which model answers. */
  model(name: unknown): void {
    if (name === this.#model || typeof name !== "string" || name === "") return
    this.#model = name
    const { models } = this.#asked
    if (models.length === 0 || models.some((asked) => isSameModel(asked, name))) return
    this.#response(
      "model",
      `the answer comes from another model${named(name)} than the one that was asked${named(models[0] ?? "")}`
    )
  }

  /** Judges a whole tool call; `args` is the JSON text that the model wrote. */
  toolCall(name: string, args: string, path: string): void {
    this.text(name, path)
    this.text(args, path)
    const parsed = parseStrictObject(args === "" ? "{}" : args)
    // Escapes in the JSON text hide nothing.
    if (Result.isSuccess(parsed)) this.search(parsed.success, path, nothing)
    else if (args.includes("\\")) this.text(unescaped(args), path)
    if (this.#refused !== undefined) return
    const allowed = Result.isSuccess(parsed) && this.#asked.tool(name, parsed.success) === "allow"
    if (!allowed)
      this.#response(path, `the answer asks for a tool${named(name)} that policy does not allow with these arguments`)
  }

  #response(path: string, message: string): void {
    const { does, policy, rule } = this.rules.onResponse
    if (does === "deny") this.refuse({ policy, rule }, path, `${message}, and ${policy} denies that (${rule})`)
    else if (this.recorded.length < mostRecorded && !this.recorded.some((before) => before.path === path))
      this.recorded.push(violation(policy, rule, path, message))
  }
}

/** How many findings of one answer are recorded. */
const mostRecorded = 16

/**
 * Members that hold no text of an answer: what a provider says of it, and bytes in base64. They may hold any letters by
 * chance.
 */
export const metadata: ReadonlySet<string> = new Set([
  "id",
  "object",
  "model",
  "system_fingerprint",
  "service_tier",
  "role",
  "type",
  "status",
  "finish_reason",
  "call_id",
  "item_id",
  "response_id",
  "previous_response_id",
  "obfuscation",
  "encrypted_content",
  "b64_json",
  "partial_image_b64",
  "embedding"
])

/** Of what a tool says, everything is text. */
export const nothing: ReadonlySet<string> = new Set()

const violation = (policy: string, rule: string, path: string, message: string, hint?: string): Violation => ({
  code: "output_denied",
  path,
  policy,
  constraint: rule,
  message,
  ...(hint !== undefined && { hint })
})

/** A name as messages tell it: one that is no ordinary name may be content. */
const named = (name: string): string => (/^[\w.:/-]{1,80}$/u.test(name) ? ` ${name}` : "")

/** The place of a member, which is told; of one whose name may be content, that of what holds it. */
export const placeOf = (path: string, key: string): string =>
  /^[a-z_][a-z0-9_]{0,40}$/u.test(key) ? `${path}.${key}` : path

/** The text that the escapes of a JSON text stand for, of one that is not whole. */
const unescaped = (json: string): string =>
  json.replaceAll(/\\u([0-9a-fA-F]{4})|\\(.)/gu, (_, code: string | undefined, char: string | undefined) =>
    code === undefined ? (controls[char ?? ""] ?? char ?? "") : String.fromCharCode(Number.parseInt(code, 16))
  )
const controls: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" }
