/**
 * The flags that describe a caller: a user with the claims of a token, an agent, or the app itself.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flag from "effect/cli/Flag"
import type { JsonObject } from "../../base/Json.ts"
import { mapping, principal as ofClaims } from "../../identity/Claims.ts"
import { agent, app, type Principal } from "../../call/Principal.ts"
import { CannotRun } from "../Ending.ts"

const repeated = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.withMetavar("NAME"), Flag.atLeast(0))

/** The flags `--user`, `--team`, … */
export const callerFlags = {
  user: Flag.String("user").pipe(
    Flag.withDescription("The user who asks. Without --user and --agent, the app asks in its own name"),
    Flag.withMetavar("NAME"),
    Flag.optional
  ),
  agent: Flag.String("agent").pipe(
    Flag.withDescription("The agent that asks, without a token"),
    Flag.withMetavar("NAME"),
    Flag.optional
  ),
  app: Flag.String("app").pipe(Flag.withDescription("The app that is asked: app:<NAME>"), Flag.withMetavar("NAME")),
  company: repeated("company", "A company of the user's token. May be repeated, as the next ones"),
  bu: repeated("bu", "A business unit of the user's token"),
  team: repeated("team", "A team of the user's token"),
  role: repeated("role", "A role of the user's token"),
  group: repeated("group", "A group of the user's token")
}

/** What the flags say. */
export interface CallerFlags {
  readonly user: Option.Option<string>
  readonly agent: Option.Option<string>
  readonly app: string
  readonly company: ReadonlyArray<string>
  readonly bu: ReadonlyArray<string>
  readonly team: ReadonlyArray<string>
  readonly role: ReadonlyArray<string>
  readonly group: ReadonlyArray<string>
}

/** The principal that the flags describe. */
export const principalOf = (flags: CallerFlags): Effect.Effect<Principal, CannotRun> => {
  const { bu, company, group, role, team } = flags
  const claims = { company, bu, team, roles: role, groups: group }
  const fail = (message: string) => Effect.fail(new CannotRun({ message }))
  if (Option.isSome(flags.user))
    return Option.isSome(flags.agent)
      ? fail("Give --user or --agent, not both.")
      : userOf(flags.user.value, claims).pipe(Effect.mapError((message) => new CannotRun({ message })))
  if (Object.values(claims).some((names) => names.length > 0))
    return fail("--company, --bu, --team, --role and --group are of a user's token: give --user as well.")
  return Effect.succeed(Option.isSome(flags.agent) ? agent(flags.agent.value) : app(flags.app))
}

/** A user by name, with what a token would say; the failure says which claim cannot be. */
export const userOf = (name: string, claims: JsonObject): Effect.Effect<Principal, string> =>
  Effect.try({
    try: () =>
      ofClaims({ ...claims, sub: name, preferred_username: name }, mapping(), {
        issuer: "https://issuer.invalid",
        expiresAt: Number.MAX_SAFE_INTEGER,
        tokenHash: ""
      }),
    catch: (cause) => (cause instanceof Error ? cause.message : String(cause))
  })
