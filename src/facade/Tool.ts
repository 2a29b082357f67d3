/**
 * What a registered tool is.
 */
import type { Call } from "../call/Call.ts"
import type { JsonObject } from "../base/Json.ts"
import { ConfigurationError } from "../call/SdkErrors.ts"
import type { Principal } from "../call/Principal.ts"
import { requireKnownOptions } from "../call/UnknownOption.ts"

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

/** How a tool is registered. */
export interface ToolOptions {
  /** The arguments that hold a prompt: the digest of each, and of each element of a list, is in the call's envelope. */
  readonly prompts?: ReadonlyArray<string>
}

const known: ReadonlySet<string> = new Set(["prompts"] satisfies ReadonlyArray<keyof ToolOptions>)

/** The prompt fields that a tool is registered with. Throws `ConfigurationError` for an option that is unknown or no list of names. */
export const requirePrompts = (options: ToolOptions): ReadonlyArray<string> => {
  requireKnownOptions(options, "a tool", known)
  const { prompts = [] } = options
  if (!Array.isArray(prompts) || !prompts.every((name) => typeof name === "string" && name !== ""))
    throw new ConfigurationError("prompts is a list of the names of a tool's arguments.")
  return [...prompts]
}

/** A tool as `registerTool` keeps it. */
export interface RegisteredTool {
  readonly handler: ToolHandler
  readonly prompts: ReadonlyArray<string>
}
