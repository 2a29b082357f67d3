/**
 * A process that writes a log, for the tests of what survives a process: `node writer.ts <path> <mode> [count]`.
 *
 * - `close`: makes calls, closes the log.
 * - `exit`: makes calls, leaves one open and one stream unread, and ends without closing.
 * - `forever`: makes calls until it is killed, and prints the index of each record once it is acknowledged.
 * - `hold`: opens the log, says so, and waits to be killed.
 * - `idle`: opens the log, and has nothing to do.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import * as Path from "node:path"
import { Audit } from "../../src/audit/Audit.ts"
import { Reply } from "../../src/call/Reply.ts"
import { Keys } from "../../src/keys/Keys.ts"
import { chat, runCall } from "./calls.ts"

const [path = "", mode = "close", count = "5"] = process.argv.slice(2)
const runtime = ManagedRuntime.make(
  Audit.layer({ path, named: false }).pipe(Layer.provide(Keys.layerDirectory(Path.join(Path.dirname(path), "keys"))))
)
const audit = await runtime.runPromise(Audit)

const call = async (): Promise<void> => {
  const reply = await runtime.runPromise(runCall(audit, chat()))
  if (mode === "forever") process.stdout.write(`${reply.meta.receipt?.index} ${reply.meta.receipt?.leaf}\n`)
}

switch (mode) {
  case "close":
    for (let i = 0; i < Number(count); i++) await call()
    await runtime.dispose()
    break
  case "exit":
    for (let i = 0; i < Number(count); i++) await call()
    await runtime.runPromise(
      runCall(audit, chat({ stream: true }), Effect.succeed(Reply.stream(Stream.make({ choices: [] }))))
    )
    runtime.runFork(runCall(audit, chat(), Effect.never))
    await new Promise((resolve) => setTimeout(resolve, 50))
    process.exit(0)
    break
  case "forever":
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (;;) await call()
      })
    )
    break
  case "hold":
    process.stdout.write("open\n")
    setInterval(() => {}, 1000)
    break
  case "idle":
    for (let i = 0; i < Number(count); i++) await call()
    break
  default:
    throw new Error(`no mode ${mode}`)
}
