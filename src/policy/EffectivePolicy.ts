/**
 * The meet of all documents that take part in a decision (mapl §5). What they ask of one resource is met once and kept, and
 * what all callers of a team share is met once for all of them, so that a decision costs the same however many documents
 * there are.
 */
import type { Violation } from "../call/Decision.ts"
import { meetOnto, type Met, nothing } from "./Meet.ts"
import { compile, type Compiled, type Participant } from "./Participant.ts"
import type { Rules } from "./Rules.ts"

/** How many resources' rules one effective policy keeps; callers choose the names of tools. */
const maximumKept = 256

/**
 * The policy in force for one caller at one service.
 *
 * @category models
 */
export class EffectivePolicy {
  readonly #refusal: Violation | undefined
  readonly #own: ReadonlyArray<Participant>
  readonly #compiled: ReadonlyArray<Compiled>
  /** How many documents of `rest` come after the own ones. */
  readonly #below: number
  readonly #rest: EffectivePolicy | undefined
  /** Most callers ask of one resource only, which needs no map. */
  #latest: Met | undefined
  #others: Map<string, Met> | undefined
  #narrowed: WeakMap<object, EffectivePolicy> | undefined

  /** `own` stand in order, the most specific first; those of `rest`, which restricts as well, come after them. */
  constructor(own: ReadonlyArray<Participant>, refusal?: Violation, rest?: EffectivePolicy) {
    this.#refusal = refusal
    this.#own = own
    this.#rest = rest
    this.#below = rest?.count ?? 0
    this.#compiled = own.map((one) => one.compiled ?? compile(one, own))
  }

  /** Why nothing is allowed, whatever the resource. */
  get refusal(): Violation | undefined {
    return this.#refusal ?? this.#rest?.refusal
  }

  get participants(): ReadonlyArray<Participant> {
    return this.#rest === undefined ? this.#own : [...this.#own, ...this.#rest.participants]
  }

  /** How many documents take part. */
  get count(): number {
    return this.#own.length + this.#below
  }

  /** What is asked of a resource. */
  rules(resource: string): Rules {
    return this.#meet(resource)
  }

  #meet(resource: string): Met {
    if (this.#latest?.resource === resource) return this.#latest
    const kept = this.#others?.get(resource)
    if (kept !== undefined) return kept
    const rest = this.#rest === undefined ? nothing(resource) : this.#rest.#meet(resource)
    const met = meetOnto(rest, this.#compiled, 1 - this.count, this.#refusal)
    if (this.#latest === undefined) this.#latest = met
    else {
      this.#others ??= new Map()
      if (this.#others.size >= maximumKept) this.#others.clear()
      this.#others.set(resource, met)
    }
    return met
  }

  /** This policy and more that restricts it; kept for as long as `identity` lives. */
  narrow(identity: object, more: () => ReadonlyArray<Participant>): EffectivePolicy {
    const kept = this.#narrowed?.get(identity)
    if (kept !== undefined) return kept
    const added = more()
    const counters = new Set(added.map(({ counter }) => counter))
    const isNew = !this.participants.some(({ counter }) => counters.has(counter))
    const narrowed = isNew
      ? new EffectivePolicy(added, undefined, this)
      : new EffectivePolicy(
          [...added, ...this.participants.filter(({ counter }) => !counters.has(counter))],
          this.refusal
        )
    this.#narrowed ??= new WeakMap()
    this.#narrowed.set(identity, narrowed)
    return narrowed
  }
}
