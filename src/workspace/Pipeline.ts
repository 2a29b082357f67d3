/**
 * The six stages composed: the way of a request, as one sentence.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { Audit } from "../audit/Audit.ts"
import { type Call, Committed, Decided, Identified, Prepared, type Reply, Signed } from "../call/Call.ts"
import {
  type ApprovalPending,
  EnforcementUnavailable,
  IdentityInvalid,
  type PipelineError,
  policyDenied,
  type PolicyDenied,
  type PolicyRateLimited,
  type StageName
} from "../call/Errors.ts"
import { isOperation, operations } from "../call/Operation.ts"
import { Identity } from "../identity/Identity.ts"
import { Invocation } from "../invocation/Invocation.ts"
import { gated } from "../invocation/output/OutputGate.ts"
import { Policy } from "../policy/Policy.ts"
import type { Principal } from "../call/Principal.ts"
import { Rewriting } from "../rewriting/Rewriting.ts"
import { Signing } from "../signing/Signing.ts"

/** What a pipeline is composed of. */
export type Stage = Identity | Signing | Policy | Rewriting | Audit | Invocation

/**
 * The stages as a sentence uses them. Each is a function from one state to the next, so a sentence that skips a stage or
 * changes their order does not compile.
 *
 * @category models
 */
export interface Stages {
  readonly identity: { readonly resolve: Step<Call, Identified, IdentityInvalid> }
  readonly signing: { readonly sign: Step<Identified, Signed, IdentityInvalid> }
  readonly policy: { readonly evaluate: Step<Signed, Decided, PolicyDenied | ApprovalPending> }
  readonly rewriting: { readonly apply: Step<Decided, Prepared, PolicyDenied> }
  readonly audit: { readonly commit: Step<Prepared, Committed, PolicyRateLimited | IdentityInvalid> }
  readonly invocation: { readonly invoke: Step<Committed, Reply, PipelineError> }
}

/** From one state to the next; whatever a stage does, it may turn out to be unavailable. */
export type Step<A, B, E> = (a: A) => Effect.Effect<B, E | EnforcementUnavailable>

/** A composition of the stages. */
export type Sentence = (call: Call) => Effect.Effect<Reply, PipelineError>

/**
 * The pipeline.
 *
 * @category services
 */
export class Pipeline extends Context.Service<
  Pipeline,
  {
    /** Takes a call to its reply; fails closed. */
    readonly run: (call: Call) => Effect.Effect<Reply, PipelineError>
  }
>()("secure-openai/Pipeline") {
  /**
   * A pipeline of one's own. Every sentence is followed by the audit, so none can forget it; a stage that throws, that is
   * given another state than its own, or that takes longer than `deadline` (in ms, 10,000 by default, up to the moment
   * that the bytes leave) refuses the call.
   *
   * @category layers
   */
  static readonly layerFrom = (
    sentence: (stages: Stages) => Sentence,
    options?: { readonly deadline?: number }
  ): Layer.Layer<Pipeline, never, Stage> =>
    Layer.effect(
      Pipeline,
      Effect.gen(function* () {
        const identity = yield* Identity
        const signing = yield* Signing
        const policy = yield* Policy
        const rewriting = yield* Rewriting
        const audit = yield* Audit
        const invocation = yield* Invocation
        const progress = makeProgress(options?.deadline ?? 10_000)
        const run = sentence({
          identity: {
            resolve: (call) =>
              Effect.tap(progress.stage("identity", identity.resolve)(call), (identified) =>
                Effect.sync(() => audit.identified(identified))
              )
          },
          signing: { sign: progress.stage("signing", checked(Identified, signing.sign)) },
          policy: { evaluate: progress.stage("policy", checked(Signed, policy.evaluate)) },
          rewriting: { apply: progress.stage("rewriting", checked(Decided, rewriting.apply)) },
          audit: {
            commit: progress.stage(
              "audit",
              checked(Prepared, (prepared) =>
                Effect.flatMap(
                  Effect.andThen(
                    stillValid(prepared.principal),
                    Effect.suspend(() => audit.commit(prepared))
                  ),
                  claimed
                )
              )
            )
          },
          invocation: {
            invoke: progress.stage(
              "invocation",
              checked(Committed, (committed) => {
                if (!committed.spend()) throw new Error("a committed call is invoked once")
                progress.met(committed.call)
                return gated(invocation.invoke)(committed)
              })
            )
          }
        })
        const sentenceOf = (call: Call) =>
          Effect.mapError(
            Effect.suspend(() => run(call)),
            (error) => (error._tag === "PolicyDenied" ? about(error, call) : error)
          )
        return Pipeline.of({
          run: (call) =>
            Effect.withFiber((fiber) => {
              const traced = fiber.context.mapUnsafe.has(Tracer.TracerKey)
              const followed = audit.observe(call)(progress.watch(call, traced, sentenceOf(call)))
              return traced ? callSpan(call, followed) : followed
            })
        })
      })
    )

  /** The six stages, in order. @category layers */
  static readonly layer: Layer.Layer<Pipeline, never, Stage> = Pipeline.layerFrom(
    ({ audit, identity, invocation, policy, rewriting, signing }) =>
      (call) =>
        identity
          .resolve(call)
          .pipe(
            Effect.flatMap(signing.sign),
            Effect.flatMap(policy.evaluate),
            Effect.flatMap(rewriting.apply),
            Effect.flatMap(audit.commit),
            Effect.flatMap(invocation.invoke)
          )
  )
}

