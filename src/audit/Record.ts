/**
 * What the log's records say, and how a record is one line: canonical JSON (RFC 8785) with integers only, never null, at
 * most 61,440 bytes (audit format §2, §3). One encoder, one strict parser.
 */
import * as Result from "effect/Result"
import type { Usage } from "../answer/Usage.ts"
import { canonicalize } from "../base/CanonicalJson.ts"

// Whatever somebody puts in their place later: the log stays what it is.
const { parse, stringify } = JSON

/** Longest line, in bytes, without its newline. */
export const maximumLine = 61_440

/** How deep a record's objects and lists may nest; the record itself is the first. */
export const maximumNesting = 64

/** How a call ended. */
export type Ending = "complete" | "failed" | "cut" | "abandoned" | "aborted" | "refused" | "unknown"

/** A caller, as records name it. */
export interface RecordPrincipal {
  readonly kind: "app" | "user" | "agent"
  readonly id: string
  readonly iss?: string | undefined
  /** The `sub` of its token, where that is not `id`: with `iss` it is one user, while two issuers may use one name. */
  readonly sub?: string | undefined
  readonly roles?: ReadonlyArray<string> | undefined
  /** Proofs that its login gave. */
  readonly attestations?: ReadonlyArray<string> | undefined
  /** Policy ids that its claims name, at most 32. */
  readonly documents?: ReadonlyArray<string> | undefined
  /** Its issuer could not be reached: a known key counted by the grace that was configured. */
  readonly degraded?: true | undefined
}

/** A quantity that was asked for: the JSON text of a number, boolean or model name. */
export interface RecordQuantity {
  readonly path: string
  readonly value: string
}

/** What a call spends of a limit. `window` slides, and is an ISO 8601 duration. */
export interface RecordClaim {
  readonly amount: number
  /** Names the counter, where that is not the document's. */
  readonly counter?: string | undefined
  readonly limit: number
  /** Each principal has its own share. */
  readonly per: "principal"
  readonly policy: string
  readonly unit: "calls"
  readonly window: string
}

/** What policies that are only observed would have done. */
export interface RecordObserved {
  readonly claims?: ReadonlyArray<RecordClaim> | undefined
  readonly edits: ReadonlyArray<RecordEdit>
  readonly policies: ReadonlyArray<string>
  readonly rev: string
  readonly verdict: "allow" | "rewrite" | "deny" | "pending"
  readonly violations: ReadonlyArray<RecordViolation>
}

/** What a token says of itself that nobody signed, each text cut to 100 bytes. */
export interface RecordClaimed {
  readonly iss?: string | undefined
  readonly kid?: string | undefined
}

/** What was wrong, without its message: that can quote a prompt. */
export interface RecordViolation {
  readonly code: string
  readonly path?: string | undefined
  readonly policy?: string | undefined
}

/** An edit: `from` and `to` are the JSON text of a number, boolean or model name, and of anything else the salted digest. */
export interface RecordEdit {
  readonly path: string
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly policy: string
}

/** What all records have; the journal sets it. */
export interface Head {
  readonly v: 1
  /** How many records stand before it in the log. */
  readonly seq: number
  /** UUIDv7. */
  readonly id: string
  /** Milliseconds since 1970. */
  readonly ts: number
  /** New for every process that opens the log. */
  readonly boot: string
}

/** How the digests of a record were taken: the hash of a salt and of the hash of the bytes. Absent where the old rule holds. */
export type DigestRule = 2

