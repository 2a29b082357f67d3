/**
 * How a workspace stands, for whoever operates it, and what its calls are refused with now. Everything here is read from
 * memory: nothing is written to the log, and no network and no disk is waited for.
 */
import * as Effect from "effect/Effect"
import { OpenAIError } from "openai"
import { Audit } from "../audit/Audit.ts"
import type { FreeSpace } from "../audit/folder/FreeSpace.ts"
import type { CopyStatus, LogStatus } from "../audit/LogStatus.ts"
import { messageOf } from "../audit/Unavailable.ts"
import { EnforcementUnavailable, IdentityInvalid, type IdentityReason, type UnavailableReason } from "../call/Errors.ts"
import { toSdkError } from "../call/SdkErrors.ts"
import { Identity, type IssuerStatus } from "../identity/Identity.ts"
import { Policy, type PolicyStatus } from "../policy/Policy.ts"
import { Signing, type SigningStatus } from "../signing/Signing.ts"

/**
 * How a workspace stands. A plain object, JSON as it is; times are in ms since 1970, sizes in bytes. `checkpoint`, `policies`
 * and `issuers` are absent while the workspace could not be opened.
 */
export interface Health {
  /**
   * True where nobody's calls are refused by anything but policy and their own token: `problems` is empty, and `ready()` settles
   * unless an issuer that nobody has asked for its keys yet does not answer.
   */
  readonly ok: boolean
  /** What calls are refused with now. */
  readonly problems: ReadonlyArray<Problem>
  /** When the workspace was made. */
  readonly since: number
  readonly log: LogHealth
  /** The newest: of so many records, and when it was signed; `at` is absent where an earlier process signed it. */
  readonly checkpoint?: LogStatus["checkpoint"]
  /** The places that checkpoints are copied to; absent where there are none. */
  readonly copies?: ReadonlyArray<CopyStatus>
  readonly policies?: PolicyStatus
  /** The issuers whose tokens are trusted, and how their key sets stand; a set that nobody needed yet was not asked for. */
  readonly issuers?: ReadonlyArray<IssuerStatus>
  /** The file system of the log, asked at most once a second. Absent for a log in memory, and before its first answer. */
  readonly disk?: FreeSpace
}

/** Something that refuses calls, as these meet it. */
export interface Problem {
  /** The `code` of the error that a call rejects with: `enforcement_unavailable`, `identity_invalid` or `configuration`. */
  readonly code: string
  /** What it is, where it has a name of its own. */
  readonly reason?: UnavailableReason | IdentityReason
  /** The error's message. */
  readonly message: string
  /** Whose calls are refused: all, those of users (of one issuer, where the message names it), or those of other agents. */
  readonly refuses: "everybody" | "users" | "agents"
}

/** How a log stands. */
export interface LogHealth {
  /** True where it takes calls in. */
  readonly writable: boolean
  /** Why it does not, where that has a name of its own; the problem of the same reason says more. */
  readonly reason?: UnavailableReason
  /** Its folder, or `memory`. Absent, as what follows, while it could not be opened. */
  readonly path?: string
  /** Which log: `secure-openai/` and 16 hex digits. */
  readonly origin?: string
  /** How many it has, those included that are not on the disk yet. */
  readonly records?: number
}

/** Fails with what everybody's calls, or those of every other agent, are refused with now. */
export const requireServing: Effect.Effect<void, EnforcementUnavailable, Audit | Signing> = Effect.gen(function* () {
  const audit = yield* Audit
  const { serving } = yield* Signing
  yield* audit.serving("call")
  if (serving !== undefined) yield* Effect.andThen(serving("call"), serving("invocation"))
})

/** How an open workspace stands; `since` is when it was made, in ms since 1970. */
export const healthSince = (since: number): Effect.Effect<Health, never, Audit | Identity | Policy | Signing> =>
  Effect.gen(function* () {
    const { checkpoint, copies, disk, origin, path, records, refusal } = yield* (yield* Audit).status
    const { issuers, refusals } = yield* (yield* Identity).status
    const policies = yield* (yield* Policy).status
    const signing = yield* (yield* Signing).status ?? Effect.succeed<SigningStatus>({})
    const problems = [
      ...[refusal, signing.call].flatMap((error) => (error === undefined ? [] : [problemOf(error, "everybody")])),
      ...(signing.invocation === undefined ? [] : [problemOf(signing.invocation, "agents")]),
      ...refusals.map((error) => problemOf(error, "users"))
    ]
    return {
      ok: problems.length === 0,
      problems,
      since,
      log: { writable: refusal === undefined, ...reasonOf(refusal), path, origin, records },
      checkpoint,
      ...(copies.length > 0 && { copies }),
      policies,
      issuers,
      ...(disk !== undefined && { disk })
    }
  })

/** How a workspace stands that could not be opened. */
export const healthUnopened = (error: unknown, since: number): Health => ({
  ok: false,
  problems: [problemOf(error, "everybody")],
  since,
  log: { writable: false, ...reasonOf(error) }
})

/** The health with one more thing that refuses everybody's calls. */
export const withProblem = (health: Health, error: unknown): Health => ({
  ...health,
  ok: false,
  problems: [...health.problems, problemOf(error, "everybody")]
})

const problemOf = (error: unknown, refuses: Problem["refuses"]): Problem => ({
  code: codeOf(toSdkError(error)),
  ...(error instanceof IdentityInvalid ? { reason: error.reason } : reasonOf(error)),
  message: messageOf(error),
  refuses
})

/** The code by which a caller of the SDK knows an error. */
const codeOf = (error: unknown): string =>
  error instanceof OpenAIError && "code" in error && typeof error.code === "string" ? error.code : "unknown"

/** What an error of enforcement is about, where that has a name of its own. */
const reasonOf = (error: unknown): { readonly reason?: UnavailableReason } =>
  error instanceof EnforcementUnavailable && error.reason !== undefined ? { reason: error.reason } : {}
