/**
 * The worker thread of {@link ./Command.ts}: runs the command as `src/cli/main.ts` does, once for each message, in the
 * environment that the message names, and answers with what it printed and its exit code.
 */
import * as Effect from "effect/Effect"
import * as Util from "node:util"
import { type MessagePort, workerData } from "node:worker_threads"
import { StandardInput } from "../../src/cli/Input.ts"
import { exitCode, run } from "../../src/cli/Program.ts"
import type { Asked, Answered } from "./Command.ts"

const { done, port }: { readonly port: MessagePort; readonly done: Int32Array } = workerData

const printed = { stdout: "", stderr: "" }
for (const name of ["stdout", "stderr"] as const)
  process[name].write = (chunk: string | Uint8Array, ...rest: ReadonlyArray<unknown>): boolean => {
    printed[name] += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8")
    for (const callback of rest) if (typeof callback === "function") callback()
    return true
  }

const answer = async ({ args, env, input }: Asked): Promise<Answered> => {
  Object.assign(printed, { stdout: "", stderr: "" })
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  try {
    const status = await run(args).pipe(
      Effect.provideService(StandardInput, () => input),
      Effect.runPromiseExit
    )
    return { status: exitCode(status), ...printed }
  } catch (error) {
    return { status: null, stdout: printed.stdout, stderr: Util.inspect(error) }
  }
}

// One after the other: the streams and the environment are those of the thread.
const answerAfter = async (before: Promise<void>, asked: Asked): Promise<void> => {
  await before
  port.postMessage(await answer(asked))
  Atomics.add(done, 0, 1)
  Atomics.notify(done, 0)
}
let last: Promise<void> = Promise.resolve()
port.on("message", (asked: Asked) => (last = answerAfter(last, asked)))