/** The token may have ended while stages waited: it is looked at again before anything leaves, a stream's start included. */
const stillValid = ({ validUntil }: Principal): Effect.Effect<void, IdentityInvalid> =>
  validUntil === undefined
    ? Effect.void
    : Effect.withFiber((fiber) =>
        fiber.getRef(Clock.Clock).currentTimeMillisUnsafe() < validUntil * 1000
          ? Effect.void
          : Effect.fail(
              new IdentityInvalid({
                reason: "expired",
                message: "The token expired while the call waited, and nothing was sent. Get a new one and call again."
              })
            )
      )

/** A committed call once everything that it spends is claimed: a log of one's own that keeps no limits lets no such call go on. */
const claimed = (committed: Committed): Effect.Effect<Committed, EnforcementUnavailable> => {
  const { wants } = committed.from.from.judge
  const { claims } = committed.entry
  if (wants.every((want) => claims.includes(want))) return Effect.succeed(committed)
  return Effect.fail(
    new EnforcementUnavailable({
      stage: "audit",
      message:
        "The log of this pipeline does not claim rate limits, and nothing was sent. Its commit has to claim `judge.wants` in one step with the record, and to say so in `Entry.claims`."
    })
  )
}

/** A refusal of a stage of one's own, which knows no call, says what it was about. */
const about = (error: PolicyDenied, call: Call): PolicyDenied =>
  error.decision.resource === "" ? policyDenied({ ...error.decision, resource: call.resource }, error.stage) : error

/** The span of a whole call, by the OpenTelemetry conventions for generative AI. */
const callSpan = <A, E>(call: Call, run: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  const model = call.params["model"]
  const operation = isOperation(call.operation) ? operations[call.operation].telemetry : "execute_tool"
  const subject = operation === "execute_tool" ? call.operation : typeof model === "string" ? model : ""
  return Effect.withSpan(run, `${operation} ${subject}`, {
    kind: "client",
    attributes: {
      "gen_ai.operation.name": operation,
      "gen_ai.provider.name": "openai",
      ...(operation === "execute_tool" ? { "gen_ai.tool.name": subject } : { "gen_ai.request.model": subject }),
      "secure_openai.call.id": call.id
    }
  })
}

const checked =
  <A, B, E>(state: { is: (u: unknown) => u is A }, f: (a: A) => Effect.Effect<B, E>) =>
  (a: A): Effect.Effect<B, E> => {
    if (!state.is(a)) throw new TypeError("a stage was given a state that no stage made")
    return f(a)
  }

/** What is known of a call that is under way. */
interface Progress {
  stage: StageName
  readonly traced: boolean
  readonly deadline: NodeJS.Timeout
}

/**
 * The calls that are under way: in which stage, for the refusal of a stage that throws and for the span of one that is
 * traced; and until when, for the pipeline's own deadline.
 */
const makeProgress = (milliseconds: number) => {
  const calls = new Map<string, Progress>()

  /** A stage's function at its boundary. A span costs more than a stage: there are some only where a tracer was given. */
  const stage =
    <A extends { readonly call: Call } | Call, B, E>(name: StageName, f: (a: A) => Effect.Effect<B, E>) =>
    (a: A): Effect.Effect<B, E> =>
      Effect.suspend(() => {
        const progress = calls.get("call" in a ? a.call.id : a.id)
        if (progress === undefined) return f(a)
        progress.stage = name
        return progress.traced ? Effect.withSpan(f(a), `secure_openai.${name}`) : f(a)
      })

  /** The bytes may leave: from here on it is the provider that takes its time. */
  const met = (call: Call): void => clearTimeout(calls.get(call.id)?.deadline)

  const threw = (call: Call) => (cause: Cause.Cause<unknown>) => {
    const error = Cause.squash(cause)
    const name = calls.get(call.id)?.stage ?? "identity"
    const message = `The ${name} stage threw: ${String(error)}`
    return Effect.fail(new EnforcementUnavailable({ stage: name, message, cause: error }))
  }

  const late = Effect.suspend(() =>
    Effect.fail(
      new EnforcementUnavailable({
        stage: "invocation",
        message: `The pipeline did not decide within ${milliseconds} ms; nothing was sent.`
      })
    )
  )

  /** Runs a call to its reply; fails closed where a stage throws, or the deadline passes before the bytes may leave. */
  const watch = (
    call: Call,
    traced: boolean,
    run: Effect.Effect<Reply, PipelineError>
  ): Effect.Effect<Reply, PipelineError> => {
    // One fiber for the call, and a timer beside it: a race of two fibers costs three times as much.
    return Effect.withFiber((parent) =>
      Effect.callback((resume) => {
        const deadline = setTimeout(() => {
          resume(late)
          fiber.interruptUnsafe()
        }, milliseconds).unref()
        // The stages look it up.
        calls.set(call.id, { stage: "identity", traced, deadline })
        const fiber = Effect.runForkWith(parent.context)(Effect.catchCauseIf(run, Cause.hasDies, threw(call)))
        fiber.addObserver((exit) => {
          met(call)
          calls.delete(call.id)
          resume(exit)
        })
        return Fiber.interrupt(fiber)
      })
    )
  }

  return { met, stage, watch }
}
