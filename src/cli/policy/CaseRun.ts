/**
 * Running one test case of policies: what became of it, and where that is not what it expects.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { canonicalize } from "../../base/CanonicalJson.ts"
import type { JsonObject } from "../../base/Json.ts"
import type { Case, Cases } from "../../policy/Cases.ts"
import type { Document } from "../../policy/Mapl.ts"
import { instant } from "../../policy/mapl/Validity.ts"
import type { PolicySet } from "../../policy/PolicySet.ts"
import { diagnose } from "../../policy/PolicySource.ts"
import { agent, app, type Principal } from "../../call/Principal.ts"
import type { DryRunner, DryRun } from "./DryRun.ts"
import { userOf } from "./CallerFlags.ts"

/** Something that is not as a case expects it. */
export interface Mismatch {
  readonly what: "verdict" | "edits" | "codes" | "load"
  readonly expected: unknown
  readonly actual: unknown
}

/** What became of a case; it passes where nothing is amiss. */
export interface CaseResult {
  readonly id: string
  readonly actual?: DryRun
  readonly mismatches: ReadonlyArray<Mismatch>
}

/** Runs a case; `now` is the time of cases that name none. The failure is why no such caller can exist. */
export const runCase = (one: Case, run: DryRunner, now: number): Effect.Effect<CaseResult, string> =>
  Effect.map(callerOf(one), (principal) => {
    const actual = run({
      principal,
      app: one.service,
      operation: one.operation ?? "generate",
      params: one.params ?? {},
      intents: [...(one.intent === undefined ? [] : [one.intent]), ...(one.intents ?? [])],
      now: one.at === undefined ? now : (instant(one.at, "first") ?? now)
    })
    return { id: one.id, actual, mismatches: mismatchesOf(one, actual) }
  })

/** Runs a case whose policies must not load. */
export const runLoadError = ({ id, policies }: NonNullable<Cases["load_errors"]>[number]): CaseResult => ({
  id,
  mismatches: Result.isFailure(setOf(policies))
    ? []
    : [{ what: "load", expected: "an error", actual: "the policies load" }]
})

/** A set of policies in a file of cases; the failure is what is wrong with it. */
export const setOf = (policies: ReadonlyArray<unknown>): Result.Result<PolicySet, string> => {
  try {
    // The store checks that they are documents.
    return Result.mapError(diagnose(policies as ReadonlyArray<Document>), (errors) =>
      errors.map(({ message, path, place }) => `${place.file}: ${path === "" ? "" : `${path}: `}${message}`).join("; ")
    )
  } catch (error) {
    return Result.fail(error instanceof Error ? error.message : String(error))
  }
}

const callerOf = ({ caller = {}, service }: Case): Effect.Effect<Principal, string> => {
  const { attestations = [], bu = [], claims = {}, company = [], documents = [] } = caller
  const { groups = [], name, roles = [], team = [] } = caller
  const kind = caller.kind ?? (name === undefined ? "app" : "user")
  if (name === undefined || kind === "app") return Effect.succeed({ ...app(service), attestations })
  if (kind === "agent") return Effect.succeed({ ...agent(name), attestations })
  return Effect.map(userOf(name, { company, bu, team, roles, groups, ...claims }), (user) => ({
    ...user,
    documents: [...user.documents, ...documents],
    attestations: [...user.attestations, ...attestations]
  }))
}

const mismatchesOf = ({ expect }: Case, actual: DryRun): ReadonlyArray<Mismatch> => {
  const edits: JsonObject = Object.fromEntries(actual.edits.map(({ path, to }) => [path, to as JsonObject]))
  const codes = [...new Set(actual.violations.map(({ code }) => code))].sort()
  const expected = [...new Set<string>(expect.codes)].sort()
  return [
    ...(expect.verdict === actual.verdict
      ? []
      : [{ what: "verdict" as const, expected: expect.verdict, actual: actual.verdict }]),
    ...(expect.edits === undefined || canonicalize(expect.edits) === canonicalize(edits)
      ? []
      : [{ what: "edits" as const, expected: expect.edits, actual: edits }]),
    ...(expect.codes === undefined || canonicalize(expected) === canonicalize(codes)
      ? []
      : [{ what: "codes" as const, expected, actual: codes }])
  ]
}
