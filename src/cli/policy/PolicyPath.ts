/**
 * Which policies a command is about, and reading them.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as Fs from "node:fs"
import type { Diagnostic } from "../../policy/Diagnostic.ts"
import type { PolicySet } from "../../policy/PolicySet.ts"
import { diagnose } from "../../policy/PolicySource.ts"
import { CannotRun } from "../Ending.ts"
import { plainLines } from "./Diagnostics.ts"

const description = "A folder of policies, or a file. Default: SECURE_OPENAI_POLICIES, else ./policies"

/** The argument PATH. */
export const path = Argument.String("path").pipe(Argument.withDescription(description), Argument.optional)

/** The flag `--policies PATH`. */
export const policies = Flag.String("policies").pipe(
  Flag.withDescription(description),
  Flag.withMetavar("PATH"),
  Flag.optional
)

/** The flag `--json`. */
export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON, for programs"),
  Flag.withoutNegation,
  Flag.withDefault(false)
)

/** The path that was given, or the default; fails where nothing is there. */
export const policyPath = (given: Option.Option<string>): Effect.Effect<string, CannotRun> => {
  const configured = process.env["SECURE_OPENAI_POLICIES"] || undefined
  const path = Option.getOrElse(given, () => configured ?? "./policies")
  if (Fs.existsSync(path)) return Effect.succeed(path)
  const why = Option.isSome(given)
    ? ""
    : configured === undefined
      ? ", the default: SECURE_OPENAI_POLICIES is not set. Name a folder or a file"
      : ", which SECURE_OPENAI_POLICIES names"
  return Effect.fail(new CannotRun({ message: `There are no policies at ${path}${why}.` }))
}

/** Reads the policies at a path; the failure of the result is what is wrong with them. */
export const readPolicies = (
  path: string
): Effect.Effect<Result.Result<PolicySet, ReadonlyArray<Diagnostic>>, CannotRun> =>
  Effect.try({
    try: () => diagnose(path),
    catch: (cause) => new CannotRun({ message: cause instanceof Error ? cause.message : String(cause) })
  })

/** The policies at the path that was given, or the default; they must load. */
export const loadPolicies = (given: Option.Option<string>): Effect.Effect<PolicySet, CannotRun> =>
  Effect.flatMap(policyPath(given), loadFrom)

/** The policies at a path, which must load. */
export const loadFrom = (path: string): Effect.Effect<PolicySet, CannotRun> =>
  Effect.flatMap(readPolicies(path), (read) =>
    Result.match(read, {
      onSuccess: Effect.succeed,
      onFailure: (errors) => Effect.fail(new CannotRun({ message: doNotLoad(path, errors) }))
    })
  )

const shown = 5

const doNotLoad = (path: string, errors: ReadonlyArray<Diagnostic>): string =>
  [
    `The policies at ${path} do not load. secure-openai policy lint lists all that is wrong:`,
    ...errors.slice(0, shown).flatMap(plainLines),
    ...(errors.length > shown ? [`and ${errors.length - shown} more`] : [])
  ].join("\n")