/** The fields of each kind beyond {@link Head} and `kind`. */
export interface Kinds {
  "log.open": { readonly origin: string; readonly vkey: string; readonly software: string }
  "log.recovered": { readonly previous: string; readonly dropped: number; readonly open: number }
  "log.close": {}
  "key.active": KeyFields
  "key.retired": KeyFields
  "key.revoked": KeyFields
  "policy.activated": {
    readonly rev: string
    readonly count: number
    readonly previous?: string | undefined
    /** Absent where the policies hold. */
    readonly mode?: "observe" | undefined
  }
  /** A change of the policies that does not load; `rev` stays in force. */
  "policy.rejected": { readonly rev: string; readonly reason: string }
  decision: {
    readonly call: string
    readonly tool: string
    readonly app: string
    readonly principal: RecordPrincipal
    readonly verdict: "allow" | "rewrite"
    readonly policies: ReadonlyArray<string>
    readonly rev: string
    /** What the call spends of limits: claimed in one step with this record. */
    readonly claims?: ReadonlyArray<RecordClaim> | undefined
    readonly edits: ReadonlyArray<RecordEdit>
    readonly requested: string
    readonly effective: string
    readonly digests?: DigestRule | undefined
    readonly model?: string | undefined
    readonly stream: boolean
    readonly endpoint: string
    readonly kid: string
    readonly inv: string
    readonly parent?: string | undefined
    readonly asked?: ReadonlyArray<RecordQuantity> | undefined
    /** The query with which the provider was asked: its names, and the salted digest of its text. */
    readonly query?: { readonly digest: string; readonly names: ReadonlyArray<string> } | undefined
    /** Names of the headers that were set besides what the SDK sends by itself. */
    readonly headers?: ReadonlyArray<string> | undefined
    readonly observed?: RecordObserved | undefined
  }
  passthrough: {
    readonly call: string
    readonly tool: string
    readonly app: string
    readonly principal: RecordPrincipal
    readonly endpoint: string
    readonly headers?: ReadonlyArray<string> | undefined
    readonly requested?: string | undefined
    readonly parent?: string | undefined
    readonly observed?: RecordObserved | undefined
  }
  refused: {
    readonly call: string
    readonly tool: string
    readonly app: string
    readonly principal?: RecordPrincipal | undefined
    readonly stage: string
    readonly code: string
    readonly status: number
    readonly violations: ReadonlyArray<RecordViolation>
    readonly policies?: ReadonlyArray<string> | undefined
    readonly requested?: string | undefined
    readonly digests?: DigestRule | undefined
    readonly asked?: ReadonlyArray<RecordQuantity> | undefined
  }
  /** Refusals of callers of whose token no signature was verified, from one time to another: of no call, and of nobody. */
  "refused.many": {
    readonly from: number
    readonly to: number
    readonly count: number
    /** How often each reason was given: together `count`. */
    readonly codes: ReadonlyArray<{ readonly code: string; readonly count: number }>
    /** The first different ones, at most 5. */
    readonly samples: ReadonlyArray<RecordClaimed>
  }
  "stream.open": { readonly call: string; readonly decision: number; readonly status: number }
  "stream.segment": {
    readonly call: string
    readonly from: number
    readonly count: number
    readonly digest: string
  }
  "stream.close": {
    readonly call: string
    readonly reason: Ending
    readonly chunks: number
    readonly received: number
    readonly digest: string
  }
  outcome: {
    readonly call: string
    readonly decision: number
    readonly result: Ending
    readonly attempts: number
    readonly status?: number | undefined
    readonly error?: string | undefined
    readonly request?: string | undefined
    readonly response?: string | undefined
    readonly digests?: DigestRule | undefined
    readonly usage?: Usage | undefined
    /** What output rules found in the answer: why it was refused, or what is only recorded. */
    readonly output?: ReadonlyArray<RecordViolation> | undefined
    /** What output rules of policies that are only observed found. */
    readonly observed?: ReadonlyArray<RecordViolation> | undefined
    readonly ms: number
  }
  tool_call: {
    readonly call: string
    readonly tool: string
    readonly arguments: string
    readonly digests?: DigestRule | undefined
    readonly verdict: "allow" | "deny" | "pending"
  }
}

interface KeyFields {
  readonly use: "agent" | "log" | "policy" | "salt"
  readonly kid: string
  readonly jwk?: Readonly<Record<string, string>> | undefined
  readonly vkey?: string | undefined
}

/** The name of a kind of record. */
export type Kind = keyof Kinds

/** What a writer says; the journal adds the {@link Head}. */
export type Body = { readonly [K in Kind]: { readonly kind: K } & Kinds[K] }[Kind]

/** A record that this version wrote. */
export type LogRecord = Head & Body

