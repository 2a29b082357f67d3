/**
 * Admission: what a request is, by its method, URL, headers and body, or why it is refused. {@link admitRequest} is the whole of it;
 * a face that learns of the parts one after the other asks for each. Every face of the product reads requests here, and nowhere
 * else; nothing in this folder knows the SDK, and nothing here waits.
 */
import * as Result from "effect/Result"
import { parseContent } from "../base/CanonicalJson.ts"
import type { JsonObject } from "../base/Json.ts"
import { Content } from "../base/Content.ts"
import { newId } from "../base/Id.ts"
import { Call, type CallOptions } from "../call/Call.ts"
import type { Violation } from "../call/Decision.ts"
import { PolicyDenied, refusal } from "../call/Errors.ts"
import type { PassThrough } from "../call/PassThrough.ts"
import {
  classify,
  endpointAt,
  familyResource,
  mayNameModel,
  type OperationName,
  type Target,
  toolResource,
  withoutSlashes
} from "../call/Operation.ts"
import { foreignQuery, type RequestQuery } from "../call/Query.ts"
import { addedTo, foreignIn, type HeaderSettings, isForHost, misread, reroutedBy } from "./RequestHeaders.ts"
import { type QuerySettings, readQuery } from "./RequestQuery.ts"

/** A request of HTTP as it would leave, without its body. */
export interface RequestHead {
  readonly method: string
  readonly url: string
  readonly headers: Headers
}

/** What a service has set for its requests: it passes for every caller, as it was set. */
export interface AdmissionSettings extends QuerySettings, HeaderSettings {
  /** The service's base URL, which tells the family of a request; a user's requests stay below it. */
  readonly baseURL: string
}

/** In whose name a request is made, and what that lets it set. */
export interface Caller {
  /** True where the request is in another's name than the service's own. */
  readonly isUser: boolean
  /** True where the request has to stay below the base URL. */
  readonly staysHome: boolean
  /** Headers that credentials and settings of the service give this very request, by name in lower case. */
  readonly own: ReadonlyMap<string, string>
}

/** What a request is, before its body is read. */
export interface RequestReading {
  readonly target: Target
  /** Method and URL without the query: `POST https://host/v1/chat/completions`. */
  readonly endpoint: string
  /** True where the path of a protected request may name a model in a way that is not read. */
  readonly mayNameModel: boolean
  /** Of a protected request that has one. */
  readonly query: RequestQuery | undefined
  /** Names of the headers, in lower case, that the SDK does not send by itself. */
  readonly added: ReadonlyArray<string>
}

/** Why a request is not admitted. */
export interface AdmissionFault {
  readonly code:
    | "rerouted"
    | "foreign_url"
    | "foreign_header"
    | "foreign_option"
    | "foreign_query"
    | "invalid_method"
    | "invalid_body"
  readonly message: string
  readonly hint?: string
}

/** Reads a request's head. Nothing is refused yet: {@link faultOf} does that. Throws a `TypeError` for what is no URL. */
export const read = (
  head: RequestHead,
  settings: AdmissionSettings,
  { own }: Pick<Caller, "own">,
  baseURL = settings.baseURL
): RequestReading => {
  const { endpoint, mayNameModel, target } = classified(head.method, head.url, baseURL)
  return {
    target,
    endpoint,
    mayNameModel,
    query:
      target._tag === "Protected"
        ? readQuery(head.url, endpointAt(target.operation, endpoint).path, settings)
        : undefined,
    added: addedTo(head.headers, own)
  }
}

/**
 * Why a request is refused whatever its body is; undefined where it is not. A query that is not the service's own is refused
 * here to users alone: for the service itself, its policies say whether that matters.
 */
export const faultOf = (
  { headers, method, url }: RequestHead,
  { added, endpoint, mayNameModel, query, target }: RequestReading,
  settings: AdmissionSettings,
  { isUser, staysHome }: Caller
): AdmissionFault | undefined => {
  const rerouting = reroutedBy(headers)
  if (rerouting !== undefined)
    return { code: "rerouted", message: `the header ${rerouting} makes another request of it` }
  if (staysHome && !(isBelow(settings.baseURL, url) && isForHost(headers, url)))
    return { code: "foreign_url", message: `a user's requests stay below ${settings.baseURL}` }
  if (isUser) {
    const foreign = foreignIn(headers, added, settings)
    if (foreign !== undefined)
      return {
        code: "foreign_header",
        message: `the header ${foreign} is the service's to set, not the user's`,
        hint: `leave it out; or let users set it by the service's option allowedHeaders: [${JSON.stringify(foreign)}]`
      }
    if (target._tag === "Protected" && mayNameModel)
      return {
        code: "foreign_url",
        message: "what stands in the path before the endpoint may name a model, and policy does not judge it",
        hint: `ask for ${endpointAt(target.operation, endpoint).path}; a prefix belongs in the service's base URL`
      }
    const [name] = query?.foreign ?? []
    if (name !== undefined) return foreignQuery(name)
  }
  return target._tag === "Family" ? undefined : faultOfProtected(method, headers)
}

/** A protected request is one JSON text, which every server reads as it was judged. */
const faultOfProtected = (method: string, headers: Headers): AdmissionFault | undefined => {
  if (method.toUpperCase() !== "POST")
    return { code: "invalid_method", message: `a protected request is a POST, not ${method.toUpperCase()}` }
  const misreading = misread(headers)
  return misreading === undefined
    ? undefined
    : { code: "invalid_body", message: `the body may be read as another one: ${misreading}` }
}

