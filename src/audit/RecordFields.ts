/**
 * Fields of records about calls: what of a call, its principal and its edits may stand in the log, and how it is spelt.
 */
import type { ToolCall } from "../answer/ToolCall.ts"
import type { Prepared } from "../call/States.ts"
import { Content } from "../base/Content.ts"
import type { Call } from "../call/Call.ts"
import type { Meta } from "../call/Reply.ts"
import type { Decision, Edit, Violation } from "../call/Decision.ts"
import { isOperation, quantities } from "../call/Operation.ts"
import type { Principal } from "../call/Principal.ts"
import { salted, type Salts } from "./Digest.ts"
import { type EndFields, recordViolations } from "./FailureFields.ts"
import type { RecordEdit, RecordObserved, RecordPrincipal, RecordQuantity, RecordViolation } from "./Record.ts"

/** A name that a model or a caller gave is recorded up to here: what is longer is no name, and may be content. */
export const longestName = 128

/** How many policy ids a record repeats of its principal's claims. */
const mostDocuments = 32

/** A caller as records name it: no claims but the names that policies are bound to, no token. */
export const recordPrincipal = (principal: Principal): RecordPrincipal => ({
  attestations: principal.attestations.length === 0 ? undefined : principal.attestations,
  degraded: principal.degraded,
  documents: principal.documents.length === 0 ? undefined : principal.documents.slice(0, mostDocuments),
  id: principal.id,
  iss: principal.issuer,
  kind: principal.kind,
  roles: principal.roles.length === 0 ? undefined : principal.roles,
  sub: principal.subject === principal.id ? undefined : principal.subject
})

/** The user whom a receipt names, by issuer and subject. */
export const userOf = ({
  id,
  issuer,
  subject = id
}: Principal): { readonly iss: string; readonly sub: string } | undefined =>
  issuer === undefined ? undefined : { iss: issuer, sub: subject }

/** Method and URL without what may hold a secret: user info, query and fragment. */
export const recordEndpoint = (endpoint: string): string =>
  endpoint.replace(/[?#].*$/s, "").replace(/\/\/[^/@]*@/, "//")

/** Names of headers, as a record has them; absent where there are none. */
export const recordHeaders = (names: ReadonlyArray<string> = []): ReadonlyArray<string> | undefined =>
  names.length === 0 ? undefined : names.slice(0, 64).map((name) => name.slice(0, longestName))

/** What the head of an answer gives to an outcome. */
export const httpOf = (meta: Meta): Pick<EndFields, "attempts" | "status" | "request"> => ({
  attempts: meta.attempts,
  status: meta.status,
  request: meta.requestId ?? undefined
})

/** A number, a boolean, a model's name, and that something was taken out are recorded as they are; anything else may be content. */
const isPlain = (path: string, value: unknown): boolean =>
  value === null || isNumberOrBoolean(value) || (path === "model" && typeof value === "string")

const isNumberOrBoolean = (value: unknown): value is number | boolean =>
  typeof value === "number" || typeof value === "boolean"

/** The quantities that a call asks for: what the API counts in, and what a policy puts a bound on. */
export const quantitiesOf = (
  call: Call,
  ...bounded: ReadonlyArray<ReadonlyArray<string> | undefined>
): ReadonlyArray<RecordQuantity> | undefined => {
  const { content, operation, params } = call
  const found: Array<RecordQuantity> = []
  for (const path in params) {
    const value = params[path]
    const isBounded = bounded.some((names) => names?.includes(path))
    // A tool may have an argument of that name, which is then no model.
    if (path === "model" && isOperation(operation) && typeof value === "string")
      found.push({ path, value: JSON.stringify(value.slice(0, longestName)) })
    else if ((isBounded || (isOperation(operation) && quantities.has(path))) && isNumberOrBoolean(value))
      found.push({ path, value: content.inexactAt(path)?.slice(0, longestName) ?? JSON.stringify(value) })
  }
  return found.length === 0 ? undefined : found
}

/** What policies that are only observed would have done. */
export const recordObserved = (decision: Decision, salts: Salts, call: string): RecordObserved => ({
  edits: decision.edits.map((edit) => recordEdit(edit, salts, call)),
  policies: decision.policies,
  rev: decision.revision,
  verdict: decision.verdict === "allow" && decision.edits.length > 0 ? "rewrite" : decision.verdict,
  violations: recordViolations(decision)
})

/** What output rules found; absent where they found nothing. */
export const recordFound = (found: ReadonlyArray<Violation> = []): ReadonlyArray<RecordViolation> | undefined =>
  found.length === 0 ? undefined : recordViolations({ violations: found })

/** An edit; a value that may be content stands there as its digest. */
export const recordEdit = (edit: Edit, salts: Salts, call: string): RecordEdit => {
  const valueOf = (value: unknown, side: "from" | "to"): string | undefined =>
    value === undefined
      ? undefined
      : isPlain(edit.path, value)
        ? JSON.stringify(value)
        : salted(salts(call, editField(edit, side)), new Content(JSON.stringify(value)))
  return { from: valueOf(edit.from, "from"), path: edit.path, policy: edit.policy, to: valueOf(edit.to, "to") }
}

const editField = (edit: Edit, side: "from" | "to"): string => `edits/${edit.path}/${side}`

/** The names of the salts that an edit has in its record. */
export const saltedFields = (edit: Edit): ReadonlyArray<string> =>
  (["from", "to"] as const).flatMap((side) =>
    edit[side] === undefined || isPlain(edit.path, edit[side]) ? [] : [editField(edit, side)]
  )

/** What policy decides on a tool that an answer asks for. Arguments that cannot be judged are denied. */
export const toolVerdict = (prepared: Prepared, { args, fault, name }: ToolCall): "allow" | "deny" | "pending" => {
  if (args === undefined || fault !== undefined) return "deny"
  try {
    return prepared.from.judge.tool(name, args)
  } catch {
    return "deny"
  }
}
