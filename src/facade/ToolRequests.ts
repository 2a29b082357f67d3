/**
 * Which answer asked for which tool: a tool that the model asked for runs because of the call that was answered so.
 */
import { toolCallIdsOf } from "../answer/ToolCalls.ts"
import type { Lineage } from "../call/Lineage.ts"
import type { Session } from "./Session.ts"

/** How many tools that were asked for a session remembers, the latest. */
const remembered = 1000

/** Remembers the tools that an answer, or a chunk of one, asks for. `answered` is looked at where there are some. */
export const rememberToolRequests = (
  session: Session,
  answer: unknown,
  answered: { readonly lineage: Lineage }
): void => {
  const known = session.asked
  for (const id of toolCallIdsOf(answer)) {
    known.delete(id)
    known.set(id, answered.lineage)
    if (known.size > remembered) known.delete(known.keys().next().value ?? "")
  }
}

/** The call whose answer asked for a tool, by the tool call's id. */
export const requestedBy = (session: Session, id: string): Lineage | undefined => session.asked.get(id)
