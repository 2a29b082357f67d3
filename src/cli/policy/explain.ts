/**
 * `secure-openai policy explain`: what becomes of one request, and why.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { parseStrictObject } from "../../base/CanonicalJson.ts"
import type { Approval, Edit, Violation } from "../../call/Decision.ts"
import type { Diagnostic } from "../../policy/Diagnostic.ts"
import { showValue } from "../../policy/Notation.ts"
import { lint } from "../../policy/Lint.ts"
import { lookalikes } from "../../policy/lint/Spellings.ts"
import { instant } from "../../policy/mapl/Validity.ts"
import type { PolicySet } from "../../policy/PolicySet.ts"
import { policyId } from "../../call/Principal.ts"
import { Models } from "../../rewriting/Models.ts"
import { CannotRun, CheckFailed } from "../Ending.ts"
import { diagnosticJson, diagnosticLines, knownModels } from "./Diagnostics.ts"
import { cannotUse, readJson } from "./JsonFile.ts"
import { type DryRun, makeDryRunner } from "./DryRun.ts"
import { columns, count, heads, listed, say, sentence, type Tone } from "./Page.ts"
import { json, loadPolicies, policies } from "./PolicyPath.ts"
import { callerFlags, principalOf } from "./CallerFlags.ts"
import { print, printJson } from "../Output.ts"

/** The flag `--operation`. */
export const operation = Flag.String("operation").pipe(
  Flag.withDescription("generate, complete, embed, a tool's name, or a whole resource such as api:my-app/files"),
  Flag.withMetavar("NAME"),
  Flag.withDefault("generate")
)

/** The flag `--at`. */
export const at = Flag.String("at").pipe(
  Flag.withDescription("When the request is made: 2026-01-31T17:00:00Z. Default: now"),
  Flag.withMetavar("ISO"),
  Flag.optional
)

/** The command. */
export const explain = Command.make(
  "explain",
  {
    request: Argument.String("request").pipe(
      Argument.withDescription("A file with the request's JSON body, or - for standard input")
    ),
    ...callerFlags,
    operation,
    attestation: Flag.String("attestation").pipe(
      Flag.withDescription("An attestation that the caller holds. May be repeated"),
      Flag.withMetavar("KEY"),
      Flag.atLeast(0)
    ),
    at,
    policies,
    json,
    exitCode: Flag.Boolean("exit-code").pipe(
      Flag.withDescription("Exit with 1 where the request is refused, or waits for approval"),
      Flag.withoutNegation,
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ at, attestation, exitCode, json, operation, policies, request, ...flags }) {
    const caller = yield* principalOf(flags)
    const now = yield* timeOf(at)
    const set = yield* loadPolicies(policies)
    const { locate, text } = yield* readJson(request)
    const params = yield* Effect.fromResult(parseStrictObject(text)).pipe(
      Effect.mapError((reason) => cannotUse(`${reason}: a request is the JSON object that the SDK sends`, locate([])))
    )
    const models = yield* Models
    const principal = { ...caller, attestations: [...caller.attestations, ...attestation] }
    const result = makeDryRunner(set, models)({ principal, app: flags.app, operation, params, intents: [], now })
    const hints = hintsOf(set, result, [policyId(principal), ...principal.documents, `app:${flags.app}`], now)
    yield* json
      ? printJson({ ...result, ...(hints.length > 0 && { hints: hints.map(diagnosticJson) }) }, 2)
      : print([...resultLines(result, now), ...hints.flatMap((hint) => ["", ...diagnosticLines(hint)])].join("\n"))
    if (exitCode && result.verdict !== "allow") return yield* new CheckFailed()
  }, Effect.provide(Models.layer))
).pipe(
  Command.withShortDescription("Show the decision on a request, and why"),
  Command.withDescription(
    "Judges a request as an app would, rewriting included. Prints the documents that took part, what is wrong, what is changed, and the linter's advice on these documents. Rate limits are not counted. Exits with 0 where it could decide, 2 where it could not."
  ),
  Command.withExamples([
    {
      command: "secure-openai policy explain --user alice --team Support --app my-app request.json",
      description: "A chat of alice"
    },
    {
      command: `echo '{"amount": 20000}' | secure-openai policy explain --user bob --app my-app --operation pay -`,
      description: "A tool"
    }
  ])
)

