/**
 * What an app does with a client of the SDK, one of each kind: a wrapper of a client, or a patch of the SDK, has to leave all
 * of it as it is. Each gives what the app read.
 */
import type { OpenAI } from "openai"
import { zodResponseFormat } from "openai/helpers/zod"
import { z } from "zod"

const messages = [{ role: "user" as const, content: "Hello" }]
const chat = { model: "gpt-4o", max_tokens: 4000, messages }
const response = { model: "gpt-4o", max_output_tokens: 4000, input: "Hello" }
const said = "hi from gpt-4o-mini"

/** Name, what is done, and what it gives. */
export const deeds: ReadonlyArray<readonly [string, (client: OpenAI) => Promise<unknown>, unknown]> = [
  ["create", async (client) => (await client.chat.completions.create(chat)).choices[0]?.message.content, said],
  [
    "create a stream",
    async (client) => {
      let text = ""
      for await (const chunk of await client.chat.completions.create({ ...chat, stream: true }))
        text += chunk.choices[0]?.delta.content ?? ""
      return text
    },
    "t0t1t2"
  ],
  [
    "parse",
    async (client) => {
      const response_format = zodResponseFormat(z.object({ a: z.number() }), "answer")
      return (await client.chat.completions.parse({ ...chat, response_format })).choices[0]?.message.parsed
    },
    { a: 1 }
  ],
  ["stream", async (client) => client.chat.completions.stream(chat).finalContent(), "t0t1t2"],
  ["create a response", async (client) => (await client.responses.create(response)).output_text, said],
  [
    "create a stream of a response",
    async (client) => {
      let text = ""
      for await (const event of await client.responses.create({ ...response, stream: true }))
        if (event.type === "response.output_text.delta") text += event.delta
      return text
    },
    said
  ],
  [
    "embed",
    async (client) =>
      (await client.embeddings.create({ model: "text-embedding-3-small", input: "a" })).data[0]?.embedding,
    [1, 2]
  ],
  [
    "complete",
    async (client) =>
      (await client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "a" })).choices[0]?.text,
    "hello"
  ]
]

/** The deeds that a policy on `generate` changes. */
export const isCapped = (deed: string): boolean => deed !== "embed" && deed !== "complete"

/** The client's calls for a refusal, each to be rejected. */
export const refusable = (client: OpenAI): ReadonlyArray<Promise<unknown>> => [
  client.chat.completions.create(chat),
  client.chat.completions.create({ ...chat, stream: true }),
  client.responses.create(response)
]
