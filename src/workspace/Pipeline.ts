/**
 * The six stages composed: the way of a request, as one sentence.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { Audit } from "../audit/Audit.ts"
import type { Call } from "../call/Call.ts"
import { Committed, Decided, Identified, Prepared, Signed } from "../call/States.ts"
import type { Reply } from "../call/Reply.ts"
import {
  type ApprovalPending,
  EnforcementUnavailable,
  type IdentityInvalid,
  type PipelineError,
  type PolicyDenied,
  type PolicyRateLimited
} from "../call/Errors.ts"
import { isOperation, operations } from "../call/Operation.ts"
import { Identity } from "../identity/Identity.ts"
import { Invocation } from "../invocation/Invocation.ts"
import { gated } from "../invocation/output/OutputGate.ts"
import { Policy } from "../policy/Policy.ts"
import type { Principal } from "../call/Principal.ts"
import { about, makePassing, type Passing, stillValid } from "./Passing.ts"
import { makeProgress } from "./Progress.ts"
import type { PassThrough } from "../call/PassThrough.ts"
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

/**
 * Looks at a request of a family (`models`, `files`, …) once its caller is identified, before policy judges its resource. Fails with
 * a refusal, or lets the request go on.
 */
export type FamilyCheck = (
  request: PassThrough,
  principal: Principal
) => Effect.Effect<void, PolicyDenied | ApprovalPending | EnforcementUnavailable>

/** How a pipeline of one's own runs, besides its sentence. */
export interface PipelineOptions {
  /** In ms, up to the moment that the bytes may leave. Default 10,000. */
  readonly deadline?: number
  /** Asked of each request of a family: these have no params, so that the sentence itself cannot take them. Default: none. */
  readonly families?: FamilyCheck
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
    /**
     * Judges and records a request of a family, which then passes through; fails closed. Succeeds with the function that records how
     * the request ended. A client gives a pipeline without it the default one.
     */
    readonly pass?: Passing
  }
>()("secure-openai/Pipeline") {
  /**
   * A pipeline of one's own. The audit follows every sentence, so none can forget it; a stage that throws, that receives another
   * state than its own, or that takes longer than `deadline` refuses the call.
   *
   * Requests of families pass through it too: its layers of Identity, Policy and Audit serve them, under the same deadline and with
   * the same spans. The sentence does not see them, for they have no params; `families` checks them in its place.
   *
   * @category layers
   */
  static readonly layerFrom = (
    sentence: (stages: Stages) => Sentence,
    options?: PipelineOptions
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
        const progress = makeProgress(options?.deadline ?? usualDeadline)
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
          pass: yield* makePassing(progress, options?.families),
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

/** The same pipeline; one that does not pass families' requests gets the default way for them. */
export const withFamilies = <E, R>(layer: Layer.Layer<Pipeline, E, R>): Layer.Layer<Pipeline, E, R | Stage> =>
  Layer.effect(
    Pipeline,
    Effect.gen(function* () {
      const given = yield* Pipeline
      const pass = given.pass ?? (yield* makePassing(makeProgress(usualDeadline)))
      return Pipeline.of({ run: (call) => given.run(call), pass: (request) => pass(request) })
    })
  ).pipe(
    // What else the layer brings stays in force, a tracer for instance.
    Layer.provideMerge(layer)
  )

/** In ms. */
const usualDeadline = 10_000

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
