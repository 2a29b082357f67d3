/**
 * Who calls. Identity promises that a call goes on only with a principal that a verified credential gave, and that a
 * credential that has ended gives none.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import { type Call, type Credentials, Identified, type TokenSource } from "../Call.ts"
import { Configuration, IdentityInvalid } from "../Errors.ts"
import { agent, app, type Principal } from "../Principal.ts"
import * as Claims from "./Claims.ts"
import * as Jwt from "./Jwt.ts"

export type { ClaimNames } from "./Claims.ts"
export type { JsonWebKeySet } from "./Jwks.ts"
export type { Algorithm, IssuerOptions } from "./Jwt.ts"

/**
 * The identity stage.
 *
 * @category services
 */
export class Identity extends Context.Service<
  Identity,
  {
    /** The call with its verified principal. */
    readonly resolve: (call: Call) => Effect.Effect<Identified, IdentityInvalid>
    /** The principal that credentials give to a caller of `app`, outside a pipeline. */
    readonly principal: (credentials: Credentials, app: string) => Effect.Effect<Principal, IdentityInvalid>
    /** Succeeds when every configured issuer's key set can be used now. */
    readonly ready: Effect.Effect<void, IdentityInvalid | Configuration>
  }
>()("secure-openai/Identity") {
  /**
   * Identity by access tokens of the given issuers; with none, users are refused. A token is verified when it is first
   * seen and every five minutes after, its end is checked at every call.
   *
   * @category layers
   */
  static readonly layer = (options: {
    readonly issuers: ReadonlyArray<Jwt.IssuerOptions>
  }): Layer.Layer<Identity, Configuration> =>
    Layer.effect(
      Identity,
      Effect.suspend(() => {
        try {
          return Effect.succeed(Identity.of(make(Jwt.issuers(options.issuers))))
        } catch (error) {
          return error instanceof Configuration ? Effect.fail(error) : Effect.die(error)
        }
      })
    )
}

type UserCredentials = Extract<Credentials, { readonly _tag: "User" }>

const make = (issuers: ReadonlyMap<string, Jwt.Issuer>): Identity["Service"] => {
  const sessions = makeSessions(issuers)
  const user = (credentials: UserCredentials): Effect.Effect<Principal, IdentityInvalid> =>
    Effect.withFiber((fiber) => {
      if (issuers.size === 0) return Effect.fail(noIssuer())
      const clock = fiber.getRef(Clock.Clock)
      const kept = sessions.kept(credentials.token, clock.currentTimeMillisUnsafe())
      if (kept !== undefined) return asNamed(kept, credentials)
      return Effect.flatMap(
        attempt(() => sessions.open(credentials.token, () => clock.currentTimeMillisUnsafe())),
        (principal) => asNamed(principal, credentials)
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
    ready: Effect.forEach(issuers.values(), (issuer) => attempt(issuer.keys.ready), {
      concurrency: "unbounded",
      discard: true
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

interface Session {
  readonly token: Redacted.Redacted<string>
  readonly principal: Principal
  readonly expiresAt: number
  readonly clockTolerance: number
  readonly verifiedAt: number
}

/**
 * Sessions by the SHA-256 of the whole token, and by the source that gave it, so that a source that was used before costs
 * no hashing. A function is asked again only once the last token that it gave has ended; calls that need it meanwhile
 * share the answer.
 */
const makeSessions = (issuers: ReadonlyMap<string, Jwt.Issuer>) => {
  const byToken = new Map<string, Session>()
  const bySource = new WeakMap<TokenSource, Session>()
  const opening = new WeakMap<TokenSource, Promise<Principal>>()

  const kept = (source: TokenSource, now: number): Principal | undefined => {
    const session = bySource.get(source)
    return session !== undefined && isVerified(session, now) && !isOver(session, source, now)
      ? session.principal
      : undefined
  }

  const open = (source: TokenSource, clock: () => number): Promise<Principal> => {
    const shared = opening.get(source)
    if (shared !== undefined) return shared
    const opened = renew(source, clock).finally(() => opening.delete(source))
    opening.set(source, opened)
    return opened
  }

  const renew = async (source: TokenSource, clock: () => number): Promise<Principal> => {
    const last = bySource.get(source)
    const token = last !== undefined && !isOver(last, source, clock()) ? Redacted.value(last.token) : await take(source)
    const session = await verified(token, clock)
    bySource.set(source, session)
    return session.principal
  }

  const verified = async (token: string, clock: () => number): Promise<Session> => {
    const tokenHash = Crypto.hash("sha256", token, "base64url")
    const known = byToken.get(tokenHash)
    const now = clock()
    if (known !== undefined && isVerified(known, now)) {
      if (Jwt.isExpired(known.expiresAt, known.clockTolerance, now)) throw Jwt.expired()
      return known
    }
    const { claims, expiresAt, issuer } = await Jwt.verify(token, issuers, clock)
    const session: Session = {
      token: Redacted.make(token),
      principal: Claims.principal(claims, issuer.claims, { issuer: issuer.issuer, expiresAt, tokenHash }),
      expiresAt,
      clockTolerance: issuer.clockTolerance,
      verifiedAt: now
    }
    byToken.delete(tokenHash)
    byToken.set(tokenHash, session)
    const oldest = byToken.size > maximumSessions ? byToken.keys().next().value : undefined
    if (oldest !== undefined) byToken.delete(oldest)
    return session
  }

  return { kept, open }
}

const isVerified = (session: Session, now: number): boolean =>
  now >= session.verifiedAt && now - session.verifiedAt < verificationAge

/** A function is asked for the next token at the end of the last one, with no tolerance: it costs nothing to be early. */
const isOver = (session: Session, source: TokenSource, now: number): boolean =>
  Jwt.isExpired(session.expiresAt, typeof source === "function" ? 0 : session.clockTolerance, now)

const take = async (source: TokenSource): Promise<string> => {
  let token: unknown
  try {
    token = typeof source === "function" ? await within(renewalTimeout, source()) : Redacted.value(source)
  } catch (cause) {
    throw new IdentityInvalid({
      reason: "missing",
      message: "There is no token: the function that should get one failed. Its error is the cause.",
      cause
    })
  }
  if (typeof token !== "string" || token === "")
    throw new IdentityInvalid({
      reason: "missing",
      message:
        "The token is empty. Set jwtToken or iamToken to an access token; leave it out to call as the application."
    })
  return token
}

const within = async <A>(milliseconds: number, promise: Promise<A>): Promise<A> => {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds)
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
          message: `userName is ${JSON.stringify(userName)}, but the token says ${JSON.stringify(principal.id)}. Leave userName out, or map another claim with the issuer's option "claims": { "name": … }.`
        })
      )

const noIssuer = (): IdentityInvalid =>
  new IdentityInvalid({
    reason: "no_issuer",
    message:
      "No issuer is configured, so no user's token can be verified. Set the option issuers: { issuer, audience }, or SECURE_OPENAI_ISSUER and SECURE_OPENAI_AUDIENCE."
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
