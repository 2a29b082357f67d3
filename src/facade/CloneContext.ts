/**
 * How a client makes another of its own class: the SDK's `withOptions` passes on options, which anyone may write, so that what
 * only the client itself may pass on is handed over beside them.
 */
import type { OpenAI } from "openai"
import type { Session } from "./Session.ts"

/** What a clone of a client is made with besides its options, which anyone may write: only the client itself says this. */
export interface CloneContext {
  /** The class that is made. */
  readonly kind: unknown
  readonly session: Session
  /** What builds the requests of a user's client. */
  readonly maker?: OpenAI
}
let heir: CloneContext | undefined

/** Makes a clone; in its constructor, {@link takeCloneContext} gives what it inherits. */
export const withCloneContext = <Client>(given: CloneContext, make: () => Client): Client => {
  heir = given
  try {
    return make()
  } finally {
    heir = undefined
  }
}

/** What the client that is being made inherits, once; undefined for one that is made by its user. `kind` is its class. */
export const takeCloneContext = (kind: unknown): CloneContext | undefined => {
  const claimed = heir?.kind === kind ? heir : undefined
  if (claimed !== undefined) heir = undefined
  return claimed
}
