/**
 * What later stages may ask of the policy that decided a call, and the rules that it sets for the answer.
 */
import type { JsonObject } from "../base/Json.ts"
import type { Claim, Spent } from "./Claim.ts"
import type { Decision, Violation } from "./Decision.ts"
import type { PolicyRateLimited } from "./Errors.ts"

/** A decision that lets the call go on. */
export type Permit = Decision & { readonly verdict: "allow" }

/** Where an output rule stands: the id of the document that sets it, and the path in that document (`constraints.output["tool:*"].denied[0]`). */
export interface OutputRulePlace {
  readonly policy: string
  readonly rule: string
}

/**
 * A text that an answer must not hold: a literal, or what `find` finds at or after a place in a text. `holdBack` is the
 * length, in UTF-16 units, up to which a stream can keep a found text back whole.
 */
export interface DeniedText extends OutputRulePlace {
  readonly holdBack: number
  readonly sought: string | ((text: string, from: number) => readonly [start: number, end: number] | undefined)
}

/**
 * What policy asks of an answer (mapl §8). `maxCharacters` is for the text of each choice, in UTF-16 units; `onResponse`
 * says what happens to an answer that names a tool that policy does not allow, or another model than the one asked.
 * `models` is there where the request left the choice of the model to others: what answers must be on the list.
 */
export interface OutputRules {
  readonly denied: ReadonlyArray<DeniedText>
  readonly maxCharacters: (OutputRulePlace & { readonly value: number }) | undefined
  readonly onResponse: OutputRulePlace & { readonly does: "record" | "deny" }
  readonly models?: (OutputRulePlace & { readonly allows: (model: string) => boolean }) | undefined
}

/**
 * What later stages may ask of the policy that decided, without knowing it: pure, and bound to the decision's revision,
 * principal and time.
 */
export interface Judge {
  /** Every violation of this call's own resource with other params; none when they pass unchanged. */
  readonly recheck: (params: JsonObject) => ReadonlyArray<Violation>
  /** Whether the principal may use a tool of this app, with these arguments. */
  readonly tool: (name: string, args: JsonObject) => "allow" | "deny" | "pending"
  /** The parameters that policy puts a bound on: by naming one it says that its numbers may be told in the log. */
  readonly bounded: ReadonlyArray<string>
  /** What holds for the answer; absent where nothing is asked of it. */
  readonly output?: OutputRules | undefined
  /** What the call spends of limits: all of it is claimed in one step with the decision's record, or the call is refused. */
  readonly wants: ReadonlyArray<Claim>
  /** The refusal of the call where some of that is spent. */
  readonly refuse: (spent: ReadonlyArray<Spent>) => PolicyRateLimited
}

/** What policies that are only observed say of a call: nothing follows from it but a word in the log. */
export interface Observed {
  readonly decision: Decision
  readonly judge: Judge
}
