/**
 * The six stages composed: the way of a request, as one sentence.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { Audit } from "./audit/Audit.ts"
import { type Call, Committed, Decided, Identified, Prepared, type Reply, Signed } from "./Call.ts"
import {
  type ApprovalPending,
  EnforcementUnavailable,
  type IdentityInvalid,
  type PipelineError,
  policyDenied,
  type PolicyDenied,
  type PolicyRateLimited,
  type StageName
} from "./Errors.ts"
import { isOperation, operations } from "./Operation.ts"
import { Identity } from "./identity/Identity.ts"
import { Invocation } from "./invocation/Invocation.ts"
import { Policy } from "./policy/Policy.ts"
import { Rewriting } from "./rewriting/Rewriting.ts"
import { Signing } from "./signing/Signing.ts"

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
  readonly policy: { readonly evaluate: Step<Signed, Decided, PolicyDenied | ApprovalPending | PolicyRateLimited> }
  readonly rewriting: { readonly apply: Step<Decided, Prepared, PolicyDenied> }
  readonly audit: { readonly commit: Step<Prepared, Committed, never> }
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
        const deadlines = makeDeadlines(options?.deadline ?? 10_000)
        const run = sentence({
          identity: {
            resolve: (call) =>
              Effect.tap(boundary("identity", identity.resolve)(call), (identified) =>
                Effect.sync(() => audit.identified(identified))
              )
          },
          signing: { sign: boundary("signing", checked(Identified, signing.sign)) },
          policy: { evaluate: boundary("policy", checked(Signed, policy.evaluate)) },
          rewriting: { apply: boundary("rewriting", checked(Decided, rewriting.apply)) },
          audit: { commit: boundary("audit", checked(Prepared, audit.commit)) },
          invocation: {
            invoke: boundary(
              "invocation",
              checked(Committed, (committed) => {
                if (!committed.spend()) throw new Error("a committed call is invoked once")
                deadlines.met(committed.call)
                return invocation.invoke(committed)
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
          run: (call) => callSpan(call, audit.observe(call)(deadlines.watch(call, sentenceOf(call))))
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

/** A stage's function at its boundary: a span where somebody traces, and a refusal where it throws. */
const boundary = <A, B, E extends PipelineError>(
  stage: StageName,
  f: (a: A) => Effect.Effect<B, E>
): ((a: A) => Effect.Effect<B, E | EnforcementUnavailable>) => {
  const threw = (cause: Cause.Cause<E>) => {
    const error = Cause.squash(cause)
    const message = `The ${stage} stage threw: ${String(error)}`
    return Effect.fail(new EnforcementUnavailable({ stage, message, cause: error }))
  }
  return (a) => {
    const guarded = Effect.catchCauseIf(
      Effect.suspend(() => f(a)),
      Cause.hasDies,
      threw
    )
    return whereTraced(guarded, () => Effect.withSpan(guarded, `secure_openai.${stage}`))
  }
}

/** A refusal of a stage of one's own, which knows no call, says what it was about. */
const about = (error: PolicyDenied, call: Call): PolicyDenied =>
  error.decision.resource === "" ? policyDenied({ ...error.decision, resource: call.resource }, error.stage) : error

/** The span of a whole call, by the OpenTelemetry conventions for generative AI. */
const callSpan = <A, E>(call: Call, run: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  whereTraced(run, () => {
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
  })

/** A span costs more than a stage: there are some only where a tracer was given. */
const whereTraced = <A, E>(run: Effect.Effect<A, E>, traced: () => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withFiber((fiber) => (fiber.context.mapUnsafe.has(Tracer.TracerKey) ? traced() : run))

const checked =
  <A, B, E>(state: { is: (u: unknown) => u is A }, f: (a: A) => Effect.Effect<B, E>) =>
  (a: A): Effect.Effect<B, E> => {
    if (!state.is(a)) throw new TypeError("a stage was given a state that no stage made")
    return f(a)
  }

/** The pipeline's own deadline: from the start of a call until its bytes may leave. */
const makeDeadlines = (milliseconds: number) => {
  const pending = new Map<string, ReturnType<typeof setTimeout>>()
  const met = (call: Call): void => {
    clearTimeout(pending.get(call.id))
    pending.delete(call.id)
  }
  const passed = (call: Call) =>
    Effect.callback<never, EnforcementUnavailable>((resume) => {
      const refuse = () =>
        resume(
          Effect.fail(
            new EnforcementUnavailable({
              stage: "invocation",
              message: `The pipeline did not decide within ${milliseconds} ms; nothing was sent.`
            })
          )
        )
      pending.set(call.id, setTimeout(refuse, milliseconds).unref())
      return Effect.sync(() => met(call))
    })
  const watch = (call: Call, run: Effect.Effect<Reply, PipelineError>): Effect.Effect<Reply, PipelineError> =>
    Effect.raceFirst(run, passed(call))
  return { met, watch }
}
