/**
 * `secure-openai identity`: the commands about tokens.
 */
import * as Command from "effect/cli/Command"
import { explain } from "./explain.ts"

/** The command, with its subcommands. */
export const identity = Command.make("identity").pipe(
  Command.withShortDescription("Explain tokens"),
  Command.withDescription("Says what a token becomes, and why"),
  Command.withSubcommands([explain])
)
