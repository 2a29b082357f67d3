/**
 * What a service's client lends its users: a client that builds their requests, which their holders cannot reach.
 */
import type { OpenAI } from "openai"
import { settingsOf } from "./ServiceSettings.ts"
import { entriesOf } from "./HeaderEntries.ts"
import type { CloneContext } from "./CloneContext.ts"
import type { Session } from "./Session.ts"

/** The client that builds the requests of a service's users, out of their reach, and all that the service's own was when it was made. */
export interface RequestMaker {
  readonly maker: OpenAI
  readonly settings: Session["settings"]
  readonly state: ReadonlyArray<unknown>
}

/** All that a client is: its members and options, and what may be changed in their place. */
export const stateOf = (client: OpenAI): ReadonlyArray<unknown> => {
  const options = client["_options"]
  const { defaultHeaders, defaultQuery = {} } = options
  return [
    ...Object.values(client),
    ...Object.values(options),
    ...entriesOf(defaultHeaders).flat(),
    ...Object.entries(defaultQuery).flat()
  ]
}

/** True for two states of a client that was not changed in between. */
export const isSame = (before: ReadonlyArray<unknown>, now: ReadonlyArray<unknown>): boolean =>
  before.length === now.length && before.every((value, i) => Object.is(value, now[i]))

/** A session that was just opened; a user's has a client that builds its requests, and its base URL is pinned. */
export const opened = (session: Session, makerFor: (service: Session) => OpenAI): Omit<CloneContext, "kind"> => {
  if (session.credentials._tag === "App") return { session }
  const service: Session = { ...session, credentials: { _tag: "App" } }
  const maker = makerFor(service)
  return { maker, session: { ...session, service, settings: settingsOf(maker, session.settings) } }
}
