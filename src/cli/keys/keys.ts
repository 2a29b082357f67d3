/**
 * `secure-openai keys`: the keys of a home.
 */
import * as Command from "effect/cli/Command"
import { exportKeys } from "./export.ts"
import { list } from "./list.ts"
import { rotate } from "./rotate.ts"

/** The command. */
export const keys = Command.make("keys").pipe(
  Command.withDescription("Lists, rotates and exports the keys of a home"),
  Command.withSubcommands([list, rotate, exportKeys])
)
