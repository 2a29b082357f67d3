/** Every way in which a handler has an answer in full. */
import type { OpenAI } from "openai"
import { secureFetch, type SecureOpenAI } from "../../src/index.ts"

const asked = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Hello" }] }

/** By name: makes one call and has its whole answer. */
export const kinds: Readonly<Record<string, (client: SecureOpenAI) => Promise<unknown>>> = {
  chat: async (client) => client.chat.completions.create(asked),
  response: async (client) => client.responses.create({ model: "gpt-4o", input: "Hello" }),
  "raw response": async (client) => (await client.chat.completions.create(asked).asResponse()).text(),
  stream: async (client) => Array.fromAsync(await client.chat.completions.create({ ...asked, stream: true })),
  helper: async (client) => client.chat.completions.stream(asked).finalChatCompletion(),
  "stream to a browser": async (client) =>
    new Response((await client.chat.completions.create({ ...asked, stream: true })).toReadableStream()).text(),
  fetch: async (client) => {
    const body = JSON.stringify({ ...asked, stream: true } satisfies OpenAI.Chat.ChatCompletionCreateParams)
    const headers = { "content-type": "application/json" }
    const url = `${client.baseURL}/chat/completions`
    return (await secureFetch(client)(url, { method: "POST", headers, body })).text()
  },
  tool: async (client) => {
    client.registerTool("dig", () => "dug")
    return client.invokeTool({ id: "1", type: "function", function: { name: "dig", arguments: "{}" } })
  }
}
