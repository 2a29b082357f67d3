/** Processes that are killed right behind an answer, and what the log says of their call afterwards. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { Workspace } from "../../src/index.ts"
import { linesOf } from "../audit/kills.ts"

/** How calls ended, as far as the log in a folder has it on the disk: what a process that is killed now leaves behind. */
export const endsIn = (path: string): ReadonlyArray<string | undefined> =>
  linesOf(path)
    .map((line) => JSON.parse(line) as { readonly kind: string; readonly result?: string })
    .filter(({ kind }) => kind === "outcome")
    .map(({ result }) => result)

/** Has a process answer once, of a kind, and be killed; gives how the call ended, by the log when it is opened next. */
export const answerAndKill = async (kind: string, flush: boolean): Promise<ReadonlyArray<string | undefined>> => {
  const home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-answerer-"))
  try {
    const args = [Path.join(import.meta.dirname, "answerer.ts"), kind, flush ? "flush" : "none"]
    const env = { ...process.env, SECURE_OPENAI_HOME: home }
    await new Promise<void>((resolve, reject) => {
      const child = execFile(process.execPath, args, { env }, (_error, _output, errors) =>
        child.signalCode === "SIGKILL" ? resolve() : reject(new Error(`the process ended by itself: ${errors}`))
      )
    })
    await using workspace = new Workspace({ home })
    await workspace.ready()
    return endsIn(Path.join(home, "audit"))
  } finally {
    Fs.rmSync(home, { recursive: true, force: true })
  }
}
