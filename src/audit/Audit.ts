/**
 * The log. Audit promises that nothing leaves unrecorded: a decision is durable before the bytes go out, a refusal before
 * the caller sees it, and an outcome always follows.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Call, Committed, Identified, PassThrough, Prepared, Reply } from "../Call.ts"
import type { EnforcementUnavailable, PipelineError, StageName } from "../Errors.ts"
import type { Principal } from "../Principal.ts"

/** How a call ended (audit format §3). */
export type Result = "complete" | "failed" | "abandoned" | "aborted" | "refused" | "unknown"

/** How a pass-through request ended. */
export interface Outcome {
  readonly result: Result
  readonly attempts: number
  readonly status?: number
  readonly error?: string
  readonly requestId?: string
}

/** A refusal outside a pipeline: of a pass-through request, a registration or a binding. */
export interface Refused {
  readonly call: string
  readonly tool: string
  readonly app: string
  readonly principal?: Principal
  readonly stage: StageName
  readonly code: string
  readonly status: number
  readonly violations: ReadonlyArray<{ readonly code: string; readonly path?: string; readonly policy?: string }>
}

/**
 * The audit stage.
 *
 * @category services
 */
export class Audit extends Context.Service<
  Audit,
  {
    /** Writes the decision; succeeds once it is on the disk. */
    readonly commit: (prepared: Prepared) => Effect.Effect<Committed, EnforcementUnavailable>
    /** Notes the principal of a call under way, so that a later refusal can name it. */
    readonly identified: (identified: Identified) => void
    /**
     * Follows a call to its end: writes its refusal, or its outcome, and follows a stream until it is complete, failed,
     * abandoned or aborted. A reply gains its receipt.
     */
    readonly observe: (call: Call) => (run: Effect.Effect<Reply, PipelineError>) => Effect.Effect<Reply, PipelineError>
    /** Writes that a request passes through; succeeds once that is on the disk, with the way to tell its end. */
    readonly passThrough: (
      request: PassThrough,
      principal: Principal
    ) => Effect.Effect<(outcome: Outcome) => Effect.Effect<void>, EnforcementUnavailable>
    /** Writes a refusal made outside a pipeline; succeeds once it is on the disk. */
    readonly refuse: (refused: Refused) => Effect.Effect<void, EnforcementUnavailable>
    /** Writes that an agent's key is in use (`key.active`), so that an outsider can verify what it signed. */
    readonly keyActive: (key: {
      readonly kid: string
      readonly jwk: JsonWebKey
    }) => Effect.Effect<void, EnforcementUnavailable>
    /** Writes that a policy set came into force (`policy.activated`). */
    readonly policyActivated: (policies: {
      readonly revision: string
      readonly count: number
      readonly previous?: string
    }) => Effect.Effect<void, EnforcementUnavailable>
  }
>()("secure-openai/Audit") {}
