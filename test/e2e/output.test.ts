/** Output rules over a real socket: what a caller gets of an answer, what the provider sees, and what the log says. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { OpenAI } from "openai"
import { zodResponseFormat } from "openai/helpers/zod"
import { describe, expect, it } from "vitest"
import { z } from "zod"
import {
  AgentClient,
  Call,
  Pipeline,
  PolicyDenied,
  PolicyDeniedError,
  type ReadRecord,
  SecureOpenAI,
  type SecureOptions,
  type WorkspaceOptions
} from "../../src/index.ts"
import { Chain } from "../../src/audit/Digest.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { check } from "../audit/logs.ts"
import { openProvider } from "./fixture.ts"

const secret = "Project Heron"
const heron = (more: object = {}) => ({ constraints: { output: { "tool:*/*": { denied: [secret], ...more } } } })
const policies = [{ policy_id: "app:my-app", resources: ["tool:my-app/**"], ...heron() }]

const { openClient, openWorkspace, provider } = await openProvider()

const make = (workspaceOptions: WorkspaceOptions = { policies }, options: SecureOptions = {}) => {
  const workspace = openWorkspace({ issuers: testIssuer, ...workspaceOptions })
  const client = openClient({ appName: "my-app", workspace, ...options })
  const last = async (kind: string): Promise<ReadRecord> => {
    const found = (await workspace.records()).findLast((record) => record.kind === kind)
    if (found === undefined) throw new Error(`no ${kind}`)
    return found
  }
  return { client, last, workspace, records: () => workspace.records() }
}

const messages = [{ role: "user" as const, content: "Hello" }]
const chat = { model: "gpt-4o", messages }
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
/** Waits until something is so; gives up after a while. */
const until = async (isSo: () => boolean): Promise<void> => {
  for (let i = 0; i < 200 && !isSo(); i++) await wait(5)
}

const chunk = (delta: object, more: object = {}, index = 0) => ({
  id: "chatcmpl-o",
  object: "chat.completion.chunk",
  created: 1,
  model: "gpt-4o",
  choices: [{ index, delta, finish_reason: null, ...more }]
})
const stop = (reason = "stop") => chunk({}, { finish_reason: reason })
const words = (text: string) => [
  ...text.match(/.{1,4}/gsu)!.map((content, i) => chunk(i === 0 ? { role: "assistant", content } : { content })),
  stop()
]
const completion = (message: object) => ({
  id: "chatcmpl-o",
  object: "chat.completion",
  created: 1,
  model: "gpt-4o",
  choices: [{ index: 0, message: { role: "assistant", refusal: null, ...message }, finish_reason: "stop" }],
  usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }
})

interface Seen {
  text: string
  error: unknown
}
const read = async (
  open: () => PromiseLike<AsyncIterable<unknown>>,
  textOf: (chunk: never) => string | null | undefined = (c: OpenAI.ChatCompletionChunk) => c.choices[0]?.delta.content
): Promise<Seen> => {
  const seen: Seen = { text: "", error: undefined }
  try {
    for await (const c of await open()) seen.text += textOf(c as never) ?? ""
  } catch (error) {
    seen.error = error
  }
  return seen
}

/** A refusal that says which rule, whose and where, and nothing of what stands there. */
const expectRefusal = (error: unknown, path: RegExp, policy = "app:my-app"): void => {
  expect(error).toBeInstanceOf(PolicyDeniedError)
  const { decision, message, status } = error as PolicyDeniedError
  expect(status).toBe(403)
  expect(decision.violations).toHaveLength(1)
  expect(decision.violations[0]).toMatchObject({ code: "output_denied", policy })
  expect(decision.violations[0]?.path).toMatch(path)
  expect(message).toContain(policy)
  expect(JSON.stringify([message, decision])).not.toContain("Heron")
}

