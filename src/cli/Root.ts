/**
 * The commands, from the root.
 */
import * as Effect from "effect/Effect"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import { checkProof } from "./checkProof.ts"
import { CannotRun } from "./Ending.ts"
import { identity } from "./identity/identity.ts"
import { keys } from "./keys/keys.ts"
import { printError } from "./Output.ts"
import { policy } from "./policy/policy.ts"
import { prove } from "./prove.ts"
import { receipt } from "./receipt.ts"
import { show } from "./show.ts"
import { tail } from "./tail.ts"
import { verify } from "./verify.ts"

const audit = Command.make("audit").pipe(
  Command.withDescription("Reads and verifies the log"),
  Command.withSubcommands([verify, show, tail, prove, checkProof, receipt])
)

/** Help where it is asked for; what is wrong with an invocation in one line. */
export const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? printError(
          `${event.commandPath.join(" ")}: ${event.errors.map(({ message }) => message).join("; ")}. See ${event.commandPath.join(" ")} --help`
        )
      : CliOutput.defaultPresenter.present(event)
}

/** Prints why a command could not do its work. */
export const reported = <A, E, R>(command: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapError(command, (error) => (error instanceof CannotRun ? printError(error.message) : Effect.void))

/** The command `secure-openai`. */
export const root = Command.make("secure-openai").pipe(Command.withSubcommands([audit, policy, identity, keys]))
