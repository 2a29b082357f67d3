/**
 * The call in whose course code runs: what a tool's handler calls is called because of that one, however deep inside it.
 */
import { AsyncLocalStorage } from "node:async_hooks"
import { behalfOf, type Lineage, narrowed } from "./Lineage.ts"
import { shared } from "../base/Shared.ts"

const current = shared("current call", () => new AsyncLocalStorage<Lineage>())

/** Runs code in the course of a call; what it starts stays in it, also what it does not wait for. */
export const inCourseOf = <A>(lineage: Lineage, run: () => A): A => current.run(lineage, run)

/**
 * Has the steps of an iterator, or of the iterators of an async iterable, run in the course of a call, whoever takes them: the
 * code of a generator runs when it is asked for more. Gives the same object.
 */
export const stepsInCourseOf = <A>(lineage: Lineage, value: A): A => {
  if (typeof value !== "object" || value === null || !Object.isExtensible(value)) return value
  const steps = value as Readonly<Record<PropertyKey, unknown>>
  if (typeof steps["next"] === "function")
    for (const name of ["next", "return", "throw"]) {
      const step = steps[name]
      if (typeof step === "function")
        define(value, name, (...args: ReadonlyArray<unknown>) => inCourseOf(lineage, () => step.apply(value, args)))
    }
  const iterate = steps[Symbol.asyncIterator]
  if (typeof iterate === "function")
    define(value, Symbol.asyncIterator, () => {
      const iterator: unknown = inCourseOf(lineage, () => iterate.apply(value))
      return iterator === value ? value : stepsInCourseOf(lineage, iterator)
    })
  return value
}

const define = (object: object, name: PropertyKey, value: unknown): void =>
  void Object.defineProperty(object, name, { value, configurable: true, writable: true })

/** The call that asked for something, narrowed by the one in whose course it is done. */
export const askedInCourse = (asked: Lineage | undefined): Lineage | undefined => {
  const running = currentLineage()
  if (asked === undefined || running === undefined) return asked ?? running
  return {
    ...asked,
    intents: narrowed(running.intents, asked),
    behalf: [...new Set([...asked.behalf, ...behalfOf(running)])]
  }
}

/** The call in whose course this code runs. */
export const currentLineage = (): Lineage | undefined => current.getStore()
