/**
 * One measurement, in a process of its own: who calls (`bare`, `secure`, `judged`, which is `secure` with output rules, `bound`, which is a
 * client of a service bound to its user, `asUser`, which is bound for each call, or a peer), what (`call`, `stream`, the same of the
 * Responses API, or `memory`), how many at a time and in all, and the provider's port; for `gateway` the gateway's own two.
 * Prints JSON: CPU µs a call, p50 and p99 in µs, and for `memory` the heap in bytes along the way.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { OpenAI } from "openai"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"

const [kind, scenario, concurrencyText, callsText, port, gatewayPort, cpuPort] = process.argv.slice(2)
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
  return new SecureOpenAI({ ...options, appName: "bench", workspace, ...(!isService && { jwtToken: token }) })
}
/** A service that binds its user: once, or for each call. */
const isService = kind === "bound" || kind === "asUser"
const token = mintToken({ sub: "alice" })
const service = async () => (await secure()) as SecureOpenAI

/** The bare SDK by way of the gateway. */
const throughGateway = () =>
  new OpenAI({
    ...options,
    baseURL: `http://127.0.0.1:${gatewayPort}/v1`,
    defaultHeaders: { "x-portkey-provider": "openai", "x-portkey-custom-host": options.baseURL }
  })

const clients: Readonly<Record<string, () => OpenAI | Promise<OpenAI>>> = {
  bare: () => new OpenAI(options),
  secure,
  judged: secure,
  bound: async () => (await service()).asUser(token),
  asUser: service,
  gateway: throughGateway,
  // An empty configuration: no guardrail runs. It brings an SDK of its own.
  guardrails: async () => {
    const { GuardrailsOpenAI } = await import("@openai/guardrails")
    return (await GuardrailsOpenAI.create({ version: 1 }, options)) as unknown as OpenAI
  },
  ai: () => new OpenAI(options)
}
const makeClient = clients[kind ?? ""]
if (makeClient === undefined) throw new Error(`nobody is called ${kind}`)
const client = await makeClient()

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
const input = { model: params.model, max_output_tokens: 1000, temperature: 0.5, input: params.messages }
const counted = async (chunks: AsyncIterable<unknown>): Promise<void> => {
  let n = 0
  for await (const _ of chunks) n++
  if (n !== 200) throw new Error(`${n} chunks`)
}
type Scenarios = Readonly<Record<string, () => Promise<unknown>>>
const ofSdk: Scenarios = {
  call: () => client.chat.completions.create(params),
  stream: async () => counted(await client.chat.completions.create({ ...params, stream: true })),
  response: () => client.responses.create(input),
  responseStream: async () => counted(await client.responses.create({ ...input, stream: true }))
}
/** The AI SDK with a middleware that does nothing. */
const ofAi = async (): Promise<Scenarios> => {
  const { generateText, streamText, wrapLanguageModel } = await import("ai")
  const { createOpenAI } = await import("@ai-sdk/openai")
  const model = wrapLanguageModel({
    model: createOpenAI({ apiKey: options.apiKey, baseURL: options.baseURL }).chat("gpt-4o"),
    middleware: { wrapGenerate: ({ doGenerate }) => doGenerate(), wrapStream: ({ doStream }) => doStream() }
  })
  const [system, user] = params.messages
  const prompt = {
    model,
    maxOutputTokens: params.max_tokens,
    temperature: params.temperature,
    maxRetries: 0,
    instructions: system!.content,
    prompt: user!.content
  }
  return { call: () => generateText(prompt), stream: () => counted(streamText(prompt).textStream) }
}
/** A server's handler: a binding for each request, given back at its end. */
const ofHandler: Scenarios = {
  call: async () => {
    await using user = await (client as SecureOpenAI).asUser(token)
    return await user.chat.completions.create(params)
  }
}
const scenarios = kind === "ai" ? await ofAi() : kind === "asUser" ? ofHandler : ofSdk

/** CPU µs of this process, and of the gateway where there is one. */
const cpu = async (): Promise<number> => {
  const { system, user } = process.cpuUsage()
  const others = cpuPort === undefined ? 0 : Number(await (await fetch(`http://127.0.0.1:${cpuPort}/`)).text())
  return system + user + others
}

const run = async (once: () => Promise<unknown>, count: number, latencies?: Array<number>): Promise<void> => {
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

const of = (name: string | undefined): (() => Promise<unknown>) => {
  const found = scenarios[name ?? ""]
  if (found === undefined) throw new Error(`${kind} has no ${name}`)
  return found
}
if (scenario === "memory") {
  await run(of("call"), 10_000)
  const at10k = await heap()
  await run(of("call"), 40_000)
  const at50k = await heap()
  await run(of("stream"), 1000)
  const at1k = await heap()
  await run(of("stream"), 4000)
  console.log(JSON.stringify({ at10k, at50k, at1k, at5k: await heap() }))
} else {
  const once = of(scenario)
  await run(once, Math.ceil(calls / 2))
  const latencies: Array<number> = []
  const before = await cpu()
  await run(once, calls, latencies)
  const used = (await cpu()) - before
  latencies.sort((a, b) => a - b)
  const at = (q: number) => latencies[Math.floor(q * (latencies.length - 1))] ?? 0
  console.log(JSON.stringify({ cpu: used / calls, p50: at(0.5), p99: at(0.99) }))
}
if (client instanceof SecureOpenAI && !client.isBound) await client.workspace.close()
Fs.rmSync(home, { recursive: true, force: true })
process.exit()