describe("a stream", () => {
  it("ends before a denied text, and the provider's connection with it", async () => {
    const { client, last, records } = make()
    provider.behave({ events: words(`The plan: ${secret} begins. ${"more ".repeat(500)}`), every: 2 })
    const { error, text } = await read(() => client.chat.completions.create({ ...chat, stream: true }))
    expect(text).toBe("The plan: ")
    expectRefusal(error, /^choices\[0\]\.content$/)
    await until(() => provider.closed() === 1)
    expect(provider.closed()).toBe(1)
    expect(await last("stream.close")).toMatchObject({ reason: "refused" })
    const outcome = await last("outcome")
    expect(outcome).toMatchObject({
      result: "refused",
      output: [{ code: "output_denied", path: "choices[0].content", policy: "app:my-app" }]
    })
    expect(JSON.stringify(await records())).not.toContain("Heron")
  })

  it("passes whole where nothing is denied, and the log digests what the provider sent", async () => {
    const { client, last } = make()
    const text = "Projects, Projec, Project Hero and Project H"
    const events = words(text)
    provider.behave({ events })
    const stream = await client.chat.completions.create({ ...chat, stream: true })
    expect(await read(async () => stream)).toEqual({ text, error: undefined })
    const chain = new Chain(Buffer.from(SecureOpenAI.receipt(stream)?.salts["stream"] ?? "", "base64url"))
    for (const event of events) chain.add(JSON.stringify(event))
    expect(await last("stream.close")).toMatchObject({
      reason: "complete",
      received: events.length,
      digest: chain.digest
    })
    expect(await last("outcome")).not.toHaveProperty("output")
  })

  it("without rules is the provider's, chunk by chunk", async () => {
    const { client } = make({ policies: [{ policy_id: "app:my-app", resources: ["tool:my-app/**"] }] })
    const events = words(`about ${secret}`)
    provider.behave({ events })
    const seen: Array<unknown> = []
    for await (const c of await client.chat.completions.create({ ...chat, stream: true })) seen.push(c)
    expect(seen).toEqual(events)
  })

  it("is gated for every reader: tee, asResponse, toReadableStream, withResponse, .stream() and its abort", async () => {
    const { client } = make()
    provider.behave({ events: words(`The plan: ${secret} begins.`) })
    const open = () => client.chat.completions.create({ ...chat, stream: true })
    const [left, right] = (await open()).tee()
    for (const seen of await Promise.all([read(async () => left), read(async () => right)])) {
      expect(seen.text).toBe("The plan: ")
      expectRefusal(seen.error, /content/)
    }
    for (const response of [
      await open().asResponse(),
      (await open().withResponse()).response,
      new Response((await open()).toReadableStream())
    ]) {
      const decoder = new TextDecoder()
      let raw = ""
      const drained = async () => {
        for await (const bytes of response.body!) raw += decoder.decode(bytes, { stream: true })
      }
      await expect(drained()).rejects.toBeInstanceOf(PolicyDeniedError)
      expect(raw).toContain("The ")
      expect(raw).not.toMatch(/Proj|Heron|begins/)
    }
    const helper = client.chat.completions.stream(chat)
    let text = ""
    helper.on("content", (delta) => (text += delta))
    const failed = await helper.finalContent().catch((error: unknown) => error)
    expectRefusal(failed, /content/)
    expect(text).toBe("The plan: ")
  })

  it("gates text completions, refusals, reasoning and each choice by itself", async () => {
    const { client } = make()
    const completed = (text: string, finish_reason: string | null = null, index = 0) => ({
      id: "cmpl-o",
      object: "text_completion",
      created: 1,
      model: "gpt-3.5-turbo-instruct",
      choices: [{ index, text, finish_reason, logprobs: null }]
    })
    provider.behave({ events: [completed("on Proj"), completed("ect "), completed("Heron"), completed("", "stop")] })
    const text = await read(
      () => client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "x", stream: true }),
      (c: OpenAI.Completion) => c.choices[0]?.text
    )
    expect(text.text).toBe("on ")
    expectRefusal(text.error, /^choices\[0\]\.text$/)
    for (const key of ["refusal", "reasoning_content", "anything_new"]) {
      provider.behave({ events: [chunk({ [key]: "on Project" }), chunk({ [key]: " Heron" }), stop()] })
      const seen = await read(
        () => client.chat.completions.create({ ...chat, stream: true }),
        (c: OpenAI.ChatCompletionChunk) => (c.choices[0]?.delta as Record<string, string> | undefined)?.[key]
      )
      expect(seen.text).toBe("on ")
      expectRefusal(seen.error, new RegExp(key))
    }
    // A text that is in no choice whole is no denied text.
    provider.behave({
      events: [
        chunk({ content: "Project " }, {}, 0),
        chunk({ content: "Heron" }, {}, 1),
        stop(),
        chunk({}, { finish_reason: "stop" }, 1)
      ]
    })
    const both = { 0: "", 1: "" } as Record<number, string>
    for await (const c of await client.chat.completions.create({ ...chat, n: 2, stream: true }))
      for (const { delta, index } of c.choices) both[index] += delta.content ?? ""
    expect(both).toEqual({ 0: "Project ", 1: "Heron" })
  })

  it("is bounded: a slow reader keeps little, and the provider waits", async () => {
    const { client } = make()
    const count = 60_000
    let sent = 0
    const events = function* () {
      for (; sent < count; sent++) yield chunk({ content: "Project Hero " })
      yield stop()
    }
    provider.behave({ events: events() })
    const stream = await client.chat.completions.create({ ...chat, stream: true })
    const reader = stream[Symbol.asyncIterator]()
    await reader.next()
    await wait(200)
    // What the sockets between them take, and no more.
    expect(sent).toBeLessThan(count)
    let text = ""
    for (let next = await reader.next(); !next.done; next = await reader.next())
      text += next.value.choices[0]?.delta.content ?? ""
    expect(sent).toBe(count)
    expect("Project Hero ".repeat(count).endsWith(text)).toBe(true)
  })

  it("that is longer than max_characters ends there", async () => {
    const { client, last } = make({
      policies: [{ ...policies[0]!, constraints: { output: { "tool:**": { max_characters: 10 } } } }]
    })
    provider.behave({ events: words("0123456789abcdef") })
    const { error, text } = await read(() => client.chat.completions.create({ ...chat, stream: true }))
    expect(text).toBe("0123456789")
    expectRefusal(error, /^choices\[0\]\.content$/)
    expect((await last("outcome"))["result"]).toBe("refused")
    provider.behave({ events: words("0123456789") })
    expect((await read(() => client.chat.completions.create({ ...chat, stream: true }))).text).toBe("0123456789")
  })
})

