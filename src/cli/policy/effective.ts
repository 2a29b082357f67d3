/**
 * `secure-openai policy effective`: the policy in force for a caller, each value with the document that sets it.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import type { Violation } from "../../call/Decision.ts"
import { policyId } from "../../call/Principal.ts"
import { effectiveValues } from "../../policy/AllowedValues.ts"
import type { Constraint } from "../../policy/Constraint.ts"
import { showPlace } from "../../policy/Diagnostic.ts"
import { allConstraints, type Rules } from "../../policy/Rules.ts"
import { evaluateResource } from "../../policy/Evaluate.ts"
import { showValue } from "../../policy/Notation.ts"
import { makeFind } from "../../policy/Participants.ts"
import type { PolicySet } from "../../policy/PolicySet.ts"
import { at, operation, timeOf } from "./explain.ts"
import { resourceOf } from "./DryRun.ts"
import { type Cell, columns, listed, say, sentence } from "./Page.ts"
import { json, loadPolicies, policies } from "./PolicyPath.ts"
import { callerFlags, principalOf } from "./CallerFlags.ts"
import { print, printJson } from "../Output.ts"

/** The command. */
export const effective = Command.make(
  "effective",
  { ...callerFlags, operation, at, policies, json },
  Effect.fnUntraced(function* ({ at, json, operation, policies, ...caller }) {
    const principal = yield* principalOf(caller)
    const now = yield* timeOf(at)
    const set = yield* loadPolicies(policies)
    const policy = makeFind(set)({ principal, app: caller.app, intents: [] })
    const rules = policy.rules(resourceOf(caller.app, operation))
    const summary = summaryOf(rules, set, policyId(principal), now)
    yield* json ? printJson(summary, 2) : print(summaryLines(summary).join("\n"))
  })
).pipe(
  Command.withShortDescription("Show the policy in force for a caller"),
  Command.withDescription(
    "Shows the result of all documents that take part, for one caller and one operation: what may be invoked, the bounds of each parameter, rate limits, attestations and validity, each with the document that sets it."
  ),
  Command.withExamples([
    {
      command: "secure-openai policy effective --user alice --team Support --app my-app",
      description: "What alice, whose token has the team Support, may ask of a chat"
    }
  ])
)

// ---------------------------------------------------------------------------------------------------------------------
// Summary
// ---------------------------------------------------------------------------------------------------------------------

/** One bound and who set it. `deny`: crossing it refuses; otherwise the request is edited. */
interface BoundSummary {
  readonly bound: string
  readonly value: unknown
  readonly policy: string
  readonly on_violation?: "rewrite" | "deny"
}

const summaryOf = (rules: Rules, set: PolicySet, principal: string, now: number) => ({
  principal,
  resource: rules.resource,
  revision: set.revision,
  refused: [...evaluateResource(rules, now), ...rules.contradictions],
  documents: rules.policies.map((policy) => {
    const document = set.find(policy)
    return {
      policy,
      place: showPlace(set.locate(policy, [])),
      ...(document?.extends !== undefined && { extends: document.extends }),
      resources: document?.resources ?? [],
      denied_resources: document?.denied_resources ?? []
    }
  }),
  parameters: allConstraints(rules)
    .map(parameterOf)
    .sort((a, b) => (a.parameter < b.parameter ? -1 : 1)),
  denied_parameters: rules.deniedValues.map(({ parameter, policy, values }) => ({
    parameter: parameter.name,
    values,
    policy
  })),
  rate_limits: rules.rateLimits.map(({ limit, policy }) => ({ limit, policy })),
  attestations: rules.attestations.map(({ approver, key, policy, resources, when }) => ({
    key,
    ...(when !== undefined && { when }),
    ...(resources !== undefined && { resources }),
    ...(approver !== undefined && { approver }),
    policy
  })),
  output: rules.output.map(({ pattern, policy, rule }) => ({ pattern, ...rule, policy })),
  validity: rules.windows.map(({ policy, text }) => ({ valid: text, policy }))
})

type Summary = ReturnType<typeof summaryOf>

