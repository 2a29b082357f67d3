/**
 * Output rules without effect, or with less effect than they seem to have.
 */
import { repeated } from "./Lists.ts"
import type { Check } from "./Survey.ts"
import { quoted } from "./Warning.ts"

/** Output rules without effect, or with less effect than they seem to have. */
export const weakOutputRules: Check = function* ({ document }) {
  for (const [pattern, rule] of Object.entries(document.constraints?.output ?? {})) {
    const path = ["constraints", "output", pattern]
    const { denied = [], hold_back } = rule
    yield* repeated(denied, [...path, "denied"])
    if (Object.keys(rule).length === 0)
      yield { code: "no_effect", path, message: "the rule asks for nothing", hint: 'add "denied", or take it out' }
    if (denied.length === 0 && hold_back !== undefined)
      yield {
        code: "unused_constraint",
        path: [...path, "hold_back"],
        message: "nothing is denied, so that nothing is held back",
        hint: 'add "denied", or take it out'
      }
    for (const [index, text] of denied.entries())
      if (typeof text === "string" && text.length < 3 && /^[a-z0-9 ]+$/iu.test(text))
        yield {
          code: "short_denied_text",
          path: [...path, "denied", index],
          message: `${quoted(text)} stands in almost every answer, in the middle of other words`,
          hint: String.raw`write a longer text, or a pattern with its borders: {"pattern": "\\b${text}\\b"}`
        }
  }
}