describe("a plain answer", () => {
  it("that is the text of a whole stream is judged by its events", async () => {
    const { client, last } = make()
    const ask = () => client.post("/chat/completions", { body: { ...chat, stream: true } })
    provider.behave({ events: words("Nothing of it") })
    expect(await ask()).toContain("data: ")
    provider.behave({ events: words(`The plan: ${secret} begins.`) })
    const { error } = await ask().then(
      () => ({ error: undefined }),
      (error: unknown) => ({ error })
    )
    expectRefusal(error, /^choices\[0\]\.content$/)
    expect(await last("outcome")).toMatchObject({ result: "refused" })
  })

  it("is refused whole: awaited, as a response, parsed", async () => {
    const { client, last, records } = make()
    provider.behave({ json: completion({ content: `On ${secret}.` }) })
    const open = () => client.chat.completions.create(chat)
    for (const failed of [
      await open().catch((error: unknown) => error),
      await open()
        .asResponse()
        .catch((error: unknown) => error),
      await open()
        .withResponse()
        .catch((error: unknown) => error)
    ])
      expectRefusal(failed, /^choices\[0\]\.message\.content$/)
    provider.behave({ json: completion({ content: JSON.stringify({ a: secret }) }) })
    const format = zodResponseFormat(z.object({ a: z.string() }), "x")
    const parsed = await client.chat.completions.parse({ ...chat, response_format: format }).catch((e: unknown) => e)
    expectRefusal(parsed, /content/)
    const outcome = await last("outcome")
    expect(outcome).toMatchObject({ result: "refused", status: 200, usage: { input: 5, output: 3 } })
    expect(outcome["response"]).toMatch(/^[a-z0-9-]+:[\w-]{43}$/)
    expect(JSON.stringify(await records())).not.toContain("Heron")
  })

  it.each([
    ["a refusal", { content: null, refusal: `not ${secret}` }, /refusal/],
    [
      "parts",
      {
        content: [
          { type: "text", text: "Project " },
          { type: "text", text: "Heron" }
        ]
      },
      /content/
    ],
    ["reasoning", { content: "x", reasoning_content: secret }, /reasoning_content/],
    ["a transcript", { content: null, audio: { id: "a", data: "AA==", transcript: secret } }, /audio/],
    ["sound without a transcript", { content: null, audio: { id: "a", data: "AA==" } }, /audio/],
    ["an annotation", { content: "x", annotations: [{ url_citation: { title: secret } }] }, /annotations/],
    [
      "a tool's name",
      { tool_calls: [{ id: "c", type: "function", function: { name: secret, arguments: "{}" } }] },
      /tool_calls\[0\]/
    ],
    [
      "escaped arguments",
      {
        tool_calls: [{ id: "c", type: "function", function: { name: "x", arguments: '{"a":"Project \\u0048eron"}' } }]
      },
      /tool_calls\[0\]/
    ],
    [
      "a custom tool's input",
      { tool_calls: [{ id: "c", type: "custom", custom: { name: "x", input: secret } }] },
      /tool_calls\[0\]/
    ],
    ["the older function_call", { function_call: { name: "x", arguments: `{"a":"${secret}"}` } }, /function_call/]
  ])("is searched in %s", async (_, message, path) => {
    const { client } = make()
    provider.behave({ json: completion(message) })
    expectRefusal(await client.chat.completions.create(chat).catch((error: unknown) => error), path)
  })

  it("that breaks no rule is the provider's own, byte for byte", async () => {
    const { client } = make()
    const json = completion({ content: "On another project." })
    provider.behave({ json })
    expect(await (await client.chat.completions.create(chat).asResponse()).text()).toBe(JSON.stringify(json))
  })

  it("may hold denied letters in what is no text", async () => {
    const { client } = make({
      policies: [{ ...policies[0]!, constraints: { output: { "tool:**": { denied: ["gpt", "chatcmpl", "stop"] } } } }]
    })
    expect(await client.chat.completions.create({ ...chat, model: "gpt-4o" }).catch((e: unknown) => e)).toBeInstanceOf(
      PolicyDeniedError
    )
    provider.behave({ json: completion({ content: "fine" }) })
    expect((await client.chat.completions.create(chat)).choices[0]?.message.content).toBe("fine")
    provider.behave({})
    expect((await client.embeddings.create({ model: "text-embedding-3-small", input: "x" })).data).toHaveLength(1)
  })
})

