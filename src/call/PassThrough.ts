/**
 * A request that passes through: policy judges its resource, and nothing parses or rewrites its body.
 */
import type { Credentials } from "./Credentials.ts"
import type { FamilyUse } from "./Families.ts"
import type { IntentPolicy, Lineage } from "./Lineage.ts"

/**
 * A request of a family that passes through: judged by resource, not parsed, not rewritten.
 *
 * @category models
 */
export interface PassThrough {
  readonly id: string
  readonly app: string
  readonly family: string
  /** What it does about models. */
  readonly use: FamilyUse
  /** `api:<app>/<family>`. */
  readonly resource: string
  readonly endpoint: string
  /** Names of headers, in lower case, that were set besides what the SDK sends by itself. */
  readonly headers?: ReadonlyArray<string> | undefined
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  /** The call of this process that it is made because of: what restricts that one restricts it. */
  readonly lineage?: Lineage | undefined
  /** True for a request that leaves at once and whose end nobody sees, such as the handshake of a WebSocket. */
  readonly atOnce?: boolean
}
