/**
 * Requests that no call of the SDK is under way for: made by hand through a client, or the handshake of a WebSocket.
 */
import type { OpenAI } from "openai"
import { currentLineage } from "../call/CurrentCall.ts"
import { refusal } from "../call/Errors.ts"
import { familyResource } from "../call/Operation.ts"
import { toSdkError } from "../call/SdkErrors.ts"
import { passThroughOf } from "../http/Admission.ts"
import { Exchange } from "./Exchange.ts"
import { passAtOnce } from "./FamilyRequest.ts"
import type { RequestOptions } from "./Options.ts"
import { refuseHere, requireOpen, type Session } from "./Session.ts"

/** Judges a request that no call is under way for, made by hand through a client of the service's own. */
export const sendAlone = async (
  session: Session,
  maker: OpenAI,
  request: RequestInit,
  url: string,
  options: RequestOptions = { method: "get", path: url },
  credentials?: ReadonlyMap<string, string>
): Promise<RequestInit> => {
  const req = Object.assign(request, { headers: new Headers(request.headers) })
  await new Exchange(session).buildAlone(options, { req, url, timeout: maker.timeout }, maker, credentials)
  return req
}

/** The family of every WebSocket: which API it speaks is not known where its headers are made. */
const webSockets = "realtime"

/** Judges a WebSocket's handshake at once: the service's is recorded as a family's request, a user's is refused. Throws the refusal. */
export const judgeSocket = (session: Session, baseURL: string): void => {
  const { app, credentials } = session
  requireOpen(session)
  const resource = familyResource(app, webSockets)
  if (credentials._tag === "App") {
    const target = { _tag: "Family" as const, family: webSockets, use: "reaches_model" as const }
    const reading = { added: [], endpoint: `GET ${baseURL.replace(/^http/, "ws")}` }
    const service = { ...session, lineage: currentLineage() }
    return passAtOnce(session, passThroughOf(target, reading, service))
  }
  const code = "resource_not_allowed"
  const message = "WebSocket APIs are not judged, and so not for users"
  const denied = refusal("egress", { code, message }, { resource, principal: "" })
  void refuseHere(session, denied).catch(() => {})
  throw toSdkError(denied)
}
