/**
 * Ids and names that nothing has, or that differ from others in case or in a letter only.
 */
import { editDistance } from "../../base/Nearest.ts"
import { isOperation, operations } from "../../call/Operation.ts"
import { nearest } from "../Fault.ts"
import type { PolicySet } from "../PolicySet.ts"
import { namesOf, respelled } from "./Named.ts"
import type { Check } from "./Survey.ts"
import { quoted } from "./Warning.ts"

const scopes = ["company", "bu", "team", "role", "group", "user", "app", "agent"]

/** An id that no caller and no service can have, and that no document extends. */
export const unknownScope: Check = function* ({ id }, survey) {
  const [, scope] = /^([^:]*):/u.exec(id) ?? []
  if ((scope !== undefined && scopes.includes(scope)) || survey.parents.has(id)) return
  const meant = nearest(scope ?? id, scopes)
  yield {
    code: "unknown_scope",
    path: ["policy_id"],
    message: `nothing names ${quoted(id)}: no caller or service has such an id, and no document extends it`,
    hint:
      meant === undefined
        ? `an id begins with ${scopes.map((one) => `${one}:`).join(", ")}`
        : `did you mean ${quoted(scope === undefined ? `${meant}:…` : `${meant}${id.slice(scope.length)}`)}?`
  }
}

/** Names that differ from a document's, or from the API's, in case only. */
export const caseDifferences: Check = function* (entry, survey) {
  const { denied, document, id, keys, needs, resources } = entry
  const first = survey.spelling({ kind: "id", name: id })
  if (first !== undefined && first.name !== id)
    yield {
      code: "case_differs",
      path: ["policy_id"],
      message: `${quoted(id)} and ${quoted(first.name)} differ in case only, and a caller has one of the two ids`,
      hint: "case counts: write it as the token or the app does, and keep one"
    }
  const listed = new Set(resources.map((resource) => resource.toLowerCase()))
  const placed = [
    ...resources.map((pattern, index) => ({ pattern, path: ["resources", index] })),
    // `uselessPatterns` warns where it differs from a resource of the same document.
    ...denied.flatMap((pattern, index) =>
      listed.has(pattern.toLowerCase()) ? [] : [{ pattern, path: ["denied_resources", index] }]
    ),
    ...keys
  ]
  for (const { path, pattern } of placed)
    for (const named of namesOf(pattern)) {
      const usual = survey.spelling(named)
      if (usual === undefined || usual.name === named.name) continue
      yield {
        code: "case_differs",
        path,
        message: `${quoted(pattern)} writes ${quoted(named.name)} and ${usual.where} writes ${quoted(usual.name)}, so the pattern matches only its own spelling`,
        hint: `case counts: did you mean ${quoted(respelled(pattern, named, usual.name))}?`
      }
    }
  const roles = needs.flatMap(({ path, when = "" }) =>
    [...when.matchAll(/\bprincipal\.has_(role|group)\(\s*'([^'\\]*)'/gu)].map(([, kind, name]) => ({
      path,
      name: `${kind}:${name}`
    }))
  )
  const approvers = Object.entries(document.constraints?.attestations ?? {}).flatMap(([key, metadata]) =>
    metadata.approval_criteria === undefined
      ? []
      : [{ path: ["constraints", "attestations", key, "approval_criteria"], name: metadata.approval_criteria }]
  )
  for (const { name, path } of [...roles, ...approvers]) {
    const usual = survey.spelling({ kind: "id", name })
    if (usual !== undefined && !survey.set.has(name))
      yield {
        code: "case_differs",
        path,
        message: `${quoted(name)} differs from the document ${quoted(usual.name)} in case only`,
        hint: `case counts: did you mean ${quoted(usual.name)}?`
      }
  }
}

/** Names of tools that are a slip away from an operation's. A tool may have any name, so these are notes. */
export const misspeltOperations: Check = function* ({ denied, keys, resources }) {
  const placed = [
    ...resources.map((pattern, index) => ({ pattern, path: ["resources", index] })),
    ...denied.map((pattern, index) => ({ pattern, path: ["denied_resources", index] })),
    ...keys
  ]
  for (const { path, pattern } of placed)
    for (const named of namesOf(pattern)) {
      const meant = named.kind === "name" ? nearOperation(named.name.toLowerCase()) : undefined
      if (meant === undefined) continue
      yield {
        severity: "note",
        code: "operation_misspelt",
        path,
        message: `${quoted(pattern)} names a tool ${quoted(named.name)}, and the operation of the API is ${quoted(meant)}`,
        hint: `did you mean ${quoted(respelled(pattern, named, meant))}?`
      }
    }
}

/** The operation that a name is one letter away from, or two neighbours that changed places; undefined for its own name. */
const nearOperation = (name: string): string | undefined =>
  isOperation(name)
    ? undefined
    : Object.keys(operations).find((operation) => {
        const distance = editDistance(name, operation)
        return distance <= 1 || (distance === 2 && sortedLetters(name) === sortedLetters(operation))
      })

const sortedLetters = (text: string): string => [...text].sort().join("")

/** An id that a caller or service has, and the document's that differs from it in case only. */
export interface Lookalike {
  readonly id: string
  readonly document: string
}

/** Of ids without a document, those that have one but for their case. */
export const lookalikes = (set: PolicySet, ids: ReadonlyArray<string>): ReadonlyArray<Lookalike> => {
  const missing = new Map(ids.filter((id) => !set.has(id)).map((id) => [id.toLowerCase(), id]))
  if (missing.size === 0) return []
  return [...set.ids()].flatMap((document) => {
    const id = missing.get(document.toLowerCase())
    return id === undefined ? [] : [{ id, document }]
  })
}
