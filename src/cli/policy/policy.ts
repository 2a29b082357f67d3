/**
 * `secure-openai policy`: the commands about policies.
 */
import * as Command from "effect/cli/Command"
import { diff } from "./diff.ts"
import { effective } from "./effective.ts"
import { explain } from "./explain.ts"
import { lint } from "./lint.ts"
import { report } from "./report.ts"
import { schema } from "./schema.ts"
import { suggest } from "./suggest.ts"
import { test } from "./test.ts"

/** The command, with its subcommands. */
export const policy = Command.make("policy").pipe(
  Command.withShortDescription("Check, explain and test policies"),
  Command.withDescription("Checks, explains and tests policies"),
  Command.withSubcommands([lint, effective, explain, test, report, suggest, diff, schema])
)
