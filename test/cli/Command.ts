/**
 * The command as a test runs it: in a worker thread, which loads it once, with an environment, standard input and streams of
 * its own. That the process does as much is shown by `process.test.ts`.
 */
import * as Path from "node:path"
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads"

/** The file that Node runs for `secure-openai`. */
export const main = Path.join(import.meta.dirname, "../../src/cli/main.ts")

/** What a command is run with. Default: this process's environment and working folder, and an empty standard input. */
export interface Surroundings {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  readonly input?: string
}

/** A message to the thread. */
export interface Asked {
  readonly args: ReadonlyArray<string>
  readonly env: NodeJS.ProcessEnv
  readonly input: string
}

/** Its answer, by the names that `spawnSync` has for it. */
export interface Answered {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** How long a command may take, in ms. */
const patience = 60_000

/** The thread, made at first use; it does not keep the process alive. */
const thread = (() => {
  let made: { readonly port: MessagePort; readonly done: Int32Array<SharedArrayBuffer> } | undefined
  return () => {
    if (made !== undefined) return made
    const { port1, port2 } = new MessageChannel()
    const done = new Int32Array(new SharedArrayBuffer(4))
    const worker = new Worker(new URL("served.ts", import.meta.url), {
      workerData: { port: port2, done },
      transferList: [port2]
    })
    worker.unref()
    port1.unref()
    return (made = { port: port1, done })
  }
})()

const ask = (args: ReadonlyArray<string>, { env = process.env, input = "" }: Surroundings) => {
  const { done, port } = thread()
  const before = Atomics.load(done, 0)
  port.postMessage({ args, env: { ...env }, input } satisfies Asked)
  const answer = (): Answered => {
    const received: { readonly message: Answered } | undefined = receiveMessageOnPort(port)
    if (received === undefined) throw new Error(`secure-openai ${args.join(" ")} did not end in ${patience} ms`)
    return received.message
  }
  return { done, before, answer }
}

/** Runs `secure-openai` with these arguments, and waits for it as `spawnSync` does: nothing else of the process runs on. */
export const runSync = (args: ReadonlyArray<string>, surroundings: Surroundings = {}): Answered => {
  const home = process.cwd()
  if (surroundings.cwd !== undefined) process.chdir(surroundings.cwd)
  try {
    const { answer, before, done } = ask(args, surroundings)
    Atomics.wait(done, 0, before, patience)
    return answer()
  } finally {
    if (surroundings.cwd !== undefined) process.chdir(home)
  }
}

/** Runs `secure-openai` with these arguments while this process goes on, in its working folder. */
export const run = async (
  args: ReadonlyArray<string>,
  surroundings: Omit<Surroundings, "cwd"> = {}
): Promise<Answered> => {
  const { answer, before, done } = ask(args, surroundings)
  const waiting = Atomics.waitAsync(done, 0, before, patience)
  await waiting.value
  return answer()
}
