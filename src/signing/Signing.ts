/**
 * The envelope. Signing promises that every call that goes on carries a signature over what was asked, by whom, of whom
 * and when, and that a call made by another agent is let through only if that agent's own envelope holds.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Call } from "../call/Call.ts"
import { type Identified, Signed } from "../call/States.ts"
import type { Lineage } from "../call/Lineage.ts"
import type { Content } from "../base/Content.ts"
import { EnforcementUnavailable, IdentityInvalid } from "../call/Errors.ts"
import { elapsed, makeBatch } from "../base/EventLoop.ts"
import { type AnyKey, Keys, SignerFailed } from "../keys/Keys.ts"
import { toolResource } from "../call/Operation.ts"
import { fullName, identityOf, isSame, type Principal } from "../call/Principal.ts"
import { type Agent, Directory } from "./Directory.ts"
import * as Envelope from "./Envelope.ts"
import { Replay } from "./Replay.ts"

/** What every call, and every invocation of another agent, is refused with; absent where they are not. */
export interface SigningStatus {
  readonly call?: EnforcementUnavailable
  readonly invocation?: EnforcementUnavailable
}

/** How long a signer counts as out of reach after it failed, in ms: then the next call tells. */
const failureAge = 10_000

/**
 * The signing stage.
 *
 * @category services
 */
export class Signing extends Context.Service<
  Signing,
  {
    /** The call with its signed envelope; the invocation that it came with, if any, is verified first. */
    readonly sign: (identified: Identified) => Effect.Effect<Signed, IdentityInvalid | EnforcementUnavailable>
    /**
     * Fails with what every call would be refused with now, or every invocation of another agent. A signer that gave no
     * signature the last time is asked for that one again.
     */
    readonly serving?: (what: "call" | "invocation") => Effect.Effect<void, EnforcementUnavailable>
    /** The same, asking nobody: a signer that failed counts as out of reach for ten seconds. */
    readonly status?: Effect.Effect<SigningStatus>
  }
>()("secure-openai/Signing") {
  /**
   * Signs with the agent key, and verifies invocations of registered agents.
   *
   * @category layers
   */
  static readonly layer: Layer.Layer<Signing, never, Keys | Directory | Replay> = Layer.effect(
    Signing,
    Effect.gen(function* () {
      const { agent } = yield* Keys
      const directory = yield* Directory
      const replay = yield* Replay
      // A signature takes three times as long where other work was done before it.
      const together = makeBatch()
      const failing = makeFailing()
      const isRemote = "signLater" in agent
      const sealed = (identified: Identified, parent: Parent | undefined, now: number) => {
        const signed = together(() => seal(agent, identified, parent, now))
        return isRemote ? failing.watch(signed) : signed
      }
      return Signing.of({
        serving: (what) => (what === "call" ? failing.again : (replay.serving ?? Effect.void)),
        status: Effect.gen(function* () {
          const call = failing.recent()
          const invocation = yield* Effect.match(replay.serving ?? Effect.void, {
            onFailure: (error) => error,
            onSuccess: () => undefined
          })
          return { ...(call !== undefined && { call }), ...(invocation !== undefined && { invocation }) }
        }),
        sign: (identified) =>
          hashed(identified.call.content, (fiber): Effect.Effect<Signed, IdentityInvalid | EnforcementUnavailable> => {
            const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
            const { chain, invocation, lineage } = identified.call
            if (invocation === undefined) {
              if (lineage === undefined) return sealed(identified, undefined, now)
              const parent = continued(identified, lineage, now)
              return Result.isFailure(parent)
                ? Effect.fail(refused(parent.failure))
                : sealed(identified, parent.success, now)
            }
            const verified = verifyInvocation(directory, agent, identified, invocation, now)
            if (Result.isFailure(verified)) return Effect.fail(refused(verified.failure))
            const parent = { link: verified.success, chain: [...chain, invocation] }
            return Effect.flatMap(
              replay.use(verified.success.claims),
              (first): Effect.Effect<Signed, IdentityInvalid | EnforcementUnavailable> =>
                first ? sealed(identified, parent, now) : Effect.fail(replayed())
            )
          })
      })
    })
  )
}