describe("on_response", () => {
  const strict = (on_response: "record" | "deny") => ({
    policies: [
      {
        policy_id: "app:my-app",
        resources: ["tool:my-app/generate", "tool:my-app/get_weather"],
        constraints: {
          parameters: { "tool:my-app/get_weather": { city: ["Oslo"] } },
          output: { "tool:my-app/generate": { on_response } }
        }
      }
    ]
  })
  const calls = (...asked: ReadonlyArray<readonly [string, string]>) =>
    completion({
      content: null,
      tool_calls: asked.map(([name, args], i) => ({
        id: `c${i}`,
        type: "function",
        function: { name, arguments: args }
      }))
    })
  const deltas = (...asked: ReadonlyArray<readonly [string, string]>) => [
    chunk({ role: "assistant", content: "Let me see." }),
    ...asked.flatMap(([name, args], index) => [
      chunk({ tool_calls: [{ index, id: `c${index}`, type: "function", function: { name, arguments: "" } }] }),
      ...args.match(/.{1,3}/gu)!.map((part) => chunk({ tool_calls: [{ index, function: { arguments: part } }] }))
    ]),
    stop("tool_calls")
  ]
  const oslo = ["get_weather", '{"city":"Oslo"}'] as const
  const rome = ["get_weather", '{"city":"Rome"}'] as const
  const pay = ["pay", '{"amount":1}'] as const

  it("deny refuses an answer that asks for what policy does not allow", async () => {
    const { client, last } = make(strict("deny"))
    for (const asked of [[pay], [rome], [oslo, pay], [["get_weather", "{"] as const]]) {
      provider.behave({ json: calls(...asked) })
      expectRefusal(await client.chat.completions.create(chat).catch((e: unknown) => e), /tool_calls/)
      expect(await last("tool_call")).toMatchObject({ verdict: "deny" })
    }
    provider.behave({ json: calls(oslo) })
    expect((await client.chat.completions.create(chat)).choices[0]?.message.tool_calls).toHaveLength(1)
  })

  it("deny holds the deltas of a tool call until it is judged", async () => {
    const { client, last } = make(strict("deny"))
    const readCalls = async (events: ReadonlyArray<unknown>) => {
      provider.behave({ events })
      const seen: Array<OpenAI.ChatCompletionChunk> = []
      const error = await (async () => {
        for await (const c of await client.chat.completions.create({ ...chat, stream: true })) seen.push(c)
      })().catch((e: unknown) => e)
      return { seen, error }
    }
    const good = deltas(oslo, oslo)
    expect(await readCalls(good)).toEqual({ seen: good, error: undefined })
    const bad = deltas(oslo, pay)
    const { error, seen } = await readCalls(bad)
    expectRefusal(error, /^choices\[0\]\.tool_calls\[1\]$/)
    // The text, and the call that was complete and allowed.
    expect(seen).toEqual(bad.slice(0, 1 + deltas(oslo).length - 2))
    expect(JSON.stringify(seen)).not.toContain("pay")
    expect(await last("tool_call")).toMatchObject({ tool: "tool:my-app/pay", verdict: "deny" })
    expect(await last("stream.close")).toMatchObject({ reason: "refused", chunks: seen.length, received: bad.length })
  })

  it("record lets it pass, and the log says so", async () => {
    const { client, last } = make(strict("record"))
    provider.behave({ json: calls(pay) })
    expect((await client.chat.completions.create(chat)).choices[0]?.message.tool_calls).toHaveLength(1)
    const found = [{ code: "output_denied", path: "choices[0].message.tool_calls[0]", policy: "app:my-app" }]
    expect(await last("outcome")).toMatchObject({ result: "complete", output: found })
    provider.behave({ events: deltas(pay) })
    const seen = await read(() => client.chat.completions.create({ ...chat, stream: true }))
    expect(seen).toEqual({ text: "Let me see.", error: undefined })
    expect(await last("outcome")).toMatchObject({
      result: "complete",
      output: [{ code: "output_denied", path: "choices[0].tool_calls[0]", policy: "app:my-app" }]
    })
  })

  it.each([
    ["gpt-4o", "gpt-4o", true],
    ["gpt-4o", "gpt-4o-2024-08-06", true],
    ["gpt-4", "gpt-4-0613", true],
    ["ft:gpt-4o-mini:org::1", "ft:gpt-4o-mini-2024-07-18:org::1", true],
    ["gpt-4o", "", true],
    ["gpt-4o", "gpt-4o-mini", false],
    ["gpt-4o", "gpt-4o-mini-2024-07-18", false],
    ["gpt-4o-2024-05-13", "gpt-4o-2024-08-06", false]
  ])("an answer to %s may come from %s: %s", async (model, answered, passes) => {
    const { client } = make(strict("deny"))
    provider.behave({ json: { ...completion({ content: "x" }), model: answered } })
    const plain = await client.chat.completions.create({ ...chat, model }).catch((e: unknown) => e)
    provider.behave({
      events: [
        { ...chunk({ content: "x" }), model: answered },
        { ...stop(), model: answered }
      ]
    })
    const { error, text } = await read(() => client.chat.completions.create({ ...chat, model, stream: true }))
    if (passes) {
      expect(plain).toMatchObject({ model: answered })
      expect(text).toBe("x")
    } else {
      for (const refused of [plain, error]) expectRefusal(refused, /^model$/)
      expect(text).toBe("")
    }
  })
})

