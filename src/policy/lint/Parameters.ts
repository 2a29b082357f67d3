/**
 * Parameters that no request can have.
 */
import { operations } from "../../call/Operation.ts"
import { isKnown, isSlip, meantBy, operationsWith } from "../KnownParameters.ts"
import { reachedBy } from "./Reach.ts"
import type { Survey } from "./Survey.ts"
import { type Check, type SurveyedDocument } from "./Survey.ts"
import { type Path, quoted, type Warning } from "./Warning.ts"

/** How many characters a name has at least that is taken for a slip: beside the API's own parameters, and beside any. */
export const tellingLength = { alone: 6, besideTools: 8 }

/** Parameters that no request can have. */
export const unknownParameters: Check = function* (entry, survey) {
  const { document, needs, specs } = entry
  for (const placed of specs.values())
    for (const { name, path, pattern } of placed) yield* unknownParameter(name, path, [pattern], entry, survey)
  for (const [pattern, denied] of Object.entries(document.constraints?.denied_parameters ?? {}))
    for (const name of Object.keys(denied))
      yield* unknownParameter(name, ["constraints", "denied_parameters", pattern, name], [pattern], entry, survey)
  for (const { condition, path, resources = ["**"] } of needs)
    for (const name of condition?.parameters ?? []) yield* unknownParameter(name, path, resources, entry, survey)
}

const unknownParameter = function* (
  name: string,
  path: Path,
  patterns: ReadonlyArray<string>,
  entry: SurveyedDocument,
  survey: Survey
): Iterable<Warning> {
  const reached = patterns.map((pattern) => reachedBy(pattern, entry, survey))
  const names = [...new Set(reached.flatMap((one) => one.names))]
  if (names.length === 0 || names.some((one) => isKnown(name, one))) return
  const besideTools = reached.some(({ tools }) => tools)
  const meant = names.map((one) => meantBy(name, one)).find((one) => one !== undefined)
  const slip = meant !== undefined && isSlip(name, meant, tellingLength[besideTools ? "besideTools" : "alone"])
  if (besideTools && !slip) return
  const elsewhere = operationsWith(name)
  const of = names.map((one) => operations[one].telemetry.replace("_", " ")).join(" or ")
  yield {
    ...(!slip && elsewhere.length === 0 && { severity: "note" }),
    code: "unknown_parameter",
    path,
    message: `the API has no parameter ${quoted(name)} of a ${of}: a bound on it restricts nothing`,
    hint:
      meant !== undefined
        ? `did you mean ${quoted(meant)}?${slip ? "" : " A server of your own may know it."}`
        : elsewhere.length > 0
          ? `it belongs under ${elsewhere.map((one) => quoted(`tool:*/${one}`)).join(" or ")}`
          : "leave it, if the server that is called knows it, or if it is newer than this library"
  }
}
