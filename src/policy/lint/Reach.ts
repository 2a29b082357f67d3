/**
 * Which operations of the API a resource pattern reaches.
 */
import { isOperation, type OperationName, operations } from "../../call/Operation.ts"
import { isAnywhere } from "./Overlap.ts"
import { scheme } from "./IdlePattern.ts"
import type { Survey } from "./Survey.ts"
import { type SurveyedDocument, listsOf } from "./Survey.ts"

/** Whether a pattern matches an operation of the API, of one app at least. */
export const reachesOperation = (pattern: string, { meet }: Survey): boolean =>
  Object.keys(operations).some((name) => meet([pattern, `tool:*/${name}`]) === true)

/** The operation that every resource of a pattern is; `undefined` where some are tools, or of several. */
export const onlyOperation = (pattern: string): OperationName | undefined => {
  const last = pattern.slice(pattern.lastIndexOf("/") + 1)
  return !isAnywhere(pattern) && pattern.includes("/") && isOperation(last) && scheme.exec(pattern)?.[1] !== "api"
    ? last
    : undefined
}

/** The operations that a document lets a pattern reach, and whether it reaches tools as well. */
export const reachedBy = (
  pattern: string,
  entry: SurveyedDocument,
  survey: Survey
): { readonly names: ReadonlyArray<OperationName>; readonly tools: boolean } => {
  const only = onlyOperation(pattern)
  if (only !== undefined) return { names: [only], tools: false }
  const names = Object.values(operations)
    .map(({ name }) => name)
    .filter((name) => survey.meet([pattern, `tool:*/${name}`]) === true)
  // Where a list of resources names operations alone, no pattern reaches more.
  const listed = listsOf(entry)
    .map((list) => list.map(onlyOperation))
    .find((list) => list.every((name) => name !== undefined))
  return listed === undefined
    ? { names, tools: true }
    : { names: names.filter((name) => listed.includes(name)), tools: false }
}
