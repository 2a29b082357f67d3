/**
 * `secure-openai keys export`: public keys, for whoever verifies. A private key is never printed.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Crypto from "node:crypto"
import * as KeyFolder from "../../keys/KeyFolder.ts"
import { CannotRun } from "../Ending.ts"
import { attempt, home, homeOf, keysOf, logsOf, vkeysOf } from "./Home.ts"
import { published } from "../../workspace/PublicKeys.ts"
import { print, printJson } from "../Output.ts"

/** The command. */
export const exportKeys = Command.make(
  "export",
  {
    use: Argument.Literals("use", ["agent", "log"]).pipe(
      Argument.withDescription("agent: verifies receipts and envelopes; log: verifies checkpoints. Default: both"),
      Argument.optional
    ),
    home,
    format: Flag.Literals("format", ["jwk", "pem", "vkey"]).pipe(
      Flag.withDescription(
        "jwk: a JWK Set (RFC 7517); pem: SPKI, one block a key; vkey: the log's, for audit verify --key"
      ),
      Flag.withDefault("jwk")
    )
  },
  Effect.fnUntraced(function* ({ format, home, use }) {
    const folder = homeOf(home)
    const { keys } = yield* attempt(() => KeyFolder.list(keysOf(folder)))
    const wanted = Option.getOrUndefined(use)
    // What a revoked key signed is for the log to judge: whoever has the set alone could not tell.
    const chosen = published(keys).filter((key) => wanted === undefined || key["secure-openai/use"] === wanted)
    if (format === "vkey") {
      const found = yield* attempt(() => logsOf(folder).flatMap(vkeysOf))
      const held = new Set(keys.flatMap(({ use: its, x }) => (its === "log" && x !== undefined ? [x] : [])))
      const vkeys = [...new Set(found.flatMap(({ vkey, x }) => (held.has(x) ? [vkey] : [])))]
      if (vkeys.length === 0)
        return yield* new CannotRun({
          message: `No log in ${folder} is signed by its log key yet; a log has a vkey once a process has opened it.`
        })
      for (const vkey of vkeys) yield* print(vkey)
      return
    }
    if (format === "jwk") return yield* printJson({ keys: chosen }, 2)
    for (const { crv, kid, kty, x, "secure-openai/use": its } of chosen) {
      const key = Crypto.createPublicKey({ format: "jwk", key: { kty, crv, x } })
      const pem = key.export({ format: "pem", type: "spki" }).toString().trimEnd()
      const { state } = keys.find((known) => known.kid === kid) ?? {}
      yield* print(`# ${its} ${kid} ${state}\n${pem}`)
    }
  })
).pipe(
  Command.withDescription(
    "Prints public keys: as a JWK Set, PEM or vkey. Never a private one, and none that was revoked"
  )
)
