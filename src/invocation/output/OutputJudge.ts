/**
 * What output rules say of the parts of an answer (mapl §8): of a text, a tool that it asks for, the model that it comes
 * from, its length. The first part that breaks a rule refuses the answer; what rules only record is gathered.
 *
 * A finding names the rule, its document and the place, and never what stands there.
 */
import { type Fields, isFields } from "../../answer/Fields.ts"
import type { ToolCall } from "../../answer/ToolCall.ts"
import type { Judge, OutputRulePlace, OutputRules } from "../../call/Judge.ts"
import type { Violation } from "../../call/Decision.ts"
import { readingsOf } from "../../base/JsonEscapes.ts"
import { isSameModel } from "../../call/Operation.ts"
import { type DeniedTexts, deniedTexts } from "./DeniedTexts.ts"

/** What an answer is judged against, besides the rules. */
export interface AskedFor {
  /** The model's names, where the request has one: as policies know it, and as the provider does. */
  readonly models: ReadonlyArray<string>
  readonly tool: Judge["tool"]
  /** The request as it was sent: an answer may repeat its strings. */
  readonly params?: Fields
}

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
  #isListed = false
  readonly #requested = new Map<string, ReadonlySet<string>>()

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

  refuse({ policy, rule }: OutputRulePlace, path: string, message: string, hint?: string): void {
    this.#refused ??= violation(policy, rule, path, message, hint)
  }

  /** A denied text stands at `path`. */
  found(rule: OutputRulePlace, path: string): void {
    this.refuse(rule, path, `the answer holds a text in ${path} that ${rule.policy} denies (${rule.rule})`)
  }

  /** Looks for denied texts in a whole text, as it is written and as it reads once JSON's escapes are undone. */
  text(text: string, path: string): void {
    if (!this.seeks || this.#refused !== undefined) return
    for (const reading of readingsOf(text)) {
      const found = this.denied.search(reading)
      if (found !== undefined) return this.found(found, path)
    }
  }

  /** Every string in a member of the request, names of members among them. */
  requested(member: string): ReadonlySet<string> {
    const known = this.#requested.get(member)
    if (known !== undefined) return known
    const strings = new Set<string>()
    gather(this.#asked.params?.[member], strings)
    this.#requested.set(member, strings)
    return strings
  }

  /** Looks for denied texts in every string of a value, names of members among them. */
  texts(value: unknown, path: string): void {
    if (!this.seeks || this.#refused !== undefined) return
    if (typeof value === "string") this.text(value, path)
    else if (Array.isArray(value)) for (const item of value) this.texts(item, path)
    else if (isFields(value))
      for (const name in value) {
        this.text(name, path)
        this.texts(value[name], path)
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

  /** True for a name of the model that was asked, or of a dated snapshot of it. */
  isAsked(model: string): boolean {
    return this.#asked.models.some((asked) => isSameModel(asked, model))
  }

  /** Judges which model answers. */
  model(name: unknown): void {
    if (name === this.#model || typeof name !== "string" || name === "") return
    this.#model = name
    const { models: list } = this.rules
    if (list?.allows(name) === true) this.#isListed = true
    else if (list !== undefined)
      this.refuse(list, "model", `the answer comes from a model${named(name)} that ${list.policy} does not allow`)
    const { models } = this.#asked
    if (models.length === 0 || this.isAsked(name)) return
    this.#response(
      "model",
      `the answer comes from another model${named(name)} than the one that was asked${named(models[0] ?? "")}`
    )
  }

  /** Whether the model that answers must be on a list, and none that is has been named yet. */
  get awaitsModel(): boolean {
    return this.rules.models !== undefined && !this.#isListed
  }

  /** Refuses an answer that has not said which model it comes from, where that must be on a list. */
  requireModel(): void {
    const { models: list } = this.rules
    if (list !== undefined && this.awaitsModel)
      this.refuse(list, "model", `the answer does not say which model it comes from, and ${list.policy} lists models`)
  }

  /** Judges a whole tool call. */
  toolCall({ args, fault, name, path, text }: ToolCall): void {
    this.text(name, path)
    this.text(text, path)
    this.texts(args, path)
    if (this.#refused !== undefined) return
    if (fault !== undefined)
      return this.#response(path, `the answer asks for a tool${named(name)}, and nobody can tell what runs: ${fault}`)
    if (args === undefined || this.#asked.tool(name, args) !== "allow")
      this.#response(path, `the answer asks for a tool${named(name)} that policy does not allow with these arguments`)
  }

  #response(path: string, message: string): void {
    const { does, policy, rule } = this.rules.onResponse
    if (does === "deny") this.refuse({ policy, rule }, path, `${message}, and ${policy} denies that (${rule})`)
    else if (this.recorded.length < mostRecorded && !this.recorded.some((before) => before.path === path))
      this.recorded.push(violation(policy, rule, path, message))
  }
}

const gather = (value: unknown, strings: Set<string>): void => {
  if (typeof value === "string") strings.add(value)
  else if (Array.isArray(value)) for (const item of value) gather(item, strings)
  else if (isFields(value))
    for (const name in value) {
      strings.add(name)
      gather(value[name], strings)
    }
}

/** How many findings of one answer are recorded. */
const mostRecorded = 16

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
