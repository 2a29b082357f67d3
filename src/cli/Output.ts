/**
 * The one way out of a command. Logs, policies, tokens and files hold what others wrote: nothing of it may be obeyed by a
 * terminal, or look like something else.
 */
import * as Console from "effect/Console"
import type * as Effect from "effect/Effect"
import process from "node:process"
import { styleText } from "node:util"
import { visibleLines } from "../base/Text.ts"

/** Prints lines for people. On a terminal, the colours that `styleText` made stay. */
export const print = (text: string): Effect.Effect<void> =>
  Console.log(styleText("bold", "x", { stream: process.stdout }) === "x" ? visibleLines(text) : exceptColours(text))

/** Prints what is wrong, to standard error. */
export const printError = (text: string): Effect.Effect<void> => Console.error(visibleLines(text))

/** Prints a value as JSON; with `indent`, over several lines. What is not seen is escaped, so the value is the same. */
export const printJson = (value: unknown, indent?: number): Effect.Effect<void> =>
  printJsonText(JSON.stringify(value, undefined, indent))

/** Prints a text that is JSON already. */
export const printJsonText = (json: string): Effect.Effect<void> => Console.log(visibleLines(json))

// What `styleText` writes, and nothing that moves a cursor or sets a title.
// eslint-disable-next-line no-control-regex
const colour = /(\u001b\[\d{1,2}(?:;\d{1,2})*m)/u

const exceptColours = (text: string): string =>
  text
    .split(colour)
    .map((part, at) => (at % 2 === 1 ? part : visibleLines(part)))
    .join("")
