/**
 * Everything that policy asks of one resource.
 */
import type { Json } from "../base/Json.ts"
import type { Violation } from "../call/Decision.ts"
import type { Operation } from "../call/Operation.ts"
import type { Constraint } from "./Constraint.ts"
import type { NeededAttestation, Source } from "./Finding.ts"
import type { OutputRule } from "./mapl/OutputRule.ts"
import type { Parameter } from "./Parameter.ts"

/** Values that are refused for a parameter. */
export interface DeniedValues extends Source {
  readonly parameter: Parameter
  readonly values: ReadonlyArray<Json>
  readonly matches: (value: Json) => boolean
  /** True where the parameter is forbidden altogether, whatever its value. */
  readonly forbids: boolean
}

/** Members that a document's list of models closes: they may choose a model that is not on it. */
export interface ClosedMembers extends Source {
  readonly members: ReadonlyArray<string>
}

/** When a document applies, in milliseconds since 1970; bounds inclusive. */
export interface Window extends Source {
  readonly notBefore: number
  readonly notAfter: number
  readonly text: string
}

/** Requests a minute, for each principal. `counter` names the document's own counter. */
export interface RateLimit extends Source {
  readonly limit: number
  readonly counter: string
}

/** An output rule where it stands: the document's, under a resource pattern. */
export interface PlacedOutputRule extends Source {
  readonly pattern: string
  readonly rule: OutputRule
}

/**
 * Everything that policy asks of one resource. `cap` and `totalTokens` are there for operations that have a cap on output
 * tokens, and are no part of `constraints` then.
 */
export interface Rules {
  readonly resource: string
  readonly operation: Operation | undefined
  readonly policies: ReadonlyArray<string>
  readonly windows: ReadonlyArray<Window>
  readonly denied: ReadonlyArray<Violation>
  readonly notAllowed: ReadonlyArray<Violation>
  readonly contradictions: ReadonlyArray<Violation>
  readonly constraints: ReadonlyArray<Constraint>
  readonly cap: Constraint | undefined
  readonly totalTokens: Constraint | undefined
  readonly closed: ReadonlyArray<ClosedMembers>
  readonly deniedValues: ReadonlyArray<DeniedValues>
  readonly rateLimits: ReadonlyArray<RateLimit>
  readonly attestations: ReadonlyArray<NeededAttestation>
  /** Rules for the answer. */
  readonly output: ReadonlyArray<PlacedOutputRule>
}

/** Every constraint on a parameter, those on the cap of output tokens included. */
export const allConstraints = ({ cap, constraints, totalTokens }: Rules): ReadonlyArray<Constraint> =>
  [...constraints, cap, totalTokens].filter((constraint) => constraint !== undefined)
