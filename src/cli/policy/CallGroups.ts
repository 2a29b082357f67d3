/**
 * Many calls in few lines: those that are alike are one, with how many there were and when.
 */
import type { Edit, Violation } from "../../call/Decision.ts"

/** Calls that are alike. */
export interface CallGroup<A> {
  readonly what: A
  readonly calls: number
  /** When the first and the last of them were decided, in milliseconds since 1970. */
  readonly first: number
  readonly last: number
}

/** Counts what is alike by its JSON; the most frequent first. */
export class CallGroups<A> {
  readonly #rows = new Map<string, CallGroup<A>>()

  add(what: A, at: number): void {
    const key = JSON.stringify(what)
    const row = this.#rows.get(key)
    this.#rows.set(key, {
      what,
      calls: (row?.calls ?? 0) + 1,
      first: Math.min(row?.first ?? at, at),
      last: Math.max(row?.last ?? at, at)
    })
  }

  get rows(): ReadonlyArray<CallGroup<A>> {
    return [...this.#rows.values()].sort((a, b) => b.calls - a.calls || a.first - b.first)
  }
}

/** `value_not_allowed of model`, `no_policy`: what refuses, without its values. */
export const violationWords = ({ code, path }: Pick<Violation, "code" | "path">): string =>
  path === undefined ? code : `${code} of ${path}`

/** `max_tokens → 500`. `to` is JSON, or a value. */
export const editWords = ({ path, to }: Pick<Edit, "path"> & { readonly to?: unknown }): string =>
  `${path} → ${to === undefined || to === null ? "removed" : typeof to === "string" ? to : JSON.stringify(to)}`
