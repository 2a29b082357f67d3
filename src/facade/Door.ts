/**
 * What a client of the SDK sets on its requests by itself: its base URL, its query, its headers. It is read once, when the
 * client is made, so that whoever holds a clone of it later changes nothing of what the service meant.
 *
 * @since 0.2.0
 */
import type { OpenAI } from "openai"
import type { DoorSettings } from "../http/Admission.ts"
import { type QueryValues, queryValues } from "../http/RequestQuery.ts"

/** The settings of a service's door, and the account that its client asks for, as headers by name in lower case. */
export interface Door extends DoorSettings {
  readonly account: ReadonlyMap<string, string>
}

/** A door before the client is made: nothing is the service's own. */
export const closedDoor: Door = {
  baseURL: "",
  query: new Map(),
  headers: new Map(),
  account: new Map(),
  allowedQuery: new Set(),
  allowedHeaders: new Set()
}

/** What a client sets by itself; what callers may add stays as it was. */
export const doorOf = (client: OpenAI, before: Door): Door => ({
  ...before,
  baseURL: client.baseURL,
  query: ownQuery(client),
  headers: headersOf(client["_options"].defaultHeaders),
  account: headersOf({ "openai-organization": client.organization, "openai-project": client.project })
})

/** The query of the base URL, and the client's default one in its place. */
const ownQuery = (client: OpenAI): QueryValues => {
  const given = client["defaultQuery"]()
  return new Map([
    ...(URL.canParse(client.baseURL) ? queryValues(new URL(client.baseURL).search) : []),
    ...(given === undefined ? [] : queryValues(client["stringifyQuery"](given)))
  ])
}

/** Headers in any of the forms that the SDK takes, by name in lower case. A header that is null is not sent. */
export const headersOf = (given: unknown): ReadonlyMap<string, string> => {
  const headers = new Headers()
  if (typeof given !== "object" || given === null) return new Map()
  if ("values" in given && given.values instanceof Headers) return new Map(given.values)
  const isList = Symbol.iterator in given
  for (const [name, value] of isList ? (given as Iterable<readonly [string, unknown]>) : Object.entries(given)) {
    if (value === undefined) continue
    try {
      // A list adds values, a record gives them.
      if (!isList || value === null) headers.delete(name)
      for (const one of Array.isArray(value) ? value : [value]) if (one !== null) headers.append(name, String(one))
    } catch {
      // The SDK says so itself when it sends the request.
    }
  }
  return new Map(headers)
}
