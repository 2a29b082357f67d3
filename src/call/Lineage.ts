/**
 * How a call depends on the call that caused it: what a tool's handler, or an agent, asks for carries the limits of the call in
 * whose course it asks.
 */
import type { Credentials } from "./Credentials.ts"
import type { Principal } from "./Principal.ts"

/** A MAPL document that restricts a call: the service's, the caller's, or the call's own intent. Kept by reference. */
export type IntentPolicy = Readonly<Record<string, unknown>>

/**
 * The call that another is made because of, as that one carries it on: what it may do stays within what this one may.
 *
 * - `call`: its id, `principal`: in whose name it is, with the `credentials` that showed it, `intents`: what restricts it.
 * - `behalf`: those besides the principal whose policies take part, for the call went through them.
 * - `envelope`: its own, a compact JWS; `chain`: those before it, root first.
 */
export interface Lineage {
  readonly call: string
  readonly principal: Principal
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  readonly behalf: ReadonlyArray<Principal>
  readonly envelope: string
  readonly chain: ReadonlyArray<string>
}

const none: ReadonlyArray<never> = []

/** The principals, besides its own, whose policies apply to a call that another call caused. */
export const behalfOf = (lineage: Lineage | undefined): ReadonlyArray<Principal> =>
  lineage === undefined ? none : [...lineage.behalf, lineage.principal]

/** The intents of a call together with those of the call that caused it. */
export const narrowed = (
  intents: ReadonlyArray<IntentPolicy>,
  lineage: Lineage | undefined
): ReadonlyArray<IntentPolicy> =>
  lineage === undefined || lineage.intents.every((intent) => intents.includes(intent))
    ? intents
    : [...new Set([...lineage.intents, ...intents])]
