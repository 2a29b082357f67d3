/**
 * Records and reports in words, for people.
 */
import type { Line } from "../audit/Log.ts"
import type { ReadRecord } from "../audit/Record.ts"
import type { Problem, Report } from "../audit/proof/Verify.ts"
import { visible } from "../base/Text.ts"

/** `2026-11-23 06:53:19.123Z` */
export const time = (ms: number): string => {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString().replace("T", " ")
}

/** One line about a record. */
export const recordLine = ({ index, record }: Line): string =>
  record === undefined
    ? `${index}  not a valid record: verify this log`
    : `${index}  ${time(record.ts)}  ${visible(record.kind).padEnd(14)}  ${visible(about(record))}`

/** A record's fields, a line each. */
export const recordFields = (record: ReadRecord): string =>
  Object.entries(record)
    .map(([name, value]) => `  ${visible(name)}: ${visible(typeof value === "string" ? value : JSON.stringify(value))}`)
    .join("\n")

const about = (record: ReadRecord): string => {
  switch (record.kind) {
    case "log.open":
      return words(record["origin"], record["software"])
    case "log.recovered":
      return `after a crash of boot ${text(record["previous"])}: ${text(record["open"])} calls were open, ${text(record["dropped"])} bytes torn`
    case "log.close":
      return "closed"
    case "key.active":
    case "key.retired":
    case "key.revoked":
      return `${text(record["use"])} key ${text(record["kid"])}`
    case "policy.activated":
      return `${text(record["count"])} policies${record["mode"] === "observe" ? ", observed" : ""}, ${text(record["rev"])}`
    case "policy.rejected":
      return `a change does not load, ${text(record["rev"])} stays: ${text(record["reason"])}`
    case "decision":
      return `${who(record)} ${text(record["verdict"])} ${text(record["tool"])}${optional(" model ", record["model"])}${record["stream"] === true ? " as a stream" : ""}${observed(record)}`
    case "passthrough":
      return `${who(record)} ${text(record["tool"])}${observed(record)}`
    case "refused":
      return `${who(record)} ${text(record["tool"])} by ${text(record["stage"])}: ${codes(record)} (${text(record["status"])})`
    case "refused.many":
      return `${text(record["count"])} requests whose token has no verified signature: ${counts(record["codes"])}${claims(record["samples"])}`
    case "stream.open":
      return words("status", record["status"])
    case "stream.segment":
      return `${text(record["count"])} chunks from chunk ${text(record["from"])}`
    case "stream.close":
      return `${text(record["reason"])}: ${text(record["chunks"])} chunks handed on, ${text(record["received"])} received`
    case "outcome":
      return `${text(record["result"])}${optional(" status ", record["status"])}${optional(" ", record["error"])} after ${text(record["ms"])} ms, attempts ${text(record["attempts"])}${found("; output rules met: ", record["output"])}${found("; observed output rules met: ", record["observed"])}`
    case "tool_call":
      return `${text(record["tool"])} ${text(record["verdict"])}`
    default:
      return ""
  }
}

const member = (holder: unknown, name: string): unknown =>
  typeof holder === "object" && holder !== null ? Object.entries(holder).find(([key]) => key === name)?.[1] : undefined

const who = (record: ReadRecord): string => {
  const principal = record["principal"]
  return principal === undefined
    ? "somebody"
    : `${text(member(principal, "kind"))}:${text(member(principal, "id"))}${optional(" of ", member(principal, "iss"))}`
}

const counts = (codes: unknown): string =>
  Array.isArray(codes)
    ? codes.map((each) => `${text(member(each, "code"))} ${text(member(each, "count"))}`).join(", ")
    : "?"

/** What tokens say of themselves: the issuers and the key ids that they name. */
const claims = (samples: unknown): string => {
  if (!Array.isArray(samples) || samples.length === 0) return ""
  const named = samples.map((sample) =>
    [`issuer ${text(member(sample, "iss"))}`, `kid ${text(member(sample, "kid"))}`].join(", ")
  )
  return `; they name ${named.join("; ")}`
}

/** What output rules found: where, and whose they are. */
const found = (words: string, said: unknown): string =>
  Array.isArray(said) && said.length > 0
    ? `${words}${said.map((one) => `${text(member(one, "path"))} by ${text(member(one, "policy"))}`).join(", ")}`
    : ""

/** What policies that are only observed would have done. */
const observed = (record: ReadRecord): string => {
  const said = record["observed"]
  const verdict = member(said, "verdict")
  if (said === undefined || verdict === "allow") return ""
  return verdict === "rewrite"
    ? ", which policy would change"
    : `, which policy would refuse: ${listedCodes(member(said, "violations")).join(", ")}`
}

const listedCodes = (violations: unknown): ReadonlyArray<string> =>
  Array.isArray(violations) ? violations.map((violation) => text(member(violation, "code"))) : []

const codes = (record: ReadRecord): string => [text(record["code"]), ...listedCodes(record["violations"])].join(", ")

const text = (value: unknown): string =>
  typeof value === "string" ? value : value === undefined ? "?" : JSON.stringify(value)

const words = (...values: ReadonlyArray<unknown>): string => values.map(text).join(" ")

const optional = (before: string, value: unknown): string => (value === undefined ? "" : `${before}${text(value)}`)

/** A report, for people. */
export const reportLines = (path: string, report: Report): ReadonlyArray<string> => [
  `${visible(path)}: ${report.ok ? "intact" : "NOT INTACT"}`,
  `  ${count(report.records, "record")}${report.from === undefined || report.to === undefined ? "" : `, from ${time(report.from)} to ${time(report.to)}`}`,
  ...(report.origin === ""
    ? []
    : [`  signed: the first ${report.size}, root ${report.root}, by ${visible(report.origin)} (${keyWords(report)})`]),
  ...(report.unsigned === 0 ? [] : [`  not yet signed: ${report.unsigned}`]),
  ...(report.torn === 0
    ? []
    : [`  torn tail: ${count(report.torn, "byte")} after the last record, as a crash leaves them; they are no record`]),
  ...(report.open === 0 ? [] : [`  without an outcome yet: ${count(report.open, "call")}`]),
  ...problemLines(report)
]

const keyWords = (report: Report): string =>
  report.key === "given" ? "the given key" : "the log's own key; --key checks against one that is known from elsewhere"

const problemLines = ({ more, problems }: Report): ReadonlyArray<string> => {
  const [first, ...rest] = problems
  if (first === undefined) return []
  const others = rest.length + more
  return [
    `  ${problemWords(first)}`,
    ...(others === 0 ? [] : [`  and ${count(others, "more problem")} (--json lists them)`])
  ]
}

const problemWords = ({ code, index, message }: Problem): string =>
  `${index === undefined ? "" : `record ${index}: `}${code}: ${visible(message)}`

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`
