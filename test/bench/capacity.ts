/**
 * What one process holds: `npm run bench:capacity -- [--seconds N] [--concurrency N]`.
 *
 * Calls and streams of 200 chunks, so many side by side, against a provider in another process, with the bare SDK and with a
 * user, a policy and a durable log, in turns: how many a second of processor time, what the log grows by, and what memory and how
 * many files are in use. Read the ratios: the rest is this machine's.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { OpenAI } from "openai"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"

const { values: given } = parseArgs({
  options: { seconds: { type: "string", default: "2" }, concurrency: { type: "string", default: "64" } }
})
const seconds = Number(given.seconds)
const concurrency = Number(given.concurrency)
const home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-capacity-"))

const provider = spawn(process.execPath, [Path.join(import.meta.dirname, "server.ts")], {
  stdio: ["ignore", "pipe", "inherit"]
})
const [port] = (await once(provider.stdout, "data")) as [Buffer]
const options = { apiKey: "bench", baseURL: `http://127.0.0.1:${port.toString().trim()}/v1`, maxRetries: 0 }

/** Links of the open files, where the kernel tells. */
const openFiles = (): ReadonlyArray<string> => {
  try {
    return Fs.readdirSync("/proc/self/fd").map((fd) => {
      try {
        return Fs.readlinkSync(`/proc/self/fd/${fd}`)
      } catch {
        return ""
      }
    })
  } catch {
    return []
  }
}
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`
const memory = (): string => {
  ;(globalThis as { readonly gc?: () => void }).gc?.()
  const { heapUsed, rss } = process.memoryUsage()
  return `${megabytes(rss)} resident, ${megabytes(heapUsed)} of it heap`
}
const say = (text: string): void => void process.stdout.write(`${text}\n`)

const params = { model: "gpt-4o", max_tokens: 1000, messages: [{ role: "user" as const, content: "Is all well?" }] }
const asks: Readonly<Record<string, (client: OpenAI) => Promise<unknown>>> = {
  call: (client) => client.chat.completions.create(params),
  stream: async (client) => {
    for await (const _ of await client.chat.completions.create({ ...params, stream: true }));
  }
}

/** What they cost: processor time in µs, and how many there were. */
interface Cost {
  readonly cpu: number
  readonly count: number
}

const costOf = async (ask: () => Promise<unknown>): Promise<Cost> => {
  const start = performance.now()
  const before = process.cpuUsage()
  let count = 0
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (; performance.now() - start < 1000 * seconds; count++) await ask()
    })
  )
  const { system, user } = process.cpuUsage(before)
  return { cpu: system + user, count }
}
const sum = (costs: ReadonlyArray<Cost>): Cost =>
  costs.reduce((all, { count, cpu }) => ({ cpu: all.cpu + cpu, count: all.count + count }), { cpu: 0, count: 0 })
const rate = ({ count, cpu }: Cost): number => (1e6 * count) / cpu

try {
  const files = openFiles()
  say(`imported:  ${memory()}`)
  const workspace = await Workspace.open({
    home,
    issuers: testIssuer,
    policies: {
      policy_id: "user:alice",
      resources: ["tool:my-app/generate"],
      constraints: { parameters: { "tool:my-app/generate": { max_tokens: { max: 500 } } } }
    }
  })
  const service = new SecureOpenAI({ ...options, appName: "my-app", workspace })
  const user = await service.asUser(mintToken({ sub: "alice" }))
  const bare = new OpenAI(options)
  const held = openFiles().filter((file) => !files.includes(file))
  say(`opened:    ${memory()}; ${held.length} more open files`)
  const journal = Path.join(home, "audit", "journal")
  const size = (): number =>
    Fs.readdirSync(journal).reduce((sum, name) => sum + Fs.statSync(Path.join(journal, name)).size, 0)
  for (const [name, ask] of Object.entries(asks)) {
    await costOf(() => ask(bare))
    await costOf(() => ask(user))
    await service.flush()
    const bytes = size()
    const [theirs, ours]: [Array<Cost>, Array<Cost>] = [[], []]
    for (let turn = 0; turn < 3; turn++) {
      theirs.push(await costOf(() => ask(bare)))
      ours.push(await costOf(() => ask(user)))
    }
    await service.flush()
    const [before, now] = [sum(theirs), sum(ours)]
    say(
      `${name.padEnd(10)} ${rate(now).toFixed(0)} a second of processor time, bare SDK ${rate(before).toFixed(0)} (${(rate(now) / rate(before)).toFixed(2)} ×); ` +
        `${((size() - bytes) / now.count).toFixed(0)} bytes of log each; ${memory()}`
    )
  }
  await service.close({ force: true })
  await workspace.close()
} finally {
  provider.kill()
  Fs.rmSync(home, { recursive: true, force: true })
}
