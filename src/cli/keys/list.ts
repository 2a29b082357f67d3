/**
 * `secure-openai keys list`: which keys there are, and which were.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as KeyFolder from "../../keys/KeyFolder.ts"
import { attempt, home, homeOf, keysOf } from "./Home.ts"
import { visible } from "../../base/Text.ts"
import { print, printJson } from "../Output.ts"

/** The command. */
export const list = Command.make(
  "list",
  { home, json: Flag.Boolean("json").pipe(Flag.withDescription("One JSON object a key"), Flag.withDefault(false)) },
  Effect.fnUntraced(function* ({ home, json }) {
    const { keys } = yield* attempt(() => KeyFolder.list(keysOf(homeOf(home))))
    for (const { kid, state, use } of keys)
      yield* json ? printJson({ use, kid, state }) : print(`${use.padEnd(6)} ${visible(kid)}  ${state}`)
  })
).pipe(Command.withDescription("Lists the keys: by use, id and state. Nothing is made or changed"))
