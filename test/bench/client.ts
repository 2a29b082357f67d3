/**
 * One measurement, in a process of its own: `bare`, `secure` or `judged` (with output rules), calls or streams, at one concurrency. Prints JSON: CPU µs a
 * call, p50 and p99 in µs, and for `memory` the heap after 10,000 and 50,000 calls.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { OpenAI } from "openai"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"

const [kind, scenario, concurrencyText, callsText, port] = process.argv.slice(2)
const concurrency = Number(concurrencyText)
const calls = Number(callsText)
const options = { apiKey: "bench", baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 }
const home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-bench-"))

/** Literals whose beginnings the answers are full of. */
const rules = {
  "tool:*/generate": { denied: ["word words", "Project Heron", " wordless", "internal only", "sk-live-"] }
}

/** Everything on: a verified user, a policy tree, an edit on each call, the log on the disk. */
const secure = async (): Promise<OpenAI> => {
  const workspace = await Workspace.open({
    home,
    issuers: testIssuer,
    policies: [
      {
        policy_id: "company:Acme",
        resources: ["tool:*/generate", "tool:*/embed"],
        constraints: {
          parameters: {
            "tool:*/generate": {
              model: ["gpt-4o-mini", "gpt-4o"],
              max_tokens: { max: 4000 },
              temperature: { min: 0, max: 1 }
            }
          }
        }
      },
      { policy_id: "team:Lab", extends: "company:Acme", ...(kind === "judged" && { constraints: { output: rules } }) },
      {
        policy_id: "user:alice",
        extends: "team:Lab",
        constraints: { parameters: { "tool:*/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 500 } } } }
      },
      { policy_id: "app:bench", resources: ["tool:bench/**"] }
    ]
  })
  return new SecureOpenAI({ ...options, appName: "bench", workspace, jwtToken: mintToken({ sub: "alice" }) })
}

const client = kind === "bare" ? new OpenAI(options) : await secure()
const params = {
  model: "gpt-4o",
  max_tokens: 1000,
  temperature: 0.5,
  messages: [
    { role: "system" as const, content: "You are a helpful assistant that answers in one short sentence." },
    {
      role: "user" as const,
      content: "Is everything in order with the deployment of yesterday, and what should we watch?"
    }
  ]
}
const call = async (): Promise<void> => {
  await client.chat.completions.create(params)
}
const stream = async (): Promise<void> => {
  let n = 0
  for await (const _ of await client.chat.completions.create({ ...params, stream: true })) n++
  if (n !== 200) throw new Error(`${n} chunks`)
}
const once = scenario === "stream" ? stream : call

const run = async (count: number, latencies?: Array<number>): Promise<void> => {
  let left = count
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (left-- > 0) {
        const begin = performance.now()
        await once()
        latencies?.push((performance.now() - begin) * 1000)
      }
    })
  )
}

const heap = async (): Promise<number> => {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return process.memoryUsage().heapUsed
}

if (scenario === "memory") {
  await run(10_000)
  const at10k = await heap()
  await run(40_000)
  console.log(JSON.stringify({ at10k, at50k: await heap() }))
} else {
  await run(Math.ceil(calls / 4))
  const latencies: Array<number> = []
  const before = process.cpuUsage()
  await run(calls, latencies)
  const { system, user } = process.cpuUsage(before)
  latencies.sort((a, b) => a - b)
  const at = (q: number) => latencies[Math.floor(q * (latencies.length - 1))] ?? 0
  console.log(JSON.stringify({ cpu: (system + user) / calls, p50: at(0.5), p99: at(0.99) }))
}
if (client instanceof SecureOpenAI) await client.workspace.close()
Fs.rmSync(home, { recursive: true, force: true })
process.exit()
