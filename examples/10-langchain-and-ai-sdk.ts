/**
 * Libraries that build their own client: LangChain and the AI SDK get the pipeline as their `fetch`. They hold no key, and
 * each of their requests is judged in the name of the principal that the client acts for.
 *
 *   node examples/10-langchain-and-ai-sdk.ts
 */
import { createOpenAI } from "@ai-sdk/openai"
import { ChatOpenAI } from "@langchain/openai"
import { APICallError, generateText, streamText } from "ai"
import { SecureOpenAI, secureFetch } from "../src/index.ts"
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { startProvider } from "./support/Provider.ts"

await using provider = await startProvider()
await using service = new SecureOpenAI({
  appName: "assistant",
  policies: [
    {
      policy_id: "app:assistant",
      resources: ["tool:assistant/generate"],
      constraints: { parameters: { "tool:assistant/generate": { model: ["gpt-4o", "gpt-4o-mini"] } } }
    },
    {
      policy_id: "user:alice",
      resources: ["tool:assistant/generate"],
      constraints: { parameters: { "tool:assistant/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 200 } } } }
    }
  ],
  issuers: testIssuer,
  audit: "memory",
  apiKey: "the service's own key",
  baseURL: provider.url
})

// 1. LangChain, as the service. Its base URL stays as it is: requests for api.openai.com go to the client's.
const chat = new ChatOpenAI({
  model: "gpt-4o",
  apiKey: "unused",
  configuration: { fetch: secureFetch(service) }
})
console.log(`LangChain, the service:   "${(await chat.invoke("Hello")).text}"`)

// 2. LangChain, as a user: the same code with the user's client.
await using alice = await service.asUser(mintToken({ sub: "alice" }))
const hers = new ChatOpenAI({
  model: "gpt-4o",
  maxTokens: 4000,
  apiKey: "unused",
  configuration: { fetch: secureFetch(alice) }
})
let text = ""
for await (const chunk of await hers.stream("Hello from alice")) text += chunk.text
console.log(`LangChain, alice:         "${text}", with max_tokens ${provider.received().at(-1)?.max_tokens}`)

// 3. The AI SDK, as the same user.
const openai = createOpenAI({ apiKey: "unused", fetch: secureFetch(alice) })
const { textStream } = streamText({ model: openai.chat("gpt-4o"), prompt: "Hello again", maxOutputTokens: 4000 })
text = ""
for await (const part of textStream) text += part
console.log(`The AI SDK, alice:        "${text}", with max_tokens ${provider.received().at(-1)?.max_tokens}`)

// 4. A refusal is an answer of the API: the library shows it, and does not retry.
const sent = provider.received().length
await using mallory = await service.asUser(mintToken({ sub: "mallory" }))
const theirs = createOpenAI({ apiKey: "unused", fetch: secureFetch(mallory) })
const error = await generateText({ model: theirs.chat("gpt-4o"), prompt: "Hello" }).catch((e: unknown) => e)
if (!APICallError.isInstance(error) || provider.received().length !== sent)
  throw new Error("this should have been refused")
console.log(`The AI SDK, mallory:      ${error.statusCode}. ${error.message}`)
