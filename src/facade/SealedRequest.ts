/**
 * How a user's request leaves: it is built by the service's own client, which the holder of the user's client cannot reach,
 * judged, and sealed. The SDK carries a copy without credentials to the guarded `fetch`, which sends the sealed request in its place.
 * So nothing that the holder sets, overrides or reads on the way has a part in what leaves.
 */
import type { ClientOptions, OpenAI } from "openai"
import { ConfigurationError } from "../call/SdkErrors.ts"
import { entriesOf } from "./HeaderEntries.ts"

type Request = Awaited<ReturnType<OpenAI["buildRequest"]>>["req"]

/** Stands in for an API key where nothing may be sent, or where the key is not the holder's to know. */
export const noApiKey = "no-api-key"

/** Throws a `ConfigurationError` for a request that would be sent without an API key. */
export const requireApiKey = ({ headers }: Request): void => {
  if (headers.get("authorization") === `Bearer ${noApiKey}` || headers.get("api-key") === noApiKey)
    throw new ConfigurationError(
      "This request would go to the provider, but there is no API key: set OPENAI_API_KEY, pass apiKey, or give a layer with an Invocation of its own."
    )
}

/**
 * What a user's client is made with in place of the service's own options: it holds no credentials, and what it would build by
 * itself is not what is sent. `baseURL` is the service's.
 */
export const withoutCredentials = ({ baseURL }: OpenAI): ClientOptions => ({
  apiKey: noApiKey,
  adminAPIKey: null,
  baseURL,
  credential: undefined,
  dataResidency: undefined,
  defaultHeaders: undefined,
  fetchOptions: undefined,
  provider: undefined,
  workloadIdentity: undefined,
  x509Transport: undefined
})

/** The same for the options that the SDK's other client classes, for Azure and for Bedrock, take besides. */
export const withoutCloudCredentials = {
  azureADTokenProvider: undefined,
  bedrockTokenProvider: undefined,
  endpoint: undefined
}

/** Headers by which the SDK's clients say who pays. */
const accountHeaders: ReadonlySet<string> = new Set([
  "authorization",
  "api-key",
  "openai-organization",
  "openai-project"
])

/** Headers, by name in lower case, that are the service's alone: its credentials and account, and its default headers. */
export const serviceHeaders = (maker: OpenAI): ReadonlySet<string> => {
  const known = ofMakers.get(maker)
  if (known !== undefined) return known
  const names = new Set([...accountHeaders, ...entriesOf(maker["_options"].defaultHeaders).map(([name]) => name)])
  ofMakers.set(maker, names)
  return names
}
// A table, for a maker is a client that the SDK constructs, and its names are read once.
const ofMakers = new WeakMap<OpenAI, ReadonlySet<string>>()

/** A request as it was judged, and what the SDK carries to the guarded `fetch` in its place. */
export interface Sealed {
  readonly init: RequestInit & { readonly headers: Headers }
  /** The SDK and hooks of a class of one's own may change its members. */
  readonly carried: RequestInit
  /** What {@link carried} was handed out with. */
  readonly headers: CarriedHeaders
}

/** A header's name in lower case and its value. */
type Row = readonly [name: string, value: string]

/** The headers of a carried request. Most are looked at once, for the SDK's log, and changed by nobody: then they are no more than a list. */
class CarriedHeaders extends Headers {
  /** As they were handed out, in the order of their names. */
  readonly rows: ReadonlyArray<Row>
  #isFilled = false
  #isChanged = false

  constructor(rows: ReadonlyArray<Row>) {
    super()
    this.rows = rows
  }

  /** False while nobody has asked for a change. */
  get isChanged(): boolean {
    return this.#isChanged
  }

  #fill(): void {
    if (this.#isFilled) return
    this.#isFilled = true
    for (const [name, value] of this.rows) super.append(name, value)
  }

  #change(): void {
    this.#fill()
    this.#isChanged = true
  }

  override append(name: string, value: string): void {
    this.#change()
    super.append(name, value)
  }

  override delete(name: string): void {
    this.#change()
    super.delete(name)
  }

  override set(name: string, value: string): void {
    this.#change()
    super.set(name, value)
  }

  override get(name: string): string | null {
    this.#fill()
    return super.get(name)
  }

  override getSetCookie(): Array<string> {
    this.#fill()
    return super.getSetCookie()
  }

  override has(name: string): boolean {
    this.#fill()
    return super.has(name)
  }

  override forEach(...args: Parameters<Headers["forEach"]>): void {
    this.#fill()
    super.forEach(...args)
  }

  override keys(): ReturnType<Headers["keys"]> {
    this.#fill()
    return super.keys()
  }

  override values(): ReturnType<Headers["values"]> {
    this.#fill()
    return super.values()
  }

  override entries(): ReturnType<Headers["entries"]> {
    return this[Symbol.iterator]()
  }

  override [Symbol.iterator](): ReturnType<Headers["entries"]> {
    return this.#isFilled
      ? super[Symbol.iterator]()
      : this.rows.map(([name, value]): [string, string] => [name, value]).values()
  }
}

/** What a request is made of, whoever made it; anything else is an option of the service's own `fetch`. */
const members = ["method", "headers", "body", "signal", "duplex", "redirect"] as const

/** Seals a request that `maker` has built. */
export const seal = (req: Request, maker: OpenAI): Sealed => {
  const kept: RequestInit = {}
  for (const name of members) if (name in req) Object.assign(kept, { [name]: req[name as keyof typeof req] })
  const own = serviceHeaders(maker)
  const rows: Array<Row> = []
  for (const row of req.headers) if (!own.has(row[0])) rows.push(row)
  const headers = new CarriedHeaders(rows)
  return {
    init: { ...(maker.fetchOptions as RequestInit | undefined), ...kept, headers: req.headers },
    carried: { ...kept, headers },
    headers
  }
}

/**
 * The sealed request, sent for the one that was carried: with its signal, and with the headers that were added on the way and
 * that anyone may set. Otherwise the name of what was changed on the way.
 */
export const unseal = (
  { headers, init }: Sealed,
  arrived: RequestInit,
  mayBeSet: (header: string) => boolean
): { readonly init: RequestInit } | { readonly changed: string } => {
  if (arrived.body !== init.body) return { changed: "the body" }
  const differing =
    arrived.headers === headers && !headers.isChanged
      ? nothing
      : differences(headers.rows, new Headers(arrived.headers))
  for (const name of differing.keys()) if (!mayBeSet(name)) return { changed: `the header ${name}` }
  return {
    init: {
      ...init,
      method: (init.method ?? "GET").toUpperCase(),
      headers: differing.size === 0 ? init.headers : withHeaders(init.headers, differing),
      ...(arrived.signal !== undefined && { signal: arrived.signal })
    }
  }
}

/** Headers by name; null where one is gone. */
type Differences = ReadonlyMap<string, string | null>

const nothing: Differences = new Map()

const differences = (rows: ReadonlyArray<Row>, given: Headers): Differences => {
  const handed = new Map(rows)
  const differing = new Map<string, string | null>()
  for (const [name, value] of given) if (handed.get(name) !== value) differing.set(name, value)
  for (const name of handed.keys()) if (!given.has(name)) differing.set(name, null)
  return differing
}

const withHeaders = (headers: Headers, others: Differences): Headers => {
  const both = new Headers(headers)
  for (const [name, value] of others) {
    if (value === null) both.delete(name)
    else both.set(name, value)
  }
  return both
}
