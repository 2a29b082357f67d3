/**
 * What a registered tool is.
 *
 * @since 0.1.0
 */
import type { Call } from "../Call.ts"
import type { JsonObject } from "../CanonicalJson.ts"
import type { Principal } from "../Principal.ts"

/** What a tool's handler is told besides its arguments. */
export interface ToolContext {
  /** In whose name the tool runs. */
  readonly principal: Principal
  /** Aborted when the caller gives up. */
  readonly signal: AbortSignal
  readonly call: Call
}

/** A tool's function: arguments as policy let them pass, then who asks. What it returns must be JSON, or a string. */
export type ToolHandler<Args = JsonObject> = (args: Args, context: ToolContext) => unknown

/** A tool as `registerTool` keeps it. */
export interface RegisteredTool {
  readonly handler: ToolHandler
}
