/**
 * A process that wants a log, for the tests of who gets it: it takes commands as lines of JSON, and says what it does.
 *
 * - `{ "do": "open", … }` opens a log and makes calls until it is told otherwise. Says `open <path>`, then `ack <leaf>` for each
 *   decision that was acknowledged; `no <message>` for what is refused, each message once.
 * - `{ "do": "close" }` closes it. Says `closed`.
 */
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import * as Readline from "node:readline"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import * as FolderLog from "../../src/audit/folder/FolderLog.ts"
import type * as Journal from "../../src/audit/folder/Journal.ts"
import { Keys } from "../../src/keys/Keys.ts"
import type { Ask } from "./contenders.ts"
import { makeCall } from "./faults.ts"

const say = (text: string): void => void process.stdout.write(`${text}\n`)

let journal: Journal.Journal | undefined
let writing: Promise<unknown> = Promise.resolve()
const said = new Set<string>()
const refuse = (message: string): void => {
  if (!said.has(message)) say(`no ${message}`)
  said.add(message)
}

process.on("uncaughtException", (error) => refuse(String(error)))

const write = async (log: Journal.Journal): Promise<void> => {
  while (journal === log) {
    const acknowledged: Array<readonly [number, Uint8Array]> = []
    const refusal = await makeCall(log, acknowledged)
    for (const [, leaf] of acknowledged) say(`ack ${Buffer.from(leaf).toString("base64url")}`)
    if (refusal !== undefined && journal === log) refuse(refusal.message)
    // Others need the processor, too.
    await new Promise((resolve) => setTimeout(resolve, refusal === undefined ? 3 : 10))
  }
}

const open = async ({ path, hasSocket, ...options }: Extract<Ask, { do: "open" }>): Promise<void> => {
  said.clear()
  const keys = Keys.layerDirectory(Path.join(Path.dirname(path), "keys"))
  const { signs } = nodeFileSystem
  const disk =
    hasSocket || signs === undefined
      ? nodeFileSystem
      : { ...nodeFileSystem, signs: { ...signs, listen: () => undefined } }
  try {
    const { log: key } = await Effect.runPromise(Effect.provide(Effect.flatMap(Keys, Effect.succeed), keys))
    if (!("sign" in key)) throw new Error("a key of a home signs at once")
    journal = await Effect.runPromise(
      FolderLog.open({ ...options, path, key, disk, opening: [], retryDelay: 20, checkpointDelay: 5 })
    )
    say(`open ${journal.path}`)
    const log = journal
    writing = Promise.all(Array.from({ length: 2 }, () => write(log)))
  } catch (error) {
    refuse(error instanceof Error ? error.message : String(error))
  }
}

Readline.createInterface({ input: process.stdin })
  .on("line", (line) => {
    const ask = JSON.parse(line) as Ask
    if (ask.do === "open") return void open(ask)
    const log = journal
    journal = undefined
    void writing.then(() => log?.close()).then(() => say("closed"))
  })
  .on("close", () => process.exit())
say("ready")
