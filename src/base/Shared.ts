/**
 * What a process has once, however many copies of this library are loaded in it. `import` and `require` load a copy each, with
 * classes of its own: the open logs, the counters of rate limits, the memory of used invocations and the options of the
 * default workspace are one for all of them, at `globalThis[Symbol.for("secure-openai/<major>")]`, so copies of one major
 * version share. What lies there has the same shape in all of them: data and functions of the language, nothing of Effect,
 * of which each copy may have another.
 *
 * Objects with a class are not shared; {@link otherCopy} tells whose they are.
 */
import { version } from "./Version.ts"

const place: symbol = Symbol.for(`secure-openai/${version.slice(0, version.indexOf("."))}`)

const state = (): Map<string, unknown> => {
  const there: unknown = Reflect.get(globalThis, place)
  if (there instanceof Map) return there
  const made = new Map<string, unknown>()
  Object.defineProperty(globalThis, place, { value: made })
  return made
}

/** The process's own value of this name, made where there is none yet. */
export const shared = <A>(name: string, make: () => A): A => {
  const all = state()
  if (!all.has(name)) all.set(name, make())
  // Whatever has this name was made by this function, of this copy or another.
  return all.get(name) as A
}

interface Held<A> {
  readonly value: A
  users: number
}

/** A value that others may use too, until {@link release} is called; call it once. */
export interface Lease<A> {
  readonly value: A
  readonly release: () => void
}

/** What all in this process that name one `key` share: made for the first of them, and forgotten with the last. */
export const lease = <A>(name: string, key: string, make: () => A): Lease<A> => {
  const all = shared(name, () => new Map<string, Held<A>>())
  const held: Held<A> = all.get(key) ?? { value: make(), users: 0 }
  all.set(key, held)
  held.users++
  return {
    value: held.value,
    release: () => {
      held.users--
      if (held.users === 0) all.delete(key)
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Whose an object is
// ---------------------------------------------------------------------------------------------------------------------

const mark: symbol = Symbol.for("secure-openai/copy")

/** This copy, as a message names it; another object in each copy, also in one of the same file. */
const thisCopy = ((file: string): { readonly name: string } => ({
  name: `the ${file.endsWith(".cjs") ? "CommonJS" : "ES module"} copy of secure-openai in ${file.slice(0, file.lastIndexOf("/"))}`
}))(String(import.meta.url))

/** Marks what a class makes as this copy's. */
export const markCopy = (prototype: object): void => void Object.defineProperty(prototype, mark, { value: thisCopy })

/**
 * Why an object of another copy is not taken, as the end of a message; undefined for one of this copy, and for what no copy
 * has made.
 */
export const otherCopy = (given: unknown): string | undefined => {
  const whose: unknown = typeof given === "object" && given !== null ? Reflect.get(given, mark) : undefined
  if (typeof whose !== "object" || whose === null || whose === thisCopy) return undefined
  const name = String(Reflect.get(whose, "name"))
  return `it was made by ${name}, and this is ${thisCopy.name}. Load the library in one way, by import or by require, for what works together.`
}

/**
 * Has `instanceof` hold for the same class of another copy, and for its subclasses; `this` in a static block of the class.
 * Classes that extend it are told apart as ever.
 */
export const acrossCopies = (errorClass: { readonly prototype: object }, name: string): void => {
  const brand = Symbol.for(`secure-openai/${name}`)
  Object.defineProperty(errorClass.prototype, brand, { value: true })
  Object.defineProperty(errorClass, Symbol.hasInstance, {
    value(this: unknown, given: unknown): boolean {
      if (this !== errorClass) return Reflect.apply(Function.prototype[Symbol.hasInstance], this, [given])
      return typeof given === "object" && given !== null && Reflect.get(given, brand) === true
    }
  })
}
