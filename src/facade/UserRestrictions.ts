/**
 * What the holder of a user's client may set. The client is the service's, lent to a user: whoever holds it asks what policy
 * lets the user ask, and decides how long to wait and where the SDK logs. Where requests go, by what and on whose account is
 * pinned.
 */
import type { ClientOptions, OpenAI } from "openai"
import { ConfigurationError } from "../call/SdkErrors.ts"
import type { AdmissionFault } from "../http/Admission.ts"
import { isOpen } from "../http/RequestHeaders.ts"
import type { ServiceSettings } from "./ServiceSettings.ts"
import type { RequestOptions } from "./Options.ts"
import { entriesOf, type HeaderEntry } from "./HeaderEntries.ts"
import { serviceHeaders } from "./SealedRequest.ts"

/** Options of the SDK that `withOptions` of a user's client takes as they are. */
export const holdersOptions = ["timeout", "maxRetries", "logger", "logLevel"] as const satisfies ReadonlyArray<
  keyof ClientOptions
>

/**
 * Whether a user may set a header, by its name in lower case, on a request that was judged already: one that chooses nothing, and
 * that says nothing of how the body reads.
 */
export const mayBeSet =
  ({ allowedHeaders }: Pick<ServiceSettings, "allowedHeaders">) =>
  (name: string): boolean =>
    (isOpen(name) && !name.startsWith("content-")) || allowedHeaders.has(name)

/** What was asked for in a clone of a user's client. */
export interface CloneOptions {
  readonly own: Partial<ClientOptions>
  /** Default headers and query, the service's own among them; undefined where none were given. */
  readonly defaults: Pick<ClientOptions, "defaultHeaders" | "defaultQuery"> | undefined
}

/**
 * Reads the options of `withOptions` on a user's client, whose requests `maker` builds. What says the same as the client is
 * left out. Throws a `ConfigurationError` for an option that is the service's.
 */
export const cloneOptionsOf = (
  options: Partial<ClientOptions>,
  client: OpenAI,
  maker: OpenAI,
  settings: ServiceSettings
): CloneOptions => {
  const { defaultHeaders, defaultQuery, ...others } = options
  const own: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(others)) {
    if (isHolders(name)) own[name] = value
    else if (value !== undefined && value !== Reflect.get(client, name)) throw pinnedError(name)
  }
  const headers = headersOf(defaultHeaders, maker, settings)
  const query = queryOf(defaultQuery, maker, settings)
  return {
    own,
    defaults:
      headers === undefined && query === undefined
        ? undefined
        : {
            ...(headers && { defaultHeaders: headers.map((entry) => [...entry]) }),
            ...(query && { defaultQuery: query })
          }
  }
}

const isHolders = (name: string): boolean => holdersOptions.some((known) => known === name)

/** The service's default headers with those that were given; undefined where none were. */
const headersOf = (
  given: unknown,
  maker: OpenAI,
  settings: ServiceSettings
): ReadonlyArray<HeaderEntry> | undefined => {
  const wanted = entriesOf(given)
  if (wanted.length === 0) return undefined
  const own = entriesOf(maker["_options"].defaultHeaders)
  for (const [name, value] of wanted)
    if (!mayBeSet(settings)(name) && !own.some((entry) => entry[0] === name && entry[1] === value))
      throw pinnedError(`default header ${name}`)
  const names = new Set(wanted.map(([name]) => name))
  return [...own.filter(([name]) => !names.has(name)), ...wanted]
}

/** The service's default query with what was given; undefined where nothing was. */
const queryOf = (
  given: ClientOptions["defaultQuery"],
  maker: OpenAI,
  { allowedQuery }: ServiceSettings
): ClientOptions["defaultQuery"] => {
  if (given === undefined || given === null || Object.keys(given).length === 0) return undefined
  const own = maker["_options"].defaultQuery
  for (const [name, value] of Object.entries(given))
    if (name !== "api-version" && !allowedQuery.has(name) && own?.[name] !== value)
      throw pinnedError(`default query ${name}`)
  return { ...own, ...given }
}

/** A copy of a request's options that whoever made them has no part in: what is judged of them is what the SDK reads. */
export const ownCopy = (options: RequestOptions): RequestOptions => {
  const given = { ...options }
  const { __security } = given
  if (__security !== undefined)
    given.__security = {
      bearerAuth: Boolean(__security.bearerAuth),
      adminAPIKeyAuth: Boolean(__security.adminAPIKeyAuth)
    }
  return given
}

