/**
 * `secure-openai keys rotate`: another key in the place of one. It is prepared in the home, and taken up by each log when that
 * is next opened; logs that nobody has open are opened here, so that their records say so at once.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { Audit } from "../../audit/Audit.ts"
import * as KeyFolder from "../../keys/KeyFolder.ts"
import { Keys } from "../../keys/Keys.ts"
import { CannotRun } from "../Ending.ts"
import { attempt, home, homeOf, keysOf, logsOf, vkeysOf } from "./Home.ts"
import { print } from "../Output.ts"

/** The command. */
export const rotate = Command.make(
  "rotate",
  {
    use: Argument.Literals("use", ["agent", "log", "salt"]).pipe(Argument.withDescription("Which key")),
    home,
    finish: Flag.Boolean("finish").pipe(
      Flag.withDescription("Ends the rotation of the log key: the old one signs no more"),
      Flag.withDefault(false)
    ),
    revoke: Flag.Boolean("revoke").pipe(
      Flag.withDescription("The old key may be known to others: it is recorded as revoked, not retired"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ finish, home, revoke, use }) {
    const folder = homeOf(home)
    const state = revoke ? "revoked" : "retired"
    const logs = yield* attempt(() => logsOf(folder))
    if (finish) {
      if (use !== "log") return yield* new CannotRun({ message: "--finish is for the log key; others need none." })
      yield* attempt(() => requireKnown(folder, logs))
    } else if (use === "log" && revoke)
      return yield* new CannotRun({
        message: "A log key that others may know is revoked with --finish --revoke, once every log knows the next one."
      })
    const { next, old } = yield* attempt(() =>
      finish ? KeyFolder.finish(keysOf(folder), state) : KeyFolder.rotate(keysOf(folder), use, state)
    )
    yield* print(
      `${use}: ${next} takes the place of ${old}${use === "log" && !finish ? "; both sign until --finish" : ""}`
    )
    for (const log of logs) yield* Effect.flatMap(takenUp(folder, log), (said) => print(`${log}: ${said}`))
    if (logs.length === 0) yield* print("There is no log yet; the first one begins with it.")
  })
).pipe(Command.withDescription("Puts a new key in the place of one, and says so in the logs"))

/** Opens the log where nobody has it open: opening says which keys are in use, and which no more. */
const takenUp = (home: string, log: string): Effect.Effect<string> =>
  Layer.build(Audit.layer({ path: log, named: true }).pipe(Layer.provide(Keys.layerDirectory(keysOf(home))))).pipe(
    Effect.scoped,
    Effect.match({
      onSuccess: () => "recorded",
      onFailure: ({ message }) =>
        `not recorded yet. It is when the log is next opened: restart what has it open. (${message})`
    })
  )

/** A log that has not seen the next key could not be opened with that one alone. */
const requireKnown = (home: string, logs: ReadonlyArray<string>): void => {
  const next = KeyFolder.list(keysOf(home)).keys.find(({ state, use }) => use === "log" && state === "next")
  if (next === undefined) return
  for (const log of logs)
    if (!vkeysOf(log).some(({ x }) => x === next.x))
      throw new Error(
        `The log at ${log} does not know the next key yet, and could not be opened with it alone: restart the process that has it open, then run this again.`
      )
}