/** Remembers the last signature that could not be had, until one can. */
const makeFailing = () => {
  let failed:
    | {
        readonly at: number
        readonly error: EnforcementUnavailable
        readonly sign: Effect.Effect<unknown, EnforcementUnavailable>
      }
    | undefined
  const watch = <A>(sign: Effect.Effect<A, EnforcementUnavailable>): Effect.Effect<A, EnforcementUnavailable> =>
    Effect.onExit(sign, (exit) =>
      Effect.sync(() => {
        const error = Exit.findErrorOption(exit)
        if (Exit.isSuccess(exit)) failed = undefined
        else if (Option.isSome(error)) failed = { at: elapsed(), error: error.value, sign }
      })
    )
  return {
    watch,
    again: Effect.suspend(() => (failed === undefined ? Effect.void : Effect.asVoid(watch(failed.sign)))),
    recent: () => (failed !== undefined && elapsed() - failed.at < failureAge ? failed.error : undefined)
  }
}

/** Goes on once the digest of a large content was taken, a part in each turn of the event loop. */
const hashed = <A, E>(content: Content, f: Parameters<typeof Effect.withFiber<A, E>>[0]): Effect.Effect<A, E> =>
  content.isLarge
    ? Effect.andThen(
        Effect.promise(() => content.hash()),
        Effect.withFiber(f)
      )
    : Effect.withFiber(f)

/** The envelope that a call follows, and all of its chain, root first, itself the last. */
interface Parent {
  readonly link: Envelope.Link
  readonly chain: ReadonlyArray<string>
}

const seal = (
  key: AnyKey<"agent">,
  identified: Identified,
  parent: Parent | undefined,
  now: number
): Effect.Effect<Signed, EnforcementUnavailable> => {
  const { call, principal } = identified
  const whole = (envelope: Envelope.Envelope): Signed =>
    new Signed(identified, { ...envelope, chain: parent?.chain ?? [] })
  try {
    const envelope = Envelope.sign({
      ...Envelope.ofCall(call, principal),
      key,
      iss: call.server,
      aud: audienceOf(call),
      parent: parent?.link,
      now
    })
    return envelope instanceof Promise
      ? Effect.tryPromise({ try: () => envelope.then(whole), catch: unsigned })
      : Effect.succeed(whole(envelope))
  } catch (cause) {
    return Effect.fail(unsigned(cause))
  }
}

const unsigned = (cause: unknown): EnforcementUnavailable =>
  new EnforcementUnavailable({
    stage: "signing",
    message: `The call could not be signed; nothing was sent.${cause instanceof SignerFailed ? ` ${cause.message}` : ""}`,
    cause
  })

/**
 * The envelope that a call of this process follows, which the call was made because of. None where the chain has ended: it
 * has expired, or the call is in another name. What the chain forbids stays forbidden, for policy is told of it anyway.
 */
const continued = (
  { principal }: Identified,
  lineage: Lineage,
  now: number
): Result.Result<Parent | undefined, string> => {
  const link = Envelope.linkOf(lineage.envelope)
  if (link === undefined) return Result.succeed(undefined)
  const { dep, exp } = link.claims
  if (dep >= Envelope.maximumDepth) return Result.fail(tooDeep)
  const goesOn = isSame(principal, lineage.principal) && principal.tokenHash === lineage.principal.tokenHash
  return Result.succeed(
    goesOn && exp > Math.floor(now / 1000) ? { link, chain: [...lineage.chain, lineage.envelope] } : undefined
  )
}

const tooDeep = `is at the end of a chain of ${Envelope.maximumDepth} agents, the longest that may be`