describe("whose rules", () => {
  const company = { policy_id: "company:Acme", resources: ["tool:my-app/**"], ...heron() }
  const alice = { policy_id: "user:alice", extends: "company:Acme", ...heron({ denied: ["lunch"] }) }
  const tree = [{ policy_id: "app:my-app", resources: ["tool:my-app/**"] }, company, alice]

  it("a bound user's documents hold for the user alone", async () => {
    const { client } = make({ policies: tree })
    await using bound = await client.asUser(mintToken({ sub: "alice" }))
    for (const [text, policy] of [
      [`On ${secret}`, "company:Acme"],
      ["At lunch", "user:alice"]
    ] as const) {
      provider.behave({ json: completion({ content: text }) })
      expectRefusal(await bound.chat.completions.create(chat).catch((e: unknown) => e), /content/, policy)
      expect((await client.chat.completions.create(chat)).choices[0]?.message.content).toBe(text)
    }
  })

  it("an agent's call by invokeTool is gated, plain and streamed", async () => {
    const { client, workspace } = make({ policies: tree })
    const agent = new AgentClient({ iamToken: mintToken({ sub: "alice" }), workspace })
    await agent.register()
    const target = { targetAgent: client.serverId }
    provider.behave({ json: completion({ content: secret }) })
    expectRefusal(
      await agent.invokeTool("tool:my-app/generate", chat, target).catch((e: unknown) => e),
      /content/,
      "company:Acme"
    )
    provider.behave({ events: words(`A ${secret}`) })
    const { error, text } = await read(() =>
      agent.invokeTool("tool:my-app/generate", chat, { ...target, stream: true })
    )
    expect(text).toBe("A ")
    expectRefusal(error, /content/, "company:Acme")
  })

  it("an intent's rules hold, in observe mode too; observed policies only say what they would have done", async () => {
    const { client, last } = make({ policies, policyMode: "observe" }, { intentPolicy: heron({ denied: ["lunch"] }) })
    provider.behave({ json: completion({ content: secret }) })
    expect((await client.chat.completions.create(chat)).choices[0]?.message.content).toBe(secret)
    expect(await last("outcome")).toMatchObject({
      result: "complete",
      observed: [{ code: "output_denied", path: "choices[0].message.content", policy: "app:my-app" }]
    })
    provider.behave({ events: words(`A ${secret}`) })
    expect((await read(() => client.chat.completions.create({ ...chat, stream: true }))).text).toBe(`A ${secret}`)
    expect(await last("outcome")).toMatchObject({ result: "complete", observed: [{ policy: "app:my-app" }] })
    provider.behave({ events: words("At lunch time") })
    const { error, text } = await read(() => client.chat.completions.create({ ...chat, stream: true }))
    expect(text).toBe("At ")
    expectRefusal(error, /content/, "the intent policy")
  })

  it("hold in a pipeline of one's own, without the facade", async () => {
    provider.behave({ events: words(`A ${secret}`) })
    const layer = SecureOpenAI.layer({ apiKey: "k", baseURL: provider.url, maxRetries: 0, policies, audit: "memory" })
    const program = Effect.gen(function* () {
      const pipeline = yield* Pipeline
      const reply = yield* pipeline.run(
        Call.generate({ ...chat, stream: true }, { app: "my-app", baseURL: provider.url })
      )
      if (reply._tag !== "Stream") throw new Error("no stream")
      const seen: Array<unknown> = []
      const failed = yield* Effect.flip(Stream.runForEach(reply.stream, (c) => Effect.sync(() => seen.push(c))))
      return { seen: JSON.stringify(seen), failed }
    })
    const { failed, seen } = await Effect.runPromise(Effect.scoped(Effect.provide(program, Layer.fresh(layer))))
    expect(failed).toBeInstanceOf(PolicyDenied)
    expect(failed).toMatchObject({ stage: "output" })
    expect(seen).not.toContain("Heron")
    await until(() => provider.closed() === 1)
  })
})

