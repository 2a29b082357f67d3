/**
 * Streaming: the answer as it comes, under the same limits.
 *
 *   node examples/02-streaming.ts
 *
 * In an app, import from "secure-openai".
 */
import { PolicyDeniedError, SecureOpenAI } from "../src/index.ts"
import { startProvider } from "./support/Provider.ts"

await using provider = await startProvider(
  ({ model }) => `This is ${model}. The words reach you one by one, as the model finds them, not all at the end.`
)
await using client = new SecureOpenAI({
  appName: "my-app",
  // An intent policy limits this client in code. It only narrows what the policies allow.
  intentPolicy: {
    constraints: {
      parameters: {
        "tool:my-app/generate": {
          model: ["gpt-4o-mini"],
          max_tokens: { max: 200 },
          n: { max: 1, on_violation: "deny" } // refuse instead of lowering it to the limit
        }
      }
    }
  },
  audit: "memory",
  apiKey: "none",
  baseURL: provider.url
})
const messages = [{ role: "user" as const, content: "How do you stream?" }]

// 1. Iterate over the chunks. Policy decides before the first chunk: a refused stream never begins.
const began = performance.now()
const stream = await client.chat.completions.create({ model: "gpt-4o", messages, stream: true })
let first: number | undefined
for await (const chunk of stream) {
  const text = chunk.choices[0]?.delta.content ?? ""
  if (text !== "") first ??= performance.now() - began
  process.stdout.write(text)
}
const whole = performance.now() - began
console.log(`\n  first text after ${first?.toFixed(0)} ms, the last after ${whole.toFixed(0)} ms`)

// A stream has a receipt as well: what was asked, what was sent, and where that stands in the log.
const changes = SecureOpenAI.receipt(stream)?.changes ?? []
console.log(`  changed on the way: ${changes.map(({ path, to }) => `${path} → ${to}`).join(", ")}\n`)

// 2. The SDK's helper for streams works unchanged.
const helper = client.chat.completions.stream({ model: "gpt-4o-mini", messages })
let pieces = 0
helper.on("content", () => pieces++)
const completion = await helper.finalChatCompletion()
console.log(
  `The helper saw ${pieces} pieces, and put together: "${completion.choices[0]?.message.content?.slice(0, 20)}…"\n`
)

// 3. Stop reading at any time: the connection to the provider is closed, and the log records "abandoned".
let read = 0
for await (const _ of await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true }))
  if (++read === 3) break
console.log(`Stopped after ${read} chunks.\n`)

// 4. Refused: no chunk, no request.
const refused = await client.chat.completions
  .create({ model: "gpt-4o-mini", messages, n: 5, stream: true })
  .catch((error: unknown) => error)
if (!(refused instanceof PolicyDeniedError)) throw new Error("this should have been refused")
console.log(`Refused before it began: ${refused.decision.violations[0]?.message}`)
console.log(`Requests sent: ${provider.received().length}`)
