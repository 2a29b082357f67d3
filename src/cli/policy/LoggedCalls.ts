/**
 * The calls in a log, as far as it records them: the caller, the resource, the model and quantities, and the decision. A log
 * holds no texts.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { folderReader } from "../../audit/folder/FolderReader.ts"
import { readLines } from "../../audit/Lines.ts"
import type { Json, JsonObject } from "../../base/Json.ts"
import type { FamilyUse } from "../../call/Families.ts"
import { familyUseAt } from "../../call/Operation.ts"
import { type Principal, policyId } from "../../call/Principal.ts"

const optional = Schema.optionalKey
const Texts = Schema.Array(Schema.String)

const LoggedPrincipal = Schema.Struct({
  kind: Schema.Literals(["app", "user", "agent"]),
  id: Schema.String,
  iss: optional(Schema.String),
  sub: optional(Schema.String),
  roles: optional(Texts),
  attestations: optional(Texts),
  documents: optional(Texts)
})

const LoggedEdit = Schema.Struct({
  path: Schema.String,
  from: optional(Schema.String),
  to: optional(Schema.String),
  policy: Schema.String
})

/** What policies that were only observed would have done. */
export const LoggedObservation = Schema.Struct({
  verdict: Schema.Literals(["allow", "rewrite", "deny", "pending"]),
  rev: Schema.String,
  policies: Texts,
  violations: Schema.Array(
    Schema.Struct({ code: Schema.String, path: optional(Schema.String), policy: optional(Schema.String) })
  ),
  edits: Schema.Array(LoggedEdit)
})
export interface LoggedObservation extends Schema.Struct.Type<typeof LoggedObservation.fields> {}

const Logged = Schema.Struct({
  kind: Schema.Literals(["decision", "passthrough", "refused"]),
  ts: Schema.Int,
  tool: Schema.String,
  app: Schema.String,
  principal: LoggedPrincipal,
  stage: optional(Schema.String),
  endpoint: optional(Schema.String),
  violations: optional(Schema.Array(Schema.Struct({ code: Schema.String }))),
  model: optional(Schema.String),
  policies: optional(Texts),
  edits: optional(Schema.Array(LoggedEdit)),
  asked: optional(Schema.Array(Schema.Struct({ path: Schema.String, value: Schema.String }))),
  observed: optional(LoggedObservation)
})

/** A call that the log records. */
export interface LoggedCall {
  /** Index of its record. */
  readonly index: number
  /** When it was decided, in milliseconds since 1970. */
  readonly at: number
  readonly principal: Principal
  readonly app: string
  /** `tool:my-app/generate`, `api:my-app/models`. */
  readonly resource: string
  /** The model and the quantities that it asked for. */
  readonly params: JsonObject
  /** Of a family: what it did about models. */
  readonly use: FamilyUse
  readonly allowed: boolean
  readonly observed: LoggedObservation | undefined
}

/** A caller in a list of calls: the policy id, and for a user the issuer, for users of two issuers may have one name. */
export interface LoggedCaller {
  readonly who: string
  readonly issuer?: string
}

/** The caller as lists name it. */
export const callerOf = (principal: Principal): LoggedCaller => ({
  who: policyId(principal),
  ...(principal.issuer !== undefined && { issuer: principal.issuer })
})

/** Who called, in words: with the issuer where the rows are of users of several. */
export const callerWords = (
  { issuer, who }: LoggedCaller,
  rows: ReadonlyArray<{ readonly what: LoggedCaller }>
): string =>
  issuer === undefined || rows.every(({ what }) => what.issuer === undefined || what.issuer === issuer)
    ? who
    : `${who} of ${issuer}`

/** A record that is not valid. A count of calls must not skip it. */
class InvalidRecord extends Schema.TaggedError<InvalidRecord>()("InvalidRecord", { message: Schema.String }) {}

/**
 * The calls in a log's folder that policy let go or refused, oldest first. Calls that were refused for another reason than
 * policy are left out. Throws {@link InvalidRecord}, and what the file system throws.
 */
