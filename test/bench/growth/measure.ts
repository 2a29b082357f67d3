/**
 * One case in a process of its own: its name, who runs it (`bare`, `secure`, or `own` for a case without a client) and the
 * provider's port. Prints JSON: for each size CPU and wall time in ms, how long the event loop stands at most in ms of CPU, and the
 * process's largest resident size so far in MB.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { OpenAI } from "openai"
import { SecureOpenAI, Workspace } from "../../../src/index.ts"
import { mintToken, testIssuer } from "../../../src/testing/index.ts"
import type { Case } from "./Case.ts"
import { cases } from "./cases.ts"

/** What one size cost. */
export interface Measured {
  readonly n: number
  readonly cpu: number
  readonly wall: number
  readonly stall: number
  readonly memory: number
}

const doublings = 5

const [name, kind, port] = process.argv.slice(2)
const found = cases.find((one) => one.name === name) as Case<unknown> | undefined
if (found === undefined) throw new Error(`no case is called ${name}`)
const options = { apiKey: "bench", baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 }
const home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-growth-"))

const secure = async (): Promise<OpenAI> => {
  const workspace = await Workspace.open({
    home,
    issuers: testIssuer,
    policies: [
      { policy_id: "app:bench", resources: ["tool:bench/**"] },
      {
        policy_id: "user:alice",
        resources: ["tool:bench/**"],
        constraints: {
          parameters: {
            "tool:*/generate": {
              model: ["gpt-4o-mini", "gpt-4o"],
              max_tokens: { max: 4000 },
              "tools[].function.name": ["get_*"]
            }
          }
        }
      }
    ]
  })
  return new SecureOpenAI({ ...options, appName: "bench", workspace, jwtToken: mintToken({ sub: "alice" }) })
}

const client = kind === "secure" ? await secure() : new OpenAI(options)
const quiet = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const once = async (n: number): Promise<Measured> => {
  const input = found.make(n)
  globalThis.gc?.()
  await quiet(20)
  const [before, begin] = [process.cpuUsage(), performance.now()]
  await found.run(input as never, client)
  const { system, user } = process.cpuUsage(before)
  const wall = performance.now() - begin
  const stall = await longestTurn(() => found.run(input as never, client))
  return { n, cpu: (system + user) / 1000, wall, stall, memory: process.resourceUsage().maxRSS / 1024 }
}

/** The CPU time of this thread, in ms: a busy machine does not count. */
const threadCpu = (): number => {
  const { system, user } = process.threadCpuUsage()
  return (system + user) / 1000
}

/** How long the event loop stands at most while something runs, in ms of CPU. */
const longestTurn = async (run: () => unknown): Promise<number> => {
  await quiet(1)
  let longest = 0
  let last = threadCpu()
  let isOver = false
  const turn = (): void => {
    const now = threadCpu()
    longest = Math.max(longest, now - last)
    last = now
    if (!isOver) setImmediate(turn)
  }
  setImmediate(turn)
  await run()
  isOver = true
  await quiet(1)
  return longest
}

/** Code is compiled while it runs for the first time. */
for (let i = 0; i < 3; i++) await once(found.from)
const results: Array<Measured> = []
for (let doubling = 0; doubling <= doublings; doubling++) {
  const runs: Array<Measured> = []
  for (let i = 0; i < 5; i++) runs.push(await once(found.from * 2 ** doubling))
  const least = (what: keyof Measured): number => Math.min(...runs.map((run) => run[what]))
  results.push({
    n: found.from * 2 ** doubling,
    cpu: least("cpu"),
    wall: least("wall"),
    stall: least("stall"),
    memory: Math.max(...runs.map(({ memory }) => memory))
  })
}
console.log(JSON.stringify(results))
if (client instanceof SecureOpenAI) await client.workspace.close()
Fs.rmSync(home, { recursive: true, force: true })
process.exit()
