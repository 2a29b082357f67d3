/**
 * `secure-openai policy schema`: the JSON Schema of policies, for editors.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { jsonSchema } from "../../policy/Mapl.ts"
import { printJson } from "../Output.ts"

/** The command. */
export const schema = Command.make("schema", {}, () => Effect.suspend(() => printJson(jsonSchema(), 2))).pipe(
  Command.withShortDescription("Print the JSON Schema of policies, for editors"),
  Command.withDescription(
    'Prints the JSON Schema (draft-07) of a file of policies. The package has it as secure-openai/mapl.schema.json: name it in a policy as "$schema", and an editor completes and checks.'
  )
)