export async function* loggedCalls(path: string): AsyncGenerator<LoggedCall> {
  for await (const { index, record } of readLines(folderReader(path))) {
    if (record === undefined)
      throw new InvalidRecord({
        message: `Record ${index} of the log at ${path} is not valid; run "secure-openai audit verify" for the reason.`
      })
    const call = Option.getOrUndefined(decode(record))
    if (call === undefined || (call.kind === "refused" && call.stage !== "policy" && call.stage !== "rewriting"))
      continue
    yield {
      index,
      at: call.ts,
      principal: principalOf(call),
      app: call.app,
      resource: call.tool,
      params: paramsOf(call),
      use: useOf(call),
      allowed: call.kind !== "refused",
      observed: call.observed
    }
  }
}

const decode = Schema.decodeUnknownOption(Logged)

const Begun = Schema.Struct({ kind: Schema.Literal("decision"), call: Schema.String, tool: Schema.String })
const Ended = Schema.Struct({
  kind: Schema.Literal("outcome"),
  call: Schema.String,
  result: Schema.String,
  output: optional(Schema.Array(Schema.Unknown))
})
const decodeBegun = Schema.decodeUnknownOption(Begun)
const decodeEnded = Schema.decodeUnknownOption(Ended)

/** How a call ends whose tool was there. One that is not registered is decided, and then refused without an answer. */
const ran: ReadonlySet<string> = new Set(["complete", "failed", "cut", "abandoned"])

/** The resources of which some call ran, by the log in a folder: `tool:my-app/pay`. */
export const resourcesThatRan = async (path: string): Promise<ReadonlySet<string>> => {
  const found = new Set<string>()
  const open = new Map<string, string>()
  for await (const { record } of readLines(folderReader(path))) {
    const begun = Option.getOrUndefined(decodeBegun(record))
    if (begun !== undefined && !found.has(begun.tool)) open.set(begun.call, begun.tool)
    const ended = Option.getOrUndefined(decodeEnded(record))
    const tool = ended && open.get(ended.call)
    if (ended === undefined || tool === undefined) continue
    open.delete(ended.call)
    if (ran.has(ended.result) || ended.output !== undefined) found.add(tool)
  }
  return found
}

type Logged = typeof Logged.Type

const claimed = /^(?:company|bu|team|role|group):/u

/** The caller as policies know it. Of many claims a record names the first, and every document that took part. */
const principalOf = ({ policies = [], principal }: Logged): Principal => {
  const { attestations = [], documents = [], id, iss, kind, roles = [], sub = id } = principal
  const known =
    kind === "user" ? [...new Set([...documents, ...policies.filter((policy) => claimed.test(policy))])] : []
  return {
    kind,
    id,
    ...(iss !== undefined && { issuer: iss, subject: sub }),
    roles,
    groups: known.filter((policy) => policy.startsWith("group:")).map((policy) => policy.slice("group:".length)),
    documents: known,
    attestations,
    claims: {}
  }
}

/** A refusal has no endpoint: where the family had to be named, it was for what passes for nobody. */
const useOf = ({ endpoint, kind, tool, violations = [] }: Logged): FamilyUse => {
  if (!tool.startsWith("api:")) return "passes"
  if (kind === "passthrough" && endpoint !== undefined)
    return familyUseAt(endpoint, tool.slice(tool.lastIndexOf("/") + 1))
  return violations.some(({ code }) => code === "resource_not_allowed") ? "reaches_model" : "passes"
}

/** What was asked; where an older record does not tell, what its edits say of it. */
const paramsOf = ({ asked, edits = [], model }: Logged): JsonObject => {
  const quantities = asked ?? [
    ...(model === undefined ? [] : [{ path: "model", value: JSON.stringify(model) }]),
    ...edits.flatMap(({ from, path }) => (from === undefined ? [] : [{ path, value: from }]))
  ]
  return Object.fromEntries(
    quantities.flatMap(({ path, value }): ReadonlyArray<readonly [string, Json]> => {
      const read = recordedScalar(value)
      return read === undefined ? [] : [[path, read]]
    })
  )
}

/** The number, boolean or model's name that a record tells; a digest of something else is none. */
export const recordedScalar = (text: string): string | number | boolean | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : undefined
  } catch {
    return undefined
  }
}
