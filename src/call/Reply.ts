/**
 * An answer on its way back through the pipeline, and the receipt that the log gives for it.
 */
import type * as Stream from "effect/Stream"
import type { Edit } from "./Decision.ts"
import type { PipelineError } from "./Errors.ts"
import type { ResponseHead } from "./ResponseHead.ts"

/**
 * What the log says of one call, for the caller to keep (audit format §6). `index` and `leaf` (base64url) are those of the
 * decision record, `salts` (base64url, by field) open its salted digests, `jws` is signed by the agent key.
 *
 * @category models
 */
export interface Receipt {
  readonly call: string
  readonly index: number
  readonly leaf: string
  readonly verdict: "allow" | "rewrite"
  readonly changes: ReadonlyArray<Edit>
  readonly requested: string
  readonly effective: string
  /** The rule by which the digests were taken: SHA-256(salt ‖ SHA-256(bytes)). Absent from receipts of before, which have SHA-256(salt ‖ text). */
  readonly digests?: 2
  readonly salts: Readonly<Record<string, string>>
  /**
   * Signed on first use. Throws an `EnforcementUnavailableError` where the agent key is with a signer of its own: then
   * {@link sign} is the way.
   */
  readonly jws: string
  /** The same, by any signer: resolves with the compact JWS. */
  readonly sign: () => Promise<string>
  /** The call's envelope, the compact JWS whose digest is the claim `inv`: proves what was asked, and holds no prompt. */
  readonly envelope: string
}

/**
 * What came with an answer, its head among it: `attempts` counts HTTP requests, `text` is a JSON answer's body as received, `consumed` is to be
 * told of each chunk as it is handed to the caller, by a reader that takes more at a time than it hands on.
 */
export interface Meta extends ResponseHead {
  readonly status: number
  readonly requestId: string | null
  readonly attempts: number
  readonly text?: string
  readonly receipt?: Receipt
  readonly consumed?: () => void
}

/**
 * An answer: a JSON value, or a stream of chunks (each a parsed JSON value).
 *
 * @category models
 */
export type Reply =
  | { readonly _tag: "Json"; readonly value: unknown; readonly meta: Meta }
  | { readonly _tag: "Stream"; readonly stream: Stream.Stream<unknown, PipelineError>; readonly meta: Meta }

const madeHere = (): Meta => ({ status: 200, headers: new Headers(), requestId: null, attempts: 0 })

/**
 * Makes replies. Without `meta` the reply says that it was made here: status 200, no request sent.
 *
 * @category constructors
 */
export const Reply = {
  json: (value: unknown, meta: Meta = madeHere()): Reply => ({ _tag: "Json", value, meta }),
  stream: (stream: Stream.Stream<unknown, PipelineError>, meta: Meta = madeHere()): Reply => ({
    _tag: "Stream",
    stream,
    meta
  })
}
