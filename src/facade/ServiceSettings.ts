/**
 * What a client of the SDK sets on its requests by itself: its base URL, its query, its headers. It is read once, when the
 * client is made, so that whoever holds a clone of it later changes nothing of what the service meant.
 */
import type { OpenAI } from "openai"
import type { AdmissionSettings } from "../http/Admission.ts"
import { type QueryValues, queryValues } from "../http/RequestQuery.ts"
import { headersOf } from "./HeaderEntries.ts"

/** What a service's client sets on its requests, and the account that its client asks for, as headers by name in lower case. */
export interface ServiceSettings extends AdmissionSettings {
  readonly account: ReadonlyMap<string, string>
}

/** The settings before the client is made: nothing is the service's own. */
export const noSettings: ServiceSettings = {
  baseURL: "",
  query: new Map(),
  headers: new Map(),
  account: new Map(),
  allowedQuery: new Set(),
  allowedHeaders: new Set()
}

/** What a client sets by itself; what callers may add stays as it was. */
export const settingsOf = (client: OpenAI, before: ServiceSettings): ServiceSettings => ({
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
