/**
 * Members that this library puts into the options of a request, for its own use when the SDK has built it.
 */
import type { Cancellation, Message } from "../call/Delivery.ts"
import type { RequestOptions } from "./Options.ts"
import { makeTokens } from "./Tokens.ts"

/** A call that arrived from another agent: in whose name, with which envelope, and with whose registration it ends. */
export type Inbound = Pick<Message, "credentials" | "intents" | "invocation" | "chain" | "behalf" | "parent"> &
  Pick<Cancellation, "life">

const inboundKey = Symbol("secure-openai/inbound")
const inbounds = makeTokens<Inbound>()

/** Options of a request that carry a call from another agent. */
export const inboundOptions = (inbound: Inbound): object => ({ [inboundKey]: inbounds.standingFor(inbound) })

/** The call from another agent that a request's options carry; undefined if there is none. */
export const inboundOf = (options: RequestOptions): Inbound | undefined =>
  inbounds.behind((options as { [inboundKey]?: object })[inboundKey])

const textKey = Symbol("secure-openai/text")

/** Options of a request whose body was parsed from `text`: this very text is sent. */
export const textOptions = (text: string): object => ({ [textKey]: text })

/** The text that the body of a request was parsed from; undefined if it has to be serialised. */
export const textOf = (options: RequestOptions): string | undefined => (options as { [textKey]?: string })[textKey]
