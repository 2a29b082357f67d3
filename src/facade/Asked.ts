/**
 * Which answer asked for which tool: a tool that the model asked for runs because of the call that was answered so.
 *
 * @since 0.2.0
 */
import type { Lineage } from "../Call.ts"
import type { Session } from "./Session.ts"

/** How many tools that were asked for a session remembers, the latest. */
const remembered = 1000

const asked = new WeakMap<Session, Map<string, Lineage>>()

/** Remembers the tools that an answer, or a chunk of one, asks for. `answered` is looked at where there are some. */
export const rememberAsked = (session: Session, answer: unknown, answered: { readonly lineage: Lineage }): void => {
  for (const id of idsOf(answer)) {
    let known = asked.get(session)
    if (known === undefined) asked.set(session, (known = new Map()))
    known.delete(id)
    known.set(id, answered.lineage)
    if (known.size > remembered) known.delete(known.keys().next().value ?? "")
  }
}

/** The call whose answer asked for a tool, by the tool call's id. */
export const askedBy = (session: Session, id: string): Lineage | undefined => asked.get(session)?.get(id)

const none: ReadonlyArray<string> = []

/** Ids of tool calls: in a chat completion or its chunks, in a response or its events. */
const idsOf = (answer: unknown): ReadonlyArray<string> => {
  if (!isObject(answer)) return none
  const { choices, item, output } = answer
  if (Array.isArray(choices))
    return choices.flatMap((choice: unknown) => {
      const message = isObject(choice) ? (choice["message"] ?? choice["delta"]) : undefined
      const calls = isObject(message) ? message["tool_calls"] : undefined
      return Array.isArray(calls) ? calls.flatMap((call) => idOf(call, "id")) : none
    })
  if (Array.isArray(output)) return output.flatMap((one) => idOf(one, "call_id"))
  return item === undefined ? none : idOf(item, "call_id")
}

const idOf = (call: unknown, name: string): ReadonlyArray<string> => {
  const id = isObject(call) ? call[name] : undefined
  return typeof id === "string" ? [id] : none
}

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> => typeof u === "object" && u !== null
