/**
 * The verifier in Python, and whether this machine can run it: Python with `cryptography` (Debian's python3-cryptography).
 * Where it cannot, its tests are skipped and say so; in CI (CI=true) that is a failure.
 */
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"

export const script = Path.join(import.meta.dirname, "verify.py")

/** A Python that has what the verifier needs; undefined where there is none. */
export const python = ["/usr/bin/python3", "python3"].find(
  (command) => ChildProcess.spawnSync(command, ["-c", "import cryptography"]).status === 0
)

if (python === undefined) {
  const message =
    "The verifier in Python is not run: no python3 here has cryptography. On Debian: apt-get install python3-cryptography"
  if (process.env["CI"]) throw new Error(message)
  console.warn(message)
}

/** What the verifier is asked: a log, with a key and an earlier checkpoint; or a proof; or a receipt. */
export interface Job {
  readonly path?: string | undefined
  readonly key?: string | undefined
  readonly since?: string | undefined
  readonly proof?: string | undefined
  readonly record?: string | undefined
  readonly receipt?: string | undefined
}

/** What it answers, with the exit code that the command would have. */
export interface Answer {
  readonly exit: number
  readonly ok: boolean
  readonly message?: string
  readonly problems?: ReadonlyArray<{ readonly index?: number; readonly code: string; readonly message: string }>
  readonly [field: string]: unknown
}

/** One process for many jobs; the answers come in the order of the jobs. */
export const runBatch = (jobs: ReadonlyArray<Job>): Promise<ReadonlyArray<Answer>> =>
  new Promise((resolve, reject) => {
    const child = ChildProcess.spawn(python ?? "python3", [script, "--batch"], { stdio: ["pipe", "pipe", "inherit"] })
    let said = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text))
    child.on("error", reject)
    child.on("close", (status) => {
      const answers = said
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Answer)
      if (status === 0 && answers.length === jobs.length) resolve(answers)
      else reject(new Error(`verify.py ended with ${String(status)} after ${answers.length} of ${jobs.length} answers`))
    })
    child.stdin.end(jobs.map((job) => `${JSON.stringify(job)}\n`).join(""))
  })

/** The command itself. */
export const runPython = (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = ChildProcess.spawnSync(python ?? "python3", [script, ...args], {
    encoding: "utf8",
    timeout: 20_000
  })
  return { status, stderr, stdout }
}