/** Who the bytes are for: the provider, or the server itself where the call stays here. */
const audienceOf = ({ endpoint, server }: Call): string => {
  const origin = /^\S+ (https?:\/\/[^/?#]+)/.exec(endpoint)
  return origin?.[1] ?? server
}

const verifyInvocation = (
  directory: Directory["Service"],
  own: AnyKey<"agent">,
  { call, principal }: Identified,
  invocation: string,
  now: number
): Result.Result<Envelope.Envelope, string> => {
  const publicKey = (agentId: string, kid: string): Uint8Array | undefined => {
    const agent = directory.get(agentId)
    return agent?.kid === kid ? agent.publicKey : undefined
  }
  const verified = Envelope.verify(invocation, {
    publicKey,
    ...Envelope.ofCall(call, principal),
    aud: call.server,
    now
  })
  if (Result.isFailure(verified)) return verified
  const { claims } = verified.success
  const agent = directory.get(claims.iss)
  if (agent === undefined) return Result.fail("is not by an agent that is registered with this key")
  if (claims.dep >= Envelope.maximumDepth) return Result.fail(tooDeep)
  if (claims.dep === 0)
    return call.chain.length > 0
      ? Result.fail(`stands at depth 0, and ${call.chain.length} envelopes came with it`)
      : mayActFor(agent, principal)
        ? verified
        : Result.fail(`is by an agent that is not ${fullName(principal)}`)

  // Services are in no directory: the workspace's own key signs for them.
  const links = Envelope.verifyChain(verified.success, call.chain, {
    publicKey: (agentId, kid) =>
      publicKey(agentId, kid) ?? (directory.get(agentId) === undefined && kid === own.kid ? own.publicKey : undefined),
    mayFollow: (child, parent) => mayFollow(directory, child, parent, principal),
    intents: call.intents,
    now
  })
  if (Result.isFailure(links)) return Result.fail(links.failure)
  const root = directory.get(links.success[0]?.claims.iss ?? "")
  const isHis = mayActFor(agent, principal)
  // Who acts for another says so by a chain that this one began, or by the token that this one gave.
  if (
    !isHis &&
    (agent.kind !== "agent" || (root === undefined ? principal.kind !== "user" : !mayActFor(root, principal)))
  )
    return Result.fail(`is by an agent that is not ${fullName(principal)}, in a chain that is not his`)
  const acting = [...links.success.map((link) => link.claims.iss), claims.iss].flatMap((id) => {
    const other = directory.get(id)?.principal
    return other === undefined || isSame(other, principal) ? [] : [identityOf(other)]
  })
  const told = new Set(call.behalf.map(identityOf))
  return acting.every((id) => told.has(id)) ? verified : Result.fail("leaves out an agent that it was made through")
}

/**
 * A call is made because of another by who that one was for: the service, an agent of the service's application, or an agent
 * of the principal itself.
 */
const mayFollow = (
  directory: Directory["Service"],
  child: Envelope.EnvelopeClaims,
  parent: Envelope.EnvelopeClaims,
  principal: Principal
): boolean => {
  if (child.iss === parent.aud || child.iss === parent.iss) return true
  const agent = directory.get(child.iss)
  return (
    agent !== undefined &&
    (toolResource(agent.app, operationOf(parent.tool)) === parent.tool || mayActFor(agent, principal))
  )
}

const operationOf = (tool: string): string => tool.slice(tool.indexOf("/") + 1)

/**
 * An agent that registered with a principal acts for that one. Any other acts for itself, under the name of its
 * application, or for a user whose token it shows.
 */
const mayActFor = (agent: Agent, principal: Principal): boolean =>
  agent.principal === undefined
    ? principal.kind === "user" || principal.id === agent.app
    : isSame(principal, agent.principal)

const refused = (what: string): IdentityInvalid =>
  new IdentityInvalid({
    reason: "envelope",
    message: `The invocation ${what}. Make the call again, with an AgentClient that is registered in this workspace.`
  })

const replayed = (): IdentityInvalid =>
  new IdentityInvalid({
    reason: "replayed",
    message:
      "The invocation was used before, or was made before this process started. Make the call again: each call needs its own."
  })