/** A record as read: the head and the kind are checked, the other fields are whatever the line says. */
export interface ReadRecord extends Head {
  readonly kind: string
  readonly [field: string]: unknown
}

// ---------------------------------------------------------------------------------------------------------------------
// Writing
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The line of a record, without its newline. A number that is no safe integer becomes its text, null and undefined are
 * left out, lone surrogates are replaced. A record that would be too long is shortened, never lost: texts and lists are
 * cut to the first limits of {@link limits} that do, and `shortened` says to which.
 */
export const encode = (record: LogRecord): string => {
  const written = laidOut(record)
  const quick = written === undefined ? undefined : stringify(written)
  // A lone surrogate would stand there as an escape, which RFC 8785 does not know.
  const line = quick === undefined || quick.includes("\\ud") ? stringify(ordered(record, noLimit)) : quick
  if (fits(line)) return line
  for (const limit of limits) {
    const shorter = stringify(ordered({ ...record, shortened: limit }, limit))
    if (fits(shorter)) return shorter
  }
  throw new RangeError(`a record of kind ${record.kind} has more fields than a line can hold`)
}

/** How much of a text (in UTF-16 code units) and of a list (in items) a record that would be too long keeps. */
const limits = [
  { text: 4096, list: 256 },
  { text: 1024, list: 64 },
  { text: 256, list: 16 },
  { text: 128, list: 4 }
]
const noLimit = { text: Infinity, list: Infinity }

// At most three bytes of UTF-8 for a UTF-16 code unit: short lines need no count.
const fits = (line: string): boolean => line.length * 3 <= maximumLine || Buffer.byteLength(line) <= maximumLine

/**
 * The fields of the records that every call leaves, in the order of RFC 8785 §3.2.3. Others are put in order as they come.
 */
const layouts: Readonly<Record<string, ReadonlyArray<string>>> = {
  decision:
    "app,asked,boot,call,claims,digests,edits,effective,endpoint,headers,id,inv,kid,kind,model,observed,parent,policies,principal,query,requested,rev,seq,stream,tool,ts,v,verdict".split(
      ","
    ),
  outcome:
    "attempts,boot,call,decision,digests,error,id,kind,ms,observed,output,request,response,result,seq,status,ts,usage,v".split(
      ","
    ),
  "stream.open": "boot,call,decision,id,kind,seq,status,ts,v".split(","),
  "stream.segment": "boot,call,count,digest,from,id,kind,seq,ts,v".split(","),
  "stream.close": "boot,call,chunks,digest,id,kind,reason,received,seq,ts,v".split(",")
}

/** The record by its layout; undefined where it has none, has more fields than that, or is not in canonical order inside. */
const laidOut = (record: object & { readonly kind: Kind }): object | undefined => {
  const layout = layouts[record.kind]
  if (layout === undefined) return undefined
  const fields = record as Readonly<Record<string, unknown>>
  const members: Record<string, unknown> = {}
  let left = 0
  for (const key in fields) if (fields[key] !== undefined) left++
  for (const key of layout) {
    const member = fields[key]
    if (member === undefined) continue
    if (!isCanonical(member)) return undefined
    members[key] = member
    left--
  }
  return left === 0 ? members : undefined
}

/** True where `JSON.stringify` writes a value as RFC 8785 asks for, lone surrogates aside. */
const isCanonical = (value: unknown): boolean => {
  if (typeof value !== "object") return typeof value !== "number" || Number.isSafeInteger(value)
  if (value === null) return false
  if (Array.isArray(value)) return value.every((item) => item !== undefined && isCanonical(item))
  const members = value as Readonly<Record<string, unknown>>
  let last = ""
  for (const key in members) {
    if (key <= last || !isCanonical(members[key])) return false
    last = key
  }
  return true
}

/**
 * The value with its members in the order of RFC 8785 §3.2.3. With keys in order, integers and well-formed strings only,
 * `JSON.stringify` writes what RFC 8785 asks for. Keys must be ASCII and not look like an array index.
 */