describe("a registered tool's answer", () => {
  it("is judged as text, whatever it is", async () => {
    const { client, last } = make()
    for (const value of [secret, { a: [secret] }, { [secret]: 1 }, { id: secret }]) {
      client.registerTool("find", () => value)
      const message = await client.invokeTool({
        id: "c",
        type: "function",
        function: { name: "find", arguments: "{}" }
      })
      expect(JSON.parse(message.content)).toMatchObject({ error: { code: "policy_denied" } })
      expect(message.content).toContain("policy does not let the tool's answer through")
      expect(message.content).not.toMatch(/Heron|my-app/)
      expect(await last("outcome")).toMatchObject({ result: "refused", output: [{ path: "answer" }] })
    }
    client.registerTool("find", () => ({ ok: true }))
    const message = await client.invokeTool({ id: "c", type: "function", function: { name: "find", arguments: "{}" } })
    expect(message.content).toBe('{"ok":true}')
  })

  it("is judged in runTools too", async () => {
    const { client } = make()
    provider.behave({ toolCalls: [{ name: "find", arguments: "{}" }] })
    const runner = client.chat.completions.runTools({
      ...chat,
      tools: [
        {
          type: "function",
          function: { name: "find", description: "", parameters: {}, function: () => `about ${secret}` }
        }
      ]
    })
    await runner.finalContent()
    expect(JSON.stringify(runner.messages)).toContain("policy_denied")
    expect(JSON.stringify(runner.messages)).not.toContain("Heron")
  })
})