/**
 * Why an option of one request is not for a user; undefined where none is. A protected request's answer is read by the classes
 * of ours alone, `readers`.
 */
export const foreignOption = (
  { __security, __streamClass, __streamMode, __synthesizeEventData, fetchOptions, headers }: RequestOptions,
  maker: OpenAI,
  readers: ReadonlyArray<unknown> | undefined
): AdmissionFault | undefined => {
  if (fetchOptions !== undefined && fetchOptions !== null) return foreign("fetchOptions")
  const own = serviceHeaders(maker)
  const removed = entriesOf(headers).find(([name, value]) => value === null && own.has(name))
  if (removed !== undefined)
    return {
      code: "foreign_header",
      message: `the header ${removed[0]} is the service's to set, not the user's`,
      hint: "leave it out: the service sets it"
    }
  if (__security?.adminAPIKeyAuth === true) return foreign("__security")
  if (readers === undefined) return undefined
  if (__streamClass !== undefined && !readers.includes(__streamClass)) return foreign("__streamClass")
  if (__streamMode !== undefined) return foreign("__streamMode")
  return __synthesizeEventData === undefined ? undefined : foreign("__synthesizeEventData")
}

const foreign = (name: string): AdmissionFault => ({
  code: "foreign_option",
  message: `the option ${name} is the service's to set, not the user's`,
  hint: "leave it out, or set it where the service's client is made"
})

const pinnedError = (name: string): ConfigurationError =>
  new ConfigurationError(
    `The ${name} of a user's client is its service's. Set it where the service's client is made; withOptions takes ${holdersOptions.join(", ")} here.`
  )

/** Members of a client that say where requests go, by what and on whose account. */
export const pinnedMembers = [
  "apiKey",
  "adminAPIKey",
  "organization",
  "project",
  "baseURL",
  "fetch",
  "fetchOptions",
  "_options",
  "_provider",
  "apiVersion",
  "deploymentName"
] as const

/** Methods between the decision and the answer: what they are given is not the holder's to see. */
export const pinnedMethods = [
  "buildRequest",
  "prepareRequest",
  "fetchWithAuth",
  "fetchWithTimeout",
  "makeRequest",
  "retryRequest",
  "shouldRetry",
  "makeStatusError",
  "responsePromise",
  "parseResponseWithTimeout"
] as const

/**
 * Pins a user's client: to assign one of these members throws a `ConfigurationError`. What leaves does not depend on it; it
 * tells a holder at once, and keeps an answer from being read before it was judged. `configurable` lets fields of a class of
 * one's own take a member's place while the client is made.
 */
export const pin = <Client extends OpenAI>(client: Client, configurable: boolean): Client => {
  const values: Record<string, unknown> = {}
  for (const [name, { get, set }] of accessors) {
    if (!(name in client)) continue
    const own = Object.getOwnPropertyDescriptor(client, name)
    if (own !== undefined && !(own.configurable === true && "value" in own)) continue
    if (own !== undefined) values[name] = own.value
    Object.defineProperty(client, name, { configurable, enumerable: own?.enumerable ?? false, get, set })
  }
  Object.defineProperty(client, pinned, { value: Object.freeze(values) })
  return client
}

/** Holds the values of pinned members that are a client's own. It is found through a tracer's proxy for a client, too. */
const pinned = Symbol("secure-openai/pinned")

type Accessor = Required<Pick<PropertyDescriptor, "get" | "set">>

const accessorOf = (name: string): Accessor => ({
  get(this: object): unknown {
    const values: unknown = Reflect.get(this, pinned)
    return typeof values === "object" && values !== null && Object.hasOwn(values, name)
      ? Reflect.get(values, name)
      : Reflect.get(Object.getPrototypeOf(this) as object, name)
  },
  set(): never {
    throw pinnedError(name)
  }
})

/** One pair of functions a member for all clients: with pairs of its own each would have a shape of its own, which engines pay for. */
const accessors: ReadonlyArray<readonly [name: string, Accessor]> = [...pinnedMembers, ...pinnedMethods].map(
  (name) => [name, accessorOf(name)] as const
)
