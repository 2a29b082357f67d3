/**
 * Who calls. Identity promises that a call goes on only with a principal that a verified credential gave, and that a
 * credential that has ended gives none.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import type { Call } from "../call/Call.ts"
import type { Credentials, TokenSource } from "../call/Credentials.ts"
import { Identified } from "../call/States.ts"
import { Configuration, EnforcementUnavailable, IdentityInvalid } from "../call/Errors.ts"
import type { JsonObject } from "../base/Json.ts"
import { agent, app, type Principal } from "../call/Principal.ts"
import * as Claims from "./Claims.ts"
import { type Issuer, issuers, type IssuerOptions, warnings } from "./Issuer.ts"
import type { KeySetStatus } from "./Jwks.ts"
import * as Jwt from "./Jwt.ts"
import { makeGuard, type Time, timeOf } from "./Time.ts"

export type { ClaimMapping, ClaimOptions } from "./Claims.ts"
export type { IssuerOptions, Revoked } from "./Issuer.ts"
export type { WithinOptions } from "./Within.ts"
export type { Algorithm } from "./Jwk.ts"
export type { JsonWebKeySet } from "./Jwks.ts"

/**
 * The identity stage.
 *
 * @category services
 */
export class Identity extends Context.Service<
  Identity,
  {
    /** The call with its verified principal. */
    readonly resolve: (call: Call) => Effect.Effect<Identified, IdentityInvalid | EnforcementUnavailable>
    /** The principal that credentials give to a caller of `app`, outside a pipeline. */
    readonly principal: (
      credentials: Credentials,
      app: string
    ) => Effect.Effect<Principal, IdentityInvalid | EnforcementUnavailable>
    /** Succeeds when every configured issuer's key set can be used now. */
    readonly ready: Effect.Effect<void, IdentityInvalid | EnforcementUnavailable | Configuration>
    /** How users stand: the key sets of their issuers, and what every user, or every user of an issuer, is refused with now. */
    readonly status: Effect.Effect<IdentityStatus>
  }
>()("secure-openai/Identity") {
  /**
   * Identity by access tokens of the given issuers; with none, users are refused. A token is verified when it is first
   * seen and every five minutes after, its end is checked at every call. Logs a warning where several issuers may give the
   * same names.
   *
   * @category layers
   */
  static readonly layer = (options: {
    readonly issuers: ReadonlyArray<IssuerOptions>
  }): Layer.Layer<Identity, Configuration> =>
    Layer.effect(
      Identity,
      Effect.suspend(() => {
        try {
          const configured = issuers(options.issuers)
          return Effect.as(
            Effect.forEach(warnings(configured), (warning) => Effect.logWarning(warning), { discard: true }),
            Identity.of(make(configured))
          )
        } catch (error) {
          return error instanceof Configuration ? Effect.fail(error) : Effect.die(error)
        }
      })
    )
}

/** How an issuer's key set stands; times are in ms since 1970. See {@link KeySetStatus} for the states. */
export interface IssuerStatus {
  readonly issuer: string
  readonly state: KeySetStatus["state"]
  /** Until when the set is used (`fresh`, `grace`), or is not asked for again (`unavailable`). */
  readonly until?: number
  /** Why the issuer's keys could not be fetched the last time. */
  readonly reason?: string
}

/** What {@link Identity} knows of users without asking anybody. */
export interface IdentityStatus {
  readonly issuers: ReadonlyArray<IssuerStatus>
  readonly refusals: ReadonlyArray<IdentityInvalid | EnforcementUnavailable>
}

type UserCredentials = Extract<Credentials, { readonly _tag: "User" }>

