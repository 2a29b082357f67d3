/**
 * A client as other agents reach it: its operations through its own requests, its tools in this process.
 */
import type { OpenAI } from "openai"
import { isOperation, urlOf } from "../call/Operation.ts"
import type { Cancellation, Message, Service } from "../call/Delivery.ts"
import { inboundOptions } from "./RequestMarks.ts"
import type { Session } from "./Session.ts"
import { runTool } from "./Tools.ts"

/** A service as other agents reach it. */
export const serviceOf = (session: Session, client: OpenAI, endpointOf: Service["endpoint"]): Service => ({
  id: session.server,
  app: session.app,
  endpoint: endpointOf,
  prompts: (operation) => session.tools.get(operation)?.prompts ?? [],
  deliver: async (message: Message, { life, signal }: Cancellation) => {
    const endpoint = await endpointOf(message.operation, message.params)
    if (isOperation(message.operation))
      return client.post<unknown>(urlOf(endpoint), {
        body: message.bytes,
        headers: { "content-type": "application/json" },
        stream: message.stream,
        ...(signal !== undefined && { signal }),
        ...inboundOptions({ ...message, life })
      } as object)
    const { value } = await runTool(session, message.operation, message.params, {
      signal,
      life,
      call: {
        credentials: message.credentials,
        intents: [...session.intents, ...message.intents],
        invocation: message.invocation,
        chain: message.chain,
        behalf: message.behalf,
        parent: message.parent,
        bytes: message.bytes,
        endpoint
      }
    })
    return value
  }
})