const parameterOf = (constraint: Constraint) => {
  const mode = (edits: boolean) => ({
    on_violation: edits && !constraint.denies ? ("rewrite" as const) : ("deny" as const)
  })
  const bounds: ReadonlyArray<BoundSummary> = [
    ...constraint.lists.map(({ edits, policy, values }) => ({
      bound: "one of",
      value: values,
      policy,
      ...mode(edits)
    })),
    ...(constraint.min === undefined ? [] : [{ bound: "at least", ...pick(constraint.min), ...mode(true) }]),
    ...(constraint.max === undefined ? [] : [{ bound: "at most", ...pick(constraint.max), ...mode(true) }]),
    ...constraint.types.map(({ policy, type }) => ({ bound: "of type", value: type, policy })),
    ...constraint.patterns.map(({ pattern, policy }) => ({ bound: "matches", value: pattern, policy })),
    ...(
      [
        ["characters, at least", constraint.minLength],
        ["characters, at most", constraint.maxLength],
        ["items, at least", constraint.minItems],
        ["items, at most", constraint.maxItems]
      ] as const
    ).flatMap(([bound, limit]) => (limit === undefined ? [] : [{ bound, ...pick(limit) }])),
    ...(constraint.required === undefined
      ? []
      : [{ bound: "required", value: true, policy: constraint.required.policy }])
  ]
  const { globs, literals } = effectiveValues(constraint)
  return {
    parameter: constraint.parameter.name,
    ...(constraint.lists.length > 0 && { allowed: [...literals, ...globs] }),
    bounds
  }
}

const pick = ({ policy, value }: { readonly policy: string; readonly value: number }) => ({ value, policy })

// ---------------------------------------------------------------------------------------------------------------------
// In words
// ---------------------------------------------------------------------------------------------------------------------

const summaryLines = (summary: Summary): ReadonlyArray<string> => {
  const { documents, principal, refused, resource } = summary
  const section = (title: string, rows: ReadonlyArray<ReadonlyArray<Cell>>): ReadonlyArray<string> =>
    rows.length === 0 ? [] : ["", say("title", title), ...columns(rows)]
  return [
    `${say("title", resource)} for ${say("title", principal)}  ${refused.length === 0 ? say("good", "may be invoked") : say("bad", "refused")}`,
    ...refused.flatMap(refusalLines),
    ...section(
      "Documents, the most specific first",
      documents.map(({ place, policy }) => [policy, ["quiet", place]])
    ),
    ...section("Resources, which every one of these must list", patternRows(documents, "resources")),
    ...section("Denied resources", patternRows(documents, "denied_resources")),
    ...section("Parameters", summary.parameters.flatMap(parameterRows)),
    ...section(
      "Denied values",
      summary.denied_parameters.map(({ parameter, policy, values }) => [["name", parameter], showList(values), policy])
    ),
    ...section(
      "Calls a minute",
      summary.rate_limits.map(({ limit, policy }) => [`${limit}`, policy])
    ),
    ...section(
      "Attestations",
      summary.attestations.map(({ approver, key, policy, resources, when }) => [
        ["name", key],
        approver === undefined ? "held already" : `given by ${approver}`,
        policy,
        when === undefined ? "always" : `where ${when}`,
        resources === undefined ? "" : `for ${listed(resources)}`
      ])
    ),
    ...section("Answers, for which all of these hold", summary.output.flatMap(outputRows)),
    ...section(
      "Validity",
      summary.validity.map(({ policy, valid }) => [valid, policy])
    )
  ]
}

const refusalLines = ({ code, hint, message }: Violation): ReadonlyArray<string> => [
  ...sentence(["bad", code], message),
  ...(hint === undefined ? [] : sentence(["good", "hint".padStart(code.length)], hint))
]

const patternRows = (
  documents: Summary["documents"],
  field: "resources" | "denied_resources"
): ReadonlyArray<ReadonlyArray<Cell>> =>
  documents
    .filter((document) => document[field].length > 0)
    .map((document) => [document.policy, listed(document[field])])

const parameterRows = ({
  allowed,
  bounds,
  parameter
}: Summary["parameters"][number]): ReadonlyArray<ReadonlyArray<Cell>> => {
  const several = bounds.filter(({ bound }) => bound === "one of").length > 1
  const rows: ReadonlyArray<ReadonlyArray<Cell>> = bounds.map(({ bound, on_violation, policy, value }) => [
    bound === "required" ? bound : `${bound} ${Array.isArray(value) ? showList(value) : String(value)}`,
    policy,
    ["quiet", on_violation === "deny" ? "or refused" : on_violation === "rewrite" ? "or edited" : ""]
  ])
  const all: ReadonlyArray<ReadonlyArray<Cell>> = several
    ? [...rows, [["good", `together ${showList(allowed ?? [])}`], "", ""]]
    : rows
  return all.map((row, i) => [["name", i === 0 ? parameter : ""] as const, ...row])
}

const outputRows = ({
  denied = [],
  hold_back,
  max_characters,
  on_response,
  policy
}: Summary["output"][number]): ReadonlyArray<ReadonlyArray<Cell>> =>
  (
    [
      ["denied", denied.length === 0 ? undefined : showList(denied)],
      ["max_characters", max_characters],
      ["on_response", on_response],
      ["hold_back", hold_back]
    ] as const
  ).flatMap(([field, value]) => (value === undefined ? [] : [[["name", field] as const, String(value), policy]]))

const showList = (values: ReadonlyArray<unknown>): string => listed(values.map(showValue))