describe("a response", () => {
  const place = { item_id: "msg_1", output_index: 0, content_index: 0 }
  const respond = (...parts: ReadonlyArray<string>) => {
    const content = [{ type: "output_text", text: parts.join(""), annotations: [] }]
    const item = { id: "msg_1", type: "message", role: "assistant", status: "completed", content }
    const about = { id: "resp_1", object: "response", model: "gpt-4o", created_at: 1, instructions: secret }
    const whole = { ...about, status: "completed", output: [item], usage: { input_tokens: 1, output_tokens: 2 } }
    const events = [
      { type: "response.created", response: { ...about, output: [] } },
      { type: "response.output_item.added", output_index: 0, item: { ...item, content: [] } },
      { type: "response.content_part.added", ...place, part: { ...content[0], text: "" } },
      ...parts.map((delta) => ({ type: "response.output_text.delta", ...place, delta, logprobs: [] })),
      { type: "response.output_text.done", ...place, text: parts.join("") },
      { type: "response.content_part.done", ...place, part: content[0] },
      { type: "response.output_item.done", output_index: 0, item },
      { type: "response.completed", response: whole }
    ].map((event, sequence_number) => ({ ...event, sequence_number }))
    return { whole, events }
  }
  const request = { model: "gpt-4o", input: "Hello", instructions: secret }
  const textOf = (event: OpenAI.Responses.ResponseStreamEvent) =>
    event.type === "response.output_text.delta" ? event.delta : ""

  it("is refused whole, by create and by parse", async () => {
    const { client, last } = make()
    provider.behave({ json: respond("On ", secret).whole })
    expectRefusal(await client.responses.create(request).catch((e: unknown) => e), /^output\[0\]/)
    expectRefusal(await client.responses.parse(request).catch((e: unknown) => e), /^output\[0\]/)
    expect(await last("outcome")).toMatchObject({ result: "refused", usage: { input: 1, output: 2 } })
    provider.behave({ json: respond("On another").whole })
    expect((await client.responses.create(request)).output_text).toBe("On another")
  })

  it("ends before a denied text: read, helped, and raw", async () => {
    const { client, last } = make()
    provider.behave({ events: respond("On Pro", "ject ", "Heron", " now").events })
    const { error, text } = await read(() => client.responses.create({ ...request, stream: true }), textOf)
    expect(text).toBe("On ")
    expectRefusal(error, /^output\[0\]\.output_text$/)
    expect(await last("stream.close")).toMatchObject({ reason: "refused" })
    const helper = client.responses.stream(request)
    let helped = ""
    helper.on("response.output_text.delta", ({ delta }) => (helped += delta))
    expectRefusal(await helper.finalResponse().catch((e: unknown) => e), /output_text/)
    expect(helped).toBe("On ")
  })

  it("passes whole where nothing is denied", async () => {
    const { client, last } = make()
    const { events } = respond("On Proj", "ect H", "ero")
    provider.behave({ events })
    const final = await client.responses.stream(request).finalResponse()
    expect(final.output_text).toBe("On Project Hero")
    expect(await last("stream.close")).toMatchObject({ reason: "complete", received: events.length })
    expect((await read(() => client.responses.create({ ...request, stream: true }), textOf)).text).toBe(
      "On Project Hero"
    )
  })
})