const make = (issuers: ReadonlyMap<string, Issuer>): Identity["Service"] => {
  const sessions = makeSessions(issuers)
  const guard = makeGuard()
  const user = (credentials: UserCredentials): Effect.Effect<Principal, IdentityInvalid | EnforcementUnavailable> =>
    Effect.withFiber((fiber): Effect.Effect<Principal, IdentityInvalid | EnforcementUnavailable> => {
      if (issuers.size === 0) return Effect.fail(noIssuer())
      const told = guard(timeOf(fiber.getRef(Clock.Clock)))
      const isKnown = sessions.isPinned(credentials.token)
      if (Result.isFailure(told)) return Effect.fail(clockSetBack(told.failure, isKnown))
      const time = told.success
      const kept = sessions.kept(credentials.token, time)
      if (kept !== undefined && kept.issuer.revoked === undefined) return asNamed(kept.principal, credentials)
      const opened = attempt(async () => {
        const session = kept ?? (await sessions.open(credentials.token, time))
        if (await isRevoked(session)) {
          sessions.forget(credentials.token)
          throw revoked("it is revoked. Log in again")
        }
        return session.principal
      })
      return Effect.flatMap(
        isKnown ? Effect.mapError(opened, (error) => error.claiming(undefined)) : opened,
        (principal) =>
          Effect.tap(asNamed(principal, credentials), (accepted) =>
            Effect.sync(() => sessions.pin(credentials.token, accepted))
          )
      )
    })
  return {
    resolve: (call) => {
      const { credentials } = call
      switch (credentials._tag) {
        case "App":
          return Effect.succeed(new Identified(call, app(call.app)))
        case "Agent":
          return call.invocation === undefined
            ? Effect.fail(unsigned(credentials.name))
            : Effect.succeed(new Identified(call, agent(credentials.name)))
        case "User":
          return Effect.map(user(credentials), (principal) => new Identified(call, principal))
      }
    },
    principal: (credentials, name) => {
      switch (credentials._tag) {
        case "App":
          return Effect.succeed(app(name))
        case "Agent":
          return Effect.fail(unsigned(credentials.name))
        case "User":
          return user(credentials)
      }
    },
    ready: Effect.withFiber((fiber): Effect.Effect<void, IdentityInvalid | EnforcementUnavailable> => {
      // Nobody's token is looked at.
      if (issuers.size === 0) return Effect.void
      const told = guard(timeOf(fiber.getRef(Clock.Clock)))
      if (Result.isFailure(told)) return Effect.fail(clockSetBack(told.failure, true))
      const { steady } = told.success
      return Effect.forEach(issuers.values(), (issuer) => attempt(() => issuer.keys.ready(steady)), {
        concurrency: "unbounded",
        discard: true
      })
    }),
    status: Effect.withFiber((fiber) => {
      if (issuers.size === 0) return Effect.succeed({ issuers: [], refusals: [] })
      const given = timeOf(fiber.getRef(Clock.Clock))
      const told = guard(given)
      const { steady, wall } = Result.getOrElse(told, () => given)
      const sets = [...issuers.values()].map(({ issuer, keys }) => ({ issuer, set: keys.status(steady()) }))
      return Effect.succeed({
        issuers: sets.map(({ issuer, set }) => ({
          issuer,
          state: set.state,
          ...("until" in set && { until: Math.round(wall() + set.until - steady()) }),
          ...("reason" in set && { reason: set.reason })
        })),
        refusals: [
          ...(Result.isFailure(told) ? [clockSetBack(told.failure, true)] : []),
          ...sets.flatMap(({ set }) => (set.state === "unavailable" ? [set.refusal] : []))
        ]
      })
    })
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Sessions: what was verified, kept by token
// ---------------------------------------------------------------------------------------------------------------------

/** How long a verification counts, in ms: after that the token is held against the issuer's keys again. */
const verificationAge = 300_000

/** How many tokens are kept; the one kept longest goes first. */
const maximumSessions = 10_000

/** How long a token function may take, in ms. */
const renewalTimeout = 10_000

/** How long a revocation hook may take, in ms. */
const revocationTimeout = 5_000

interface Session {
  readonly token: Redacted.Redacted<string>
  readonly principal: Principal
  readonly issuer: Issuer
  readonly expiresAt: number
  /** Until when the verification counts, in ms of the steady clock. */
  readonly until: number
}

/**
 * Sessions by the SHA-256 of the whole token, and by the source that gave it, so that a source that was used before costs
 * no hashing. A verification counts for five minutes, no longer than the key set that it rests on, and never past the end
 * of the token. A function is asked again only once the last token that it gave has ended or was refused; calls that need it
 * meanwhile share the answer.
 *
 * A source speaks for one user: the first one that was accepted. Its later tokens must have the same `iss` and `sub`, and give
 * the same user name, for that is what policies know the user by: a renamed user has to register again. All else (company,
 * roles, groups, when it ends) is that of the latest token.
 */
const makeSessions = (issuers: ReadonlyMap<string, Issuer>) => {
  const byToken = new Map<string, Session>()
  const bySource = new WeakMap<TokenSource, Session>()
  const opening = new WeakMap<TokenSource, Promise<Session>>()
  const pinned = new WeakMap<TokenSource, Principal>()

  const kept = (source: TokenSource, time: Time): Session | undefined => {
    const session = bySource.get(source)
    return session !== undefined && isVerified(session, time) ? session : undefined
  }

  const open = (source: TokenSource, time: Time): Promise<Session> => {
    const shared = opening.get(source)
    if (shared !== undefined) return shared
    const opened = renew(source, time).finally(() => opening.delete(source))
    opening.set(source, opened)
    return opened
  }

  const renew = async (source: TokenSource, time: Time): Promise<Session> => {
    const last = bySource.get(source)
    const token =
      last !== undefined && !isOver(last, source, time.wall()) ? Redacted.value(last.token) : await take(source)
    // What is refused now would be refused again, but for what only the issuer's silence refuses.
    const session = await opened(source, token, time).catch((error: unknown) => {
      if (!(error instanceof IdentityInvalid && error.reason === "keys_unavailable")) forget(source)
      throw error
    })
    bySource.set(source, session)
    return session
  }

  const opened = async (source: TokenSource, token: string, time: Time): Promise<Session> => {
    const session = await verified(token, time)
    const first = pinned.get(source)
    const other = first && differenceOf(first, session.principal)
    if (other !== undefined) throw subjectChanged(other)
    return session
  }

  const forget = (source: TokenSource): void => void bySource.delete(source)

  const pin = (source: TokenSource, principal: Principal): void => {
    if (!pinned.has(source)) pinned.set(source, principal)
  }

  const isPinned = (source: TokenSource): boolean => pinned.has(source)

  const verified = async (token: string, time: Time): Promise<Session> => {
    const tokenHash = Crypto.hash("sha256", token, "base64url")
    const known = byToken.get(tokenHash)
    if (known !== undefined && isVerified(known, time)) return known
    const { claims, degraded, expiresAt, issuer, until } = await Jwt.verify(token, issuers, time)
    const session: Session = {
      token: Redacted.make(token),
      principal: Claims.principal(claims, issuer.claims, {
        issuer: issuer.issuer,
        expiresAt,
        validUntil: expiresAt + issuer.clockTolerance,
        tokenHash,
        degraded
      }),
      issuer,
      expiresAt,
      until: Math.min(until, time.steady() + verificationAge)
    }
    byToken.delete(tokenHash)
    byToken.set(tokenHash, session)
    const oldest = byToken.size > maximumSessions ? byToken.keys().next().value : undefined
    if (oldest !== undefined) byToken.delete(oldest)
    return session
  }

  return { kept, open, forget, pin, isPinned }
}

/** In what a later principal of a token source is somebody else than the first one. */
const differenceOf = (first: Principal, later: Principal): string | undefined => {
  if (later.issuer !== first.issuer) return "iss"
  if (later.claims["sub"] !== first.claims["sub"]) return "sub"
  return later.id === first.id ? undefined : "user name"
}

/** True while a verification counts. After its end a token that the tolerance still admits is verified at every call. */
const isVerified = (session: Session, { steady, wall }: Time): boolean =>
  steady() < session.until && !Jwt.isExpired(session.expiresAt, 0, wall())

/** What the issuer's hook says; rejects where it fails, does not answer in time or says neither. */
const isRevoked = async ({ issuer, principal }: Session): Promise<boolean> => {
  if (issuer.revoked === undefined) return false
  const presented = {
    claims: principal.claims as JsonObject,
    issuer: issuer.issuer,
    tokenHash: principal.tokenHash ?? ""
  }
  let answer: unknown
  try {
    answer = await within(revocationTimeout, Promise.resolve(issuer.revoked(presented)))
  } catch (cause) {
    throw revoked("whether it is revoked cannot be told: the option revoked failed. Its error is the cause", cause)
  }
  if (typeof answer !== "boolean")
    throw revoked("whether it is revoked cannot be told: the option revoked gave neither true nor false")
  return answer
}

/** A function is asked for the next token at the end of the last one, with no tolerance: it costs nothing to be early. */
const isOver = (session: Session, source: TokenSource, now: number): boolean =>
  Jwt.isExpired(session.expiresAt, typeof source === "function" ? 0 : session.issuer.clockTolerance, now)

const take = async (source: TokenSource): Promise<string> => {
  let token: unknown
  try {
    token = typeof source === "function" ? await within(renewalTimeout, source()) : Redacted.value(source)
  } catch (cause) {
    throw new IdentityInvalid({
      reason: "missing",
      message: "There is no token: the function that should get one failed. Its error is the cause.",
      unverified: {},
      cause
    })
  }
  if (typeof token !== "string" || token === "")
    throw new IdentityInvalid({
      reason: "missing",
      message:
        "The token is empty. Set jwtToken or iamToken to an access token; leave it out to call as the application.",
      unverified: {}
    })
  return token
}

const within = async <A>(milliseconds: number, promise: Promise<A>): Promise<A> => {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds / 1000} s`)), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// ---------------------------------------------------------------------------------------------------------------------
// Refusals
// ---------------------------------------------------------------------------------------------------------------------

const asNamed = (principal: Principal, { userName }: UserCredentials): Effect.Effect<Principal, IdentityInvalid> =>
  userName === undefined || userName === principal.id
    ? Effect.succeed(principal)
    : Effect.fail(
        new IdentityInvalid({
          reason: "name_mismatch",
          message: `userName is ${JSON.stringify(userName)}, but the token says ${JSON.stringify(principal.id)}. Leave userName out, or map another claim with the issuer's option "claims": { "user": … }.`
        })
      )

