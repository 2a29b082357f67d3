/**
 * Regular expressions that a linear-time engine takes (RE2 syntax).
 */
import * as Result from "effect/Result"
import { LRUCache } from "lru-cache"
import { RE2JS } from "re2js"
import { filter, text } from "./Field.ts"

/** A regular expression that the linear-time engine takes (RE2 syntax). */
export const Regex = text(
  'A regular expression that the whole string must match, in RE2 syntax: no lookaround, no backreferences. Example: "A-[0-9]{6}".'
).check(
  filter((source: string) => {
    const compiled = compileRegex(source)
    return Result.isSuccess(compiled) ? true : compiled.failure
  })
)

/** Compiles a `{pattern}` for the linear-time engine; the failure is why the engine refuses it. */
export const compileRegex = (source: string): Result.Result<RE2JS, string> => {
  try {
    return Result.succeed(RE2JS.compile(source))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return Result.fail(`is no pattern in RE2 syntax (no lookaround, no backreferences): ${reason}`)
  }
}

/** How many patterns are kept compiled; documents name the same ones. */
const maximumKept = 1024

const regexes = new LRUCache<string, RE2JS>({ max: maximumKept })

/** A checked pattern, compiled. Throws where {@link compileRegex} fails. */
export const regexOf = (pattern: string): RE2JS => {
  const kept = regexes.get(pattern)
  if (kept !== undefined) return kept
  const regex = Result.getOrThrow(compileRegex(pattern))
  regexes.set(pattern, regex)
  return regex
}