const ordered = (value: unknown, limit: { readonly text: number; readonly list: number }): unknown => {
  switch (typeof value) {
    case "string":
      return (value.length > limit.text ? `${value.slice(0, limit.text)}…` : value).toWellFormed()
    case "number":
      return Number.isSafeInteger(value) ? value : String(value)
    case "boolean":
      return value
    case "object": {
      if (value === null) return undefined
      if (Array.isArray(value)) {
        const items = value.length > limit.list ? value.slice(0, limit.list) : value
        return items.map((item) => ordered(item, limit)).filter((item) => item !== undefined)
      }
      const members: Record<string, unknown> = {}
      if (hasMembers(value))
        for (const key of Object.keys(value).sort()) {
          // Limits are recounted from all claims.
          const member = ordered(value[key], key === "claims" ? noLimit : limit)
          if (member !== undefined) members[key] = member
        }
      return members
    }
    default:
      return undefined
  }
}

const hasMembers = (value: object): value is Readonly<Record<string, unknown>> => !Array.isArray(value)

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Reads a line, without its newline and already decoded from UTF-8 (audit format §2). `seq` is not compared with a place:
 * that is the caller's. The failure says what is wrong.
 */
export const parseLine = (line: string): Result.Result<ReadRecord, string> => {
  if (!fits(line)) return Result.fail(`the line is longer than ${maximumLine} bytes`)
  let value: unknown
  try {
    value = parse(line)
  } catch {
    return Result.fail("the line is not JSON")
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return Result.fail("the line is not a JSON object")
  const scan = { inOrder: true, ascii: ascii.test(line) }
  const fault = findFault(value, scan, 1)
  if (fault !== undefined) return Result.fail(fault)
  // With keys in order JSON.stringify is RFC 8785, but for escaped lone surrogates, which it lets pass.
  const canonical = scan.inOrder && !line.includes("\\ud") ? stringify(value) === line : line === tryCanonicalize(value)
  if (!canonical) return Result.fail("the line is not its own canonical form (RFC 8785)")
  return isRecord(value) ? Result.succeed(value) : Result.fail(headFault(value))
}

const tryCanonicalize = (value: unknown): string | undefined => {
  try {
    return canonicalize(value)
  } catch {
    return undefined
  }
}

/** What is noticed on the way through a value: keys that are not in order; and whether the whole line is ASCII. */
interface Scan {
  inOrder: boolean
  readonly ascii: boolean
}

const findFault = (value: unknown, scan: Scan, depth: number): string | undefined => {
  switch (typeof value) {
    case "number":
      return Number.isSafeInteger(value) ? undefined : "a number is not an integer within ±(2^53 − 1)"
    case "object":
      break
    default:
      return undefined
  }
  if (value === null) return "a value is null"
  if (depth > maximumNesting) return `it is nested deeper than ${maximumNesting} levels`
  if (Array.isArray(value)) {
    for (const item of value) {
      const fault = findFault(item, scan, depth + 1)
      if (fault !== undefined) return fault
    }
    return undefined
  }
  const members = value as Readonly<Record<string, unknown>>
  let before = ""
  for (const key of Object.keys(members)) {
    if (key < before) scan.inOrder = false
    before = key
    if (!scan.ascii && !ascii.test(key)) return "a key is not ASCII"
    const member = members[key]
    if (typeof member === "string") continue
    const fault = findFault(member, scan, depth + 1)
    if (fault !== undefined) return fault
  }
  return undefined
}

// eslint-disable-next-line no-control-regex
const ascii = /^[\x00-\x7f]*$/

const heads: { readonly [K in keyof Head | "kind"]: (u: unknown) => boolean } = {
  v: (u) => u === 1,
  seq: (u) => typeof u === "number" && u >= 0,
  id: (u) => typeof u === "string",
  ts: (u) => typeof u === "number",
  boot: (u) => typeof u === "string",
  kind: (u) => typeof u === "string"
}

const headFields = Object.entries(heads)

const isRecord = (value: object): value is ReadRecord =>
  hasMembers(value) && headFields.every(([name, holds]) => holds(value[name]))

const headFault = (value: object): string => {
  const missing = headFields.filter(([name, holds]) => !(hasMembers(value) && holds(value[name]))).map(([name]) => name)
  return `the record's ${missing.join(", ")} is missing or wrong`
}