const subjectChanged = (what: string): IdentityInvalid =>
  new IdentityInvalid({
    reason: "subject_changed",
    message: `The token function gave a token of somebody else: its ${what} is not that of the first token. Have it get tokens of the user that it began with; for another or a renamed user register an agent, or make a client, of their own.`
  })

const revoked = (why: string, cause?: unknown): IdentityInvalid =>
  new IdentityInvalid({
    reason: "revoked",
    message: `The token is refused: ${why}.`,
    ...(cause !== undefined && { cause })
  })

const clockSetBack = (by: number, isKnown: boolean): EnforcementUnavailable =>
  new EnforcementUnavailable({
    stage: "identity",
    reason: "clock_set_back",
    ...(!isKnown && { unverified: {} }),
    message: `The clock of this machine was set back by ${Math.round(by / 1000)} s, so whether a token has ended cannot be told. Users are let through once the clock has caught up; if it is right now, restart this process. Where the log took records at the wrong time, every call then waits for that time too (clock_behind), or the log gets another audit path.`
  })

const noIssuer = (): IdentityInvalid =>
  new IdentityInvalid({
    reason: "no_issuer",
    message:
      "No issuer is configured, so no user's token can be verified. Set the option issuers: { issuer, audience }, or SECURE_OPENAI_ISSUER and SECURE_OPENAI_AUDIENCE.",
    unverified: {}
  })

const unsigned = (name: string): IdentityInvalid =>
  new IdentityInvalid({
    reason: "envelope",
    message: `Agent ${JSON.stringify(name)} has no token and its call carries no signed invocation. Call through a registered AgentClient.`
  })

/** A promise that rejects with IdentityInvalid, as an Effect; anything else that it rejects with is a defect. */
const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, IdentityInvalid> =>
  Effect.callback((resume) => {
    run().then(
      (value) => resume(Effect.succeed(value)),
      (error: unknown) => resume(error instanceof IdentityInvalid ? Effect.fail(error) : Effect.die(error))
    )
  })
