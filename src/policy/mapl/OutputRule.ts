/**
 * Rules on answers (mapl §8).
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { RE2JS } from "re2js"
import { filter, nonEmpty, optional, text, whole } from "./Field.ts"
import { compileRegex } from "./Regex.ts"

/** How many characters of a stream may be held back at most. */
export const maximumHoldBack = 4096

/** A denied text in the form of a regular expression. */
export const SoughtPattern = Schema.Struct({
  pattern: text(
    'A regular expression in RE2 syntax that is looked for anywhere in the answer: no lookaround, no backreferences. Example: "(?i)project heron".'
  ).check(
    filter((source: string) => {
      const compiled = compileRegex(source)
      if (Result.isFailure(compiled)) return compiled.failure
      return !matchesNothing(compiled.success) || "matches the empty text, and so every answer: make it ask for more"
    })
  )
}).annotate({ title: "Pattern", description: "A pattern that is looked for.", expected: `{"pattern": "…"}` })

/** True for a pattern that finds an empty text. */
const matchesNothing = (regex: RE2JS): boolean =>
  ["", "a", " a1 "].some((sample) => {
    const matcher = regex.matcher(sample)
    return matcher.find() && matcher.start() === matcher.end()
  })

const Denied = Schema.Array(
  Schema.Union([Schema.String.check(nonEmpty), SoughtPattern]).annotate({
    description: 'A text that is denied as it is written (case counts), or {"pattern": "…"}.',
    expected: `a text that is not empty, or {"pattern": "…"}`
  })
).annotate({
  title: "Denied texts",
  description: 'Texts that must never reach the caller. Example: ["Project Heron", {"pattern": "A-[0-9]{6}"}].',
  expected: `a list of texts and patterns, such as ["Project Heron"]`
})

/**
 * What holds for an answer (mapl §8).
 *
 * @category schemas
 */
export const OutputRule = Schema.Struct({
  denied: optional(Denied),
  max_characters: optional(
    whole(1, "How long the text of each choice of an answer may be at most, in UTF-16 units. Example: 20000.")
  ),
  on_response: optional(
    Schema.Literals(["record", "deny"]).annotate({
      description:
        'What happens to an answer that names a tool that policy does not allow, or another model than the one asked: "record" says so in the log (the default), "deny" refuses it.'
    })
  ),
  hold_back: optional(
    whole(
      0,
      "How many characters of a stream may be held back, up to 4096, so that no denied text is released in part. Needed with a pattern; otherwise the longest denied text decides."
    ).check(
      filter((held: number) => held <= maximumHoldBack || `must be at most ${maximumHoldBack}, found ${held}`, {
        maximum: maximumHoldBack
      })
    )
  )
})
  .annotate({
    title: "Output rule",
    description: "What holds for an answer. All fields must hold.",
    expected: `an object such as {"denied": ["Project Heron"]}`
  })
  .check(filter((rule: { readonly denied?: Deniable; readonly hold_back?: number }) => holdBackFault(rule)))

export type OutputRule = typeof OutputRule.Type

type Deniable = ReadonlyArray<string | { readonly pattern: string }>

/** What is wrong with how far a stream would be held back. */
const holdBackFault = ({ denied = [], hold_back }: { readonly denied?: Deniable; readonly hold_back?: number }) => {
  const faults: Array<{ readonly path: ReadonlyArray<PropertyKey>; readonly issue: string }> = []
  const held = hold_back ?? maximumHoldBack
  for (const [at, one] of denied.entries())
    if (typeof one !== "string") {
      if (hold_back === undefined || hold_back === 0)
        faults.push({
          path: ["denied", at],
          issue: `a pattern needs "hold_back" beside "denied": the length of the longest text that it finds, up to ${maximumHoldBack}`
        })
    } else if (one.length - 1 > held)
      faults.push({
        path: ["denied", at],
        issue:
          hold_back === undefined
            ? `is ${one.length} characters long, and a stream holds back at most ${maximumHoldBack}: write a part of it that tells it apart`
            : `is ${one.length} characters long, so that "hold_back" must be at least ${one.length - 1}, or be left out`
      })
  return faults
}