/** The body of a protected request: its text, and what that says. */
export interface RequestBody {
  readonly content: Content
  readonly params: JsonObject
}

/** Reads the body of a protected request: exactly one JSON object, read the same by every parser. */
export const readBody = (body: unknown): Result.Result<RequestBody, AdmissionFault> => {
  if (typeof body !== "string") return Result.fail({ code: "invalid_body", message: "the body is not JSON text" })
  const content = new Content(body)
  return Result.mapBoth(parseContent(content), {
    onFailure: (fault): AdmissionFault => ({ code: "invalid_body", message: `the body cannot be judged: ${fault}` }),
    onSuccess: (params) => ({ content, params })
  })
}

/** A request that is admitted: of a family, or to a protected operation with its body. */
export type Admitted = RequestReading & {
  readonly body: RequestBody | undefined
}

/** {@link read}, {@link faultOf} and, for a protected request, {@link readBody}. */
export const admit = (
  head: RequestHead,
  body: unknown,
  settings: AdmissionSettings,
  caller: Caller
): Result.Result<Admitted, AdmissionFault> => {
  const reading = read(head, settings, caller)
  const fault = faultOf(head, reading, settings, caller)
  if (fault !== undefined) return Result.fail(fault)
  return reading.target._tag === "Family"
    ? Result.succeed({ ...reading, body: undefined })
    : Result.map(readBody(body), (found) => ({ ...reading, body: found }))
}

/** What a request is admitted for: all of a call that neither its head nor its body says. */
export interface AdmittingService
  extends
    Pick<Call, "app" | "server" | "credentials" | "intents">,
    Pick<CallOptions, "deployments" | "lineage" | "invocation" | "chain" | "behalf" | "parent"> {}

/** The call that a protected request makes. Fails if no deployment of the service serves what the request asks for. */
export const callOf = (
  operation: OperationName,
  { added, endpoint, query }: RequestReading,
  { content, params }: RequestBody,
  service: AdmittingService
): Result.Result<Call, PolicyDenied> => {
  try {
    const options = { ...service, bytes: content, endpoint, query, headers: added }
    return Result.succeed(Call.fromParsed(operation, params, options))
  } catch (error) {
    if (error instanceof PolicyDenied) return Result.fail(error)
    throw error
  }
}

/** The request of a family, as the pipeline passes it. */
export const passThroughOf = (
  { family, use }: Target & { readonly _tag: "Family" },
  { added, endpoint }: Pick<RequestReading, "added" | "endpoint">,
  { app, credentials, intents, lineage }: Pick<AdmittingService, "app" | "credentials" | "intents" | "lineage">
): PassThrough => ({
  id: newId(),
  app,
  family,
  use,
  resource: familyResource(app, family),
  endpoint,
  headers: added,
  credentials,
  intents,
  lineage
})

/** The refusal of a request that is not admitted. */
export const refusalFor = (resource: string, fault: Violation): PolicyDenied =>
  refusal("egress", fault, { resource, principal: "" })

/** The whole of admission: what goes into a pipeline, a call or a request of a family, or the refusal. */
export const admitRequest = (
  head: RequestHead,
  body: unknown,
  settings: AdmissionSettings,
  caller: Caller,
  service: AdmittingService
): Result.Result<Call | PassThrough, PolicyDenied> => {
  const reading = read(head, settings, caller)
  const { target } = reading
  const refused = (fault: AdmissionFault) => refusalFor(resourceOf(service.app, target), fault)
  const fault = faultOf(head, reading, settings, caller)
  if (fault !== undefined) return Result.fail(refused(fault))
  if (target._tag === "Family") return Result.succeed(passThroughOf(target, reading, service))
  return Result.flatMap(Result.mapError(readBody(body), refused), (found) =>
    callOf(target.operation.name, reading, found, service)
  )
}

/** What policies know a request as: `tool:my-app/generate`, or `api:my-app/models`. */
export const resourceOf = (app: string, target: Target): string =>
  target._tag === "Protected" ? toolResource(app, target.operation.name) : familyResource(app, target.family)

/** True for a URL at which an operation is served. */
export const isOperationAt = (operation: string, url: string): boolean => {
  const target = classify("POST", url, url)
  return target._tag === "Protected" && target.operation.name === operation
}

/** True for a URL at or below a base URL; the queries of both do not count. */
export const isBelow = (base: string, url: string): boolean => {
  const root = withoutSlashes(base.replace(/[?#].*$/s, ""))
  return url === root || url.startsWith(`${root}/`)
}

/** What of a reading the method and the URL alone tell. An app asks for few URLs, again and again. */
const classified = (
  method: string,
  url: string,
  baseURL: string
): Pick<RequestReading, "target" | "endpoint" | "mayNameModel"> => {
  const key = `${method} ${url} ${baseURL}`
  const known = targets.get(key)
  if (known !== undefined) return known
  const { origin, pathname } = new URL(url)
  const found = {
    target: classify(method, url, baseURL),
    endpoint: `${method.toUpperCase()} ${origin}${pathname}`,
    mayNameModel: mayNameModel(url, baseURL)
  }
  if (targets.size === mostTargets) targets.clear()
  targets.set(key, found)
  return found
}
const mostTargets = 256
const targets = new Map<string, ReturnType<typeof classified>>()
