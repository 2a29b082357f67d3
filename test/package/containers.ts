/**
 * Containers on one home, each in a process id namespace of its own, with the package as a user installs it: no call that was
 * acknowledged is missing from the logs, and every log is intact, also where a container was killed.
 */
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import { leafHash } from "../../src/audit/proof/MerkleTree.ts"
import { linesOf } from "../audit/kills.ts"

const namespaces = ["--pid", "--fork", "--mount-proc", "--kill-child"]

/** Why this machine gives no namespaces to processes; undefined where it does. */
export const noNamespaces: string | undefined = (() => {
  if (process.platform !== "linux") return "process id namespaces are Linux's"
  const { error, status, stderr } = ChildProcess.spawnSync("unshare", [...namespaces, "true"], { encoding: "utf8" })
  return status === 0 ? undefined : `unshare is not allowed here: ${error?.message ?? stderr.trim()}`
})()

/** How many receipts each container gives before its round is over. */
const calls = 10

/** How many containers run side by side, round after round; in each, the last of them is killed, or all of them close. */
const rounds = [
  { containers: 2, kills: false },
  { containers: 2, kills: true },
  { containers: 4, kills: true },
  { containers: 2, kills: false }
]

/** A container: its receipts, the first of them, and its end. */
const start = (project: string, home: string, format: string) => {
  const child = ChildProcess.spawn("unshare", [...namespaces, process.execPath, "container.mjs", format], {
    cwd: project,
    env: { ...process.env, SECURE_OPENAI_HOME: home },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: 120_000
  })
  const receipts: Array<string> = []
  let errors = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
  const ended = once(child, "close").then(([status]: ReadonlyArray<unknown>) => status)
  const lines = createInterface({ input: child.stdout })
  const serves = new Promise<void>((resolve) =>
    lines.on("line", (line) => {
      if (receipts.push(line) === calls) resolve()
    })
  )
  return {
    receipts,
    serving: Promise.race([
      serves,
      ended.then((status) =>
        Promise.reject(new Error(`a container ended by itself, with ${String(status)}: ${errors}`))
      )
    ]),
    /** The end of its standard input is its signal to close. */
    close: async () => {
      child.stdin.end()
      const status = await ended
      if (status !== 0) throw new Error(`a container closed with ${String(status)}: ${errors}`)
    },
    kill: async () => {
      child.kill("SIGKILL")
      await ended
    }
  }
}

interface Claims {
  readonly leaf: number
  readonly lh: string
}

const claimsOf = (receipt: string): Claims =>
  JSON.parse(Buffer.from(receipt.split(".")[1] ?? "", "base64url").toString("utf8"))

/**
 * Runs the rounds with the package that `project` has installed; gives a line about what it did. `verify` runs
 * `secure-openai audit verify --json` on the logs of the home, and throws where one is not intact.
 */
export const contend = async (project: string, verify: (home: string) => Promise<string>): Promise<string> => {
  const home = Path.join(project, "containers")
  const receipts: Array<string> = []
  for (const { containers, kills } of rounds) {
    const all = Array.from({ length: containers }, (_, i) => start(project, home, i % 2 === 0 ? "import" : "require"))
    await Promise.all(all.map(({ serving }) => serving))
    const [last, ...others] = all.toReversed()
    await Promise.all([kills ? last?.kill() : last?.close(), ...others.map((one) => one.close())])
    receipts.push(...all.flatMap((one) => one.receipts))
  }
  const logs = Fs.readdirSync(home)
    .filter((name) => /^audit(?:-\d+)?$/u.test(name))
    .map((name) => linesOf(Path.join(home, name)))
  for (const receipt of receipts) {
    const { leaf, lh } = claimsOf(receipt)
    const isThere = logs.some((lines) => Buffer.from(leafHash(lines[leaf] ?? "")).toString("base64url") === lh)
    if (!isThere) throw new Error(`A record that was acknowledged is in no log: ${receipt}`)
  }
  const reports = (await verify(home)).trim().split("\n")
  if (reports.length !== logs.length) throw new Error(`${logs.length} logs, and ${reports.length} were verified`)
  // As many as run side by side: a log that a killed container left is taken on.
  const most = Math.max(...rounds.map(({ containers }) => containers))
  if (logs.length > most) throw new Error(`${most} containers at once left ${logs.length} logs`)
  return `${receipts.length} calls of ${rounds.length} rounds of containers in ${logs.length} logs`
}