/** The linter's advice on the documents that took part, and on documents that differ in case only from those of the caller. */
const hintsOf = (
  set: PolicySet,
  { policies, resource }: DryRun,
  ids: ReadonlyArray<string>,
  now: number
): ReadonlyArray<Diagnostic> => [
  ...lookalikes(set, ids).map(({ document, id }): Diagnostic => ({
    severity: "warning",
    code: "case_differs",
    message: `no document is for ${id}, and ${document} differs from it in case only`,
    path: "policy_id",
    policy: document,
    hint: "case counts: write it as the token or the app does",
    place: set.locate(document, ["policy_id"])
  })),
  ...lint(set, now, { models: knownModels, about: { ids: policies.filter((id) => set.has(id)), resource } })
]

/** The instant that a flag names, or now. */
export const timeOf = (at: Option.Option<string>): Effect.Effect<number, CannotRun> =>
  Option.match(at, {
    onNone: () => Clock.currentTimeMillis,
    onSome: (text) => {
      const ms = instant(text, "first")
      return ms === undefined
        ? Effect.fail(
            new CannotRun({ message: `--at ${text} is no instant: write ISO-8601, such as 2026-01-10T09:00:00Z.` })
          )
        : Effect.succeed(ms)
    }
  })

// ---------------------------------------------------------------------------------------------------------------------
// In words
// ---------------------------------------------------------------------------------------------------------------------

const tones: Readonly<Record<DryRun["verdict"], Tone>> = { allow: "good", deny: "bad", pending: "warn" }

const resultLines = (result: DryRun, now: number): ReadonlyArray<string> => {
  const { approvals = [], edits, policies, principal, resource, verdict, violations } = result
  const outcome = edits.length === 0 ? verdict : `${verdict} with ${count(edits.length, "edit")}`
  return [
    `${say(tones[verdict], outcome.toUpperCase())}  ${say("title", resource)} for ${say("title", principal)}`,
    "",
    ...columns([
      [["quiet", "judged at"], new Date(now).toISOString()],
      [["quiet", "took part"], policies.length === 0 ? "no policy" : listed(policies, 12)]
    ]),
    ...(violations.length === 0 ? [] : ["", ...violationLines(violations)]),
    ...(approvals.length === 0 ? [] : ["", ...approvalLines(approvals)]),
    ...(edits.length === 0 ? [] : ["", ...editLines(edits)])
  ]
}

const violationLines = (violations: ReadonlyArray<Violation>): ReadonlyArray<string> => [
  ...columns([
    heads("violation", "parameter", "asked", "bound", "set by"),
    ...violations.map(({ absent, actual, code, constraint = "", path = "", policy = "" }) => [
      [code === "approval_pending" ? "warn" : "bad", code] as const,
      ["name", path] as const,
      actual ?? absentOf(path, absent),
      constraint,
      policy
    ])
  ]),
  "",
  ...violations.flatMap(({ code, hint, message }) => [
    ...sentence([code === "approval_pending" ? "warn" : "bad", code], message),
    ...(hint === undefined ? [] : sentence(["good", "hint".padStart(code.length)], hint))
  ])
]

/** What was asked where something is not there: of another thing than the row is about, with its name. */
const absentOf = (path: string, absent: ReadonlyArray<string> = []): string =>
  absent.length === 0 ? "" : absent.length === 1 && absent[0] === path ? "absent" : `${absent.join(", ")} absent`

const approvalLines = (approvals: ReadonlyArray<Approval>): ReadonlyArray<string> =>
  columns([
    heads("approval", "by", "bound to"),
    ...approvals.map(({ approver, digest, key }) => [["name", key] as const, approver, digest])
  ])

const editLines = (edits: ReadonlyArray<Edit>): ReadonlyArray<string> =>
  columns([
    heads("edit", "from", "", "to", "by"),
    ...edits.map(({ from, path, policy, to }) => [
      ["name", path] as const,
      from === undefined ? (["quiet", "absent"] as const) : showValue(from),
      "→",
      to === null ? (["quiet", "taken out"] as const) : (["good", showValue(to)] as const),
      policy
    ])
  ])
