/**
 * The envelope. Signing promises that every call that goes on carries a signature over what was asked, by whom, of whom
 * and when, and that a call made by another agent is let through only if that agent's own envelope holds.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { type Call, type Identified, Signed } from "../Call.ts"
import { EnforcementUnavailable, IdentityInvalid } from "../Errors.ts"
import { Keys, type SigningKey } from "../Keys.ts"
import { policyId, type Principal } from "../Principal.ts"
import { type Agent, Directory } from "./Directory.ts"
import * as Envelope from "./Envelope.ts"
import { Replay } from "./Replay.ts"

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
      return Signing.of({
        sign: (identified) =>
          Effect.withFiber((fiber): Effect.Effect<Signed, IdentityInvalid | EnforcementUnavailable> => {
            const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
            const { invocation } = identified.call
            if (invocation === undefined) return seal(agent, identified, undefined, now)
            const parent = verifyInvocation(directory, identified, invocation, now)
            if (Result.isFailure(parent)) return Effect.fail(refused(parent.failure))
            return Effect.flatMap(
              replay.use(parent.success.claims),
              (first): Effect.Effect<Signed, IdentityInvalid | EnforcementUnavailable> =>
                first ? seal(agent, identified, parent.success, now) : Effect.fail(replayed())
            )
          })
      })
    })
  )
}

const seal = (
  key: SigningKey,
  identified: Identified,
  parent: Envelope.Envelope | undefined,
  now: number
): Effect.Effect<Signed, EnforcementUnavailable> => {
  const { call, principal } = identified
  try {
    const envelope = Envelope.sign({
      ...Envelope.ofCall(call, principal),
      key,
      iss: call.server,
      aud: audienceOf(call),
      parent,
      now
    })
    return Effect.succeed(new Signed(identified, envelope))
  } catch (cause) {
    return Effect.fail(
      new EnforcementUnavailable({
        stage: "signing",
        message: "The call could not be signed; nothing was sent.",
        cause
      })
    )
  }
}

/** Who the bytes are for: the provider, or the server itself where the call stays here. */
const audienceOf = ({ endpoint, server }: Call): string => {
  const origin = /^\S+ (https?:\/\/[^/?#]+)/.exec(endpoint)
  return origin?.[1] ?? server
}

const verifyInvocation = (
  directory: Directory["Service"],
  { call, principal }: Identified,
  invocation: string,
  now: number
): Result.Result<Envelope.Envelope, string> => {
  const verified = Envelope.verify(invocation, {
    publicKey: (agentId, kid) => {
      const agent = directory.get(agentId)
      return agent?.kid === kid ? agent.publicKey : undefined
    },
    ...Envelope.ofCall(call, principal),
    aud: call.server,
    now
  })
  if (Result.isFailure(verified)) return verified
  const agent = directory.get(verified.success.claims.iss)
  if (agent === undefined || !mayActFor(agent, principal))
    return Result.fail(`is by an agent that is not ${policyId(principal)}`)
  return verified.success.claims.dep < Envelope.maximumDepth
    ? verified
    : Result.fail(`is at the end of a chain of ${Envelope.maximumDepth} agents, the longest that may be`)
}

/**
 * An agent that registered with a principal acts for that one. Any other acts for itself, under the name of its
 * application, or for a user whose token it shows.
 */
const mayActFor = (agent: Agent, principal: Principal): boolean =>
  agent.principal === undefined
    ? principal.kind === "user" || principal.id === agent.app
    : principal.kind === agent.principal.kind &&
      principal.id === agent.principal.id &&
      principal.issuer === agent.principal.issuer

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
