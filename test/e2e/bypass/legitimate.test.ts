/** What was never anybody's dodge works as before: byte for byte what the plain SDK sends for the same call. */
import { toFile, type OpenAI } from "openai"
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod"
import { expect, it } from "vitest"
import { z } from "zod"
import { ConfigurationError } from "../../../src/index.ts"
import { asked, bare, kinds, messages, policies, useLab } from "./lab.ts"

const lab = useLab()
const shape = z.object({ a: z.number() })
const read = async (stream: AsyncIterable<unknown>) => void (await Array.fromAsync(stream))
const file = () => toFile(Buffer.from("hello"), "a.txt")
const input = { model: "gpt-4o-mini", input: "Hello", max_output_tokens: 100 }

it.each<[string, (client: OpenAI) => unknown]>([
  ["a chat completion", (c) => c.chat.completions.create(asked)],
  ["a chat completion that streams", async (c) => read(await c.chat.completions.create({ ...asked, stream: true }))],
  [
    "a stream with usage",
    async (c) =>
      read(await c.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } }))
  ],
  ["parse with zod", (c) => c.chat.completions.parse({ ...asked, response_format: zodResponseFormat(shape, "x") })],
  ["stream() with its events", (c) => c.chat.completions.stream(asked).finalContent()],
  [
    "a tool by zod",
    (c) => c.chat.completions.create({ ...asked, tools: [zodFunction({ name: "f", parameters: shape })] })
  ],
  [
    "runTools",
    (c) =>
      c.chat.completions
        .runTools({
          ...asked,
          tools: [{ type: "function", function: { name: "f", parameters: {}, description: "d", function: () => "x" } }]
        })
        .finalContent()
  ],
  [
    "legacy functions",
    (c) => c.chat.completions.create({ ...asked, functions: [{ name: "f" }], function_call: "auto" })
  ],
  [
    "an image",
    (c) =>
      c.chat.completions.create({
        ...asked,
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AA==" } }] }]
      })
  ],
  [
    "every role",
    (c) =>
      c.chat.completions.create({
        ...asked,
        messages: [
          { role: "system", content: "s" },
          { role: "developer", content: "d" },
          ...messages,
          { role: "assistant", content: "a" }
        ]
      })
  ],
  [
    "keys like numbers, in the SDK's order",
    (c) =>
      c.chat.completions.create({ ...asked, logit_bias: { "9": 1, "10": 2 }, metadata: { z: "1", a: "2", "1": "3" } })
  ],
  [
    "a schema's order of keys",
    (c) =>
      c.chat.completions.create({
        ...asked,
        response_format: {
          type: "json_schema",
          json_schema: {
            name: "x",
            schema: { type: "object", properties: { zebra: {}, apple: {} }, required: ["zebra", "apple"] }
          }
        }
      })
  ],
  [
    "all of Unicode",
    (c) =>
      c.chat.completions.create({
        ...asked,
        messages: [{ role: "user", content: 'é\u2028\u2029\u0000😀\u202e\\"/<script>\u{10ffff}' }]
      })
  ],
  [
    "numbers of every kind",
    (c) =>
      c.chat.completions.create({
        ...asked,
        temperature: 0.1 + 0.2,
        top_p: 1e-7,
        presence_penalty: -2,
        seed: 2 ** 53 - 1
      })
  ],
  [
    "parameters that nobody knows",
    (c) => c.chat.completions.create({ ...asked, extra_body: { a: [1, null, { b: false }] }, foo: "bar" } as never)
  ],
  ["null and undefined", (c) => c.chat.completions.create({ ...asked, stop: null, user: undefined } as never)],
  [
    "a large prompt",
    (c) => c.chat.completions.create({ ...asked, messages: [{ role: "user", content: "x".repeat(300_000) }] })
  ],
  [
    "headers of one call",
    (c) => c.chat.completions.create(asked, { headers: { "x-mine": "1", "OpenAI-Beta": "a=b" } })
  ],
  ["query of one call", (c) => c.chat.completions.create(asked, { query: { a: "1", b: ["2", "3"] } })],
  ["idempotencyKey", (c) => c.chat.completions.create(asked, { idempotencyKey: "k" })],
  ["timeout and retries", (c) => c.chat.completions.create(asked, { timeout: 9000, maxRetries: 0 })],
  ["a signal", (c) => c.chat.completions.create(asked, { signal: new AbortController().signal })],
  [
    "withOptions",
    (c) =>
      c.withOptions({ timeout: 9000, maxRetries: 0, logLevel: "off", logger: console }).chat.completions.create(asked)
  ],
  ["post", (c) => c.post("/chat/completions", { body: asked })],
  [
    "post of a text",
    (c) =>
      c.post("/chat/completions", {
        body: ` ${JSON.stringify(asked)}\n`,
        headers: { "content-type": "application/json" }
      })
  ],
  ["post to an absolute URL", (c) => c.post(`${c.baseURL}/chat/completions`, { body: asked })],
  ["withResponse", (c) => c.chat.completions.create(asked).withResponse()],
  ["asResponse", (c) => c.chat.completions.create(asked).asResponse()],
  [
    "a text completion",
    (c) => c.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: ["a", "b"], max_tokens: 5, echo: true })
  ],
  [
    "a text completion that streams",
    async (c) =>
      read(await c.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "a", max_tokens: 5, stream: true }))
  ],
  ["an embedding", (c) => c.embeddings.create({ model: "text-embedding-3-small", input: "x" })],
  [
    "embeddings of tokens",
    (c) =>
      c.embeddings.create({
        model: "text-embedding-3-small",
        input: [[1, 2], [3]],
        dimensions: 8,
        encoding_format: "float"
      })
  ],
  ["a response", (c) => c.responses.create(input)],
  ["a response that streams", async (c) => read(await c.responses.create({ ...input, stream: true }))],
  ["a response that is parsed", (c) => c.responses.parse({ ...input, text: { format: zodTextFormat(shape, "x") } })],
  ["a response's stream()", (c) => c.responses.stream(input).finalResponse()],
  [
    "a response with hosted tools",
    (c) => c.responses.create({ ...input, tools: [{ type: "web_search_preview" }], store: false, include: [] })
  ],
  [
    "a response that goes on",
    (c) => c.responses.create({ ...input, previous_response_id: "resp_1", instructions: "i" })
  ],
  ["a beta response", (c) => c.beta.responses.create(input)],
  ["models", (c) => c.models.list()],
  ["a model", (c) => c.models.retrieve("ft:gpt-4o:org::id")],
  ["an image that is made", (c) => c.images.generate({ prompt: "x" })],
  ["an image that is edited", async (c) => c.images.edit({ image: await file(), prompt: "x" })],
  ["speech", (c) => c.audio.speech.create({ model: "tts-1", voice: "alloy", input: "x" })],
  ["a transcription", async (c) => c.audio.transcriptions.create({ file: await file(), model: "whisper-1" })],
  ["a file that is uploaded", async (c) => c.files.create({ file: await file(), purpose: "batch" })],
  ["a file's content", (c) => c.files.content("file-1")],
  ["a file that is deleted", (c) => c.files.delete("file-1")],
  [
    "files, page by page",
    async (c) => {
      for await (const _ of c.files.list({ limit: 2 })) break
    }
  ],
  [
    "a batch",
    (c) => c.batches.create({ input_file_id: "f", endpoint: "/v1/chat/completions", completion_window: "24h" })
  ],
  ["a fine-tuning job", (c) => c.fineTuning.jobs.retrieve("ftjob_1")],
  ["moderation", (c) => c.moderations.create({ input: "x" })],
  ["an assistant", (c) => c.beta.assistants.create({ model: "gpt-4o-mini" })],
  ["a thread", (c) => c.beta.threads.create()],
  ["a vector store", (c) => c.vectorStores.create({ name: "v" })]
])("%s", async (_name, run) => {
  const l = lab(policies, { allowedQuery: ["a", "b"], allowedHeaders: ["X-Mine"] })
  await run(l.plain)
  const plain = l.provider.hits.splice(0)
  expect(plain.length).toBeGreaterThan(0)
  for (const client of [l.service, await l.as("alice")]) {
    await run(client)
    const ours = l.provider.hits.splice(0)
    // A form's parts are parted by a line that is new each time.
    const like = (hit: object) => JSON.stringify(bare(hit as never)).replaceAll(/-*formdata-undici-\d+/g, "boundary")
    expect(ours.map(like)).toEqual(plain.map(like))
  }
  const log = { hits: [], error: undefined, value: undefined, log: await l.records() }
  expect(kinds(log, "decision").length + kinds(log, "passthrough").length).toBe(2 * plain.length)
})

it("withOptions of account, headers and query is the service's, and not its users'", async () => {
  const l = lab(policies, { allowedQuery: ["q"] })
  const run = (c: OpenAI) =>
    c
      .withOptions({ defaultHeaders: { "x-d": "1" }, defaultQuery: { q: "1" }, organization: "o", project: "p" })
      .chat.completions.create(asked)
  await run(l.plain)
  await run(l.service)
  const [plain, ours] = l.provider.hits.splice(0)
  expect(bare(ours!)).toEqual(bare(plain!))
  expect((await l.records()).filter(({ kind }) => kind === "decision")).toMatchObject([
    { headers: ["openai-organization", "openai-project", "x-d"], query: { names: ["q"] } }
  ])
  const alice = await l.as("alice")
  expect(() => run(alice)).toThrow(ConfigurationError)
  expect(l.provider.hits).toEqual([])
})