describe("the log", () => {
  it("tells every end of a gated stream apart, counts as the provider did, and verifies", async () => {
    const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-output-"))
    const { client, last, workspace } = make({ policies, audit: { path } })
    const open = () => client.chat.completions.create({ ...chat, stream: true })
    const ends: Array<unknown> = []
    const ended = async () => {
      await wait(40)
      const { chunks, reason, received } = await last("stream.close")
      expect((await last("outcome"))["result"]).toBe(reason)
      expect(chunks).toBeLessThanOrEqual(received as number)
      ends.push([reason, chunks, received])
    }
    // What is held back at the end comes in a chunk of its own, which the provider never sent.
    provider.behave({ events: [chunk({ content: "a Proj" }), stop()] })
    expect((await read(open)).text).toBe("a Proj")
    await ended()
    provider.behave({ events: [chunk({ content: "a Proj" })] })
    expect((await read(open)).text).toBe("a Proj")
    await ended()
    provider.behave({ chunks: 3, endless: true })
    expect((await read(open)).text).toBe("t0t1t2")
    await ended()
    provider.behave({ events: words(secret) })
    expect((await read(open)).text).toBe("")
    await ended()
    provider.behave({ chunks: 5, errorAfter: 2 })
    expect((await read(open)).error).toBeInstanceOf(OpenAI.APIError)
    await ended()
    provider.behave({ chunks: 500, every: 2 })
    for await (const _ of await open()) break
    await ended()
    provider.behave({ chunks: 500, every: 2 })
    const aborted = await open()
    for await (const _ of aborted) aborted.controller.abort()
    await ended()
    expect(ends.map((end) => (end as ReadonlyArray<unknown>)[0])).toEqual([
      "complete",
      "complete",
      "cut",
      "refused",
      "failed",
      "abandoned",
      "aborted"
    ])
    expect(ends.slice(0, 3)).toEqual([
      ["complete", 2, 2],
      ["complete", 1, 1],
      ["cut", 3, 3]
    ])
    await client.close()
    await workspace.close()
    expect((await check({ path })).problems).toEqual([])
    Fs.rmSync(path, { recursive: true })
  })
})
