/**
 * The call in whose course code runs: what a tool's handler calls is called because of that one, however deep inside it.
 *
 * @since 0.2.0
 */
import { AsyncLocalStorage } from "node:async_hooks"
import type { Lineage } from "./Call.ts"

const current = new AsyncLocalStorage<Lineage>()

/** Runs code in the course of a call; what it starts stays in it, also what it does not wait for. */
export const inCourseOf = <A>(lineage: Lineage, run: () => A): A => current.run(lineage, run)

/** The call in whose course this code runs. */
export const currentLineage = (): Lineage | undefined => current.getStore()
