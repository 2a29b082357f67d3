/**
 * A record as one line: canonical JSON (RFC 8785) with integers only, never null, at most 61,440 bytes (audit format,
 * "Lines"). One encoder, one strict parser.
 */
import * as Result from "effect/Result"
import { canonicalize, writersAreBuiltIn } from "../base/CanonicalJson.ts"
import type { Head, Kind, LogRecord, ReadRecord } from "./Record.ts"

// Taken here, so that a later patch of the global JSON object changes no line.
const { parse, stringify } = JSON

/** Longest line, in bytes, without its newline. */
export const maximumLine = 61_440

/** How deep a record's objects and lists may nest; the record itself is the first. */
export const maximumNesting = 64

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
  const quick = written === undefined ? undefined : textOf(written)
  // A lone surrogate would stand there as an escape, which RFC 8785 does not know.
  const line = quick === undefined || quick.includes("\\ud") ? textOf(ordered(record, noLimit)) : quick
  if (fits(line)) return line
  for (const limit of limits) {
    const shorter = textOf(ordered({ ...record, shortened: limit }, limit))
    if (fits(shorter)) return shorter
  }
  throw new RangeError(`a record of kind ${record.kind} has more fields than a line can hold`)
}

/** As `JSON.stringify`, whatever `toJSON` other code puts on a built-in prototype. */
const textOf = (value: unknown): string => {
  if (writersAreBuiltIn() || typeof value !== "object" || value === null) return stringify(value)
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item ?? null)).join(",")}]`
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  return `{${members.map(([key, member]) => `${stringify(key)}:${textOf(member)}`).join(",")}}`
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
