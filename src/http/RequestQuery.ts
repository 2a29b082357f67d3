/**
 * The query of a request. Some servers and gateways prefer a parameter in the query to the one in the body, so a query that is
 * not the service's own is as much a part of what is asked as the body is.
 */
import type { RequestQuery } from "../call/Query.ts"

/** Parameters by name, each with its values in order. */
export type QueryValues = ReadonlyMap<string, ReadonlyArray<string>>

/** The parameter by which Azure chooses a version of its API. */
const apiVersion = "api-version"

/** What the SDK's own resources put in the path of a protected call: `beta.responses` asks for `/responses?beta=true`. */
export const sdkQuery: ReadonlyArray<{ readonly below: string; readonly name: string; readonly value: string }> = [
  { below: "/responses", name: "beta", value: "true" }
]

/** What passes in a query besides `api-version`. */
export interface QuerySettings {
  /** Parameters that the service set itself, with the values that they must have. */
  readonly query: QueryValues
  /** Names that any caller may set: the option `allowedQuery`. `include` allows `include[]` as well. */
  readonly allowedQuery: ReadonlySet<string>
}

/** The parameters of a query, `?a=1&b=2` or without the question mark, decoded once; `;` parts them too, as it does for some servers. */
export const queryValues = (search: string): QueryValues => {
  const values = new Map<string, Array<string>>()
  for (const [name, value] of new URLSearchParams(search.replaceAll(";", "&"))) {
    const before = values.get(name)
    if (before === undefined) values.set(name, [value])
    else before.push(value)
  }
  return values
}

/**
 * Reads the query of a URL; undefined where it has none. `path` is that of the endpoint below the base URL (`/responses`).
 * Foreign is every name that is none of these: `api-version`, once and plain; a parameter of the service's, with its very
 * values; what the SDK's resources send by themselves; a name that the service allows.
 */
export const readQuery = (url: string, path: string, settings: QuerySettings): RequestQuery | undefined => {
  const start = url.indexOf("?")
  if (start < 0) return undefined
  const text = new URL(url).search.slice(1)
  if (text === "") return undefined
  const values = queryValues(text)
  const names = [...values.keys()]
  return { text, names, foreign: names.filter((name) => !passes(name, values.get(name) ?? [], path, settings)) }
}

const passes = (
  name: string,
  values: ReadonlyArray<string>,
  path: string,
  { allowedQuery, query }: QuerySettings
): boolean => {
  const [first = "", ...others] = values
  if (name === apiVersion && others.length === 0 && /^[\w.-]*$/.test(first)) return true
  const pinned = query.get(name)
  if (pinned !== undefined && pinned.length === values.length && pinned.every((value, i) => value === values[i]))
    return true
  if (
    others.length === 0 &&
    sdkQuery.some((own) => own.name === name && own.value === first && path.startsWith(own.below))
  )
    return true
  return allowedQuery.has(name) || allowedQuery.has(name.replace(/\[.*$/s, ""))
}
