/**
 * Functions that the model asks for. They run under the identity of the user in whose conversation they were asked for,
 * and only if that user may.
 *
 *   node examples/05-function-calling.ts
 *
 * In an app, import from "secure-openai".
 */
import type { OpenAI } from "openai"
import { SecureOpenAI } from "../src/index.ts"
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { startProvider } from "./support/Provider.ts"

// A model that first asks for both functions, and then answers with their results.
await using provider = await startProvider(({ messages, model }) => {
  const learned = messages.filter(({ role }) => role === "tool")
  if (learned.length > 0) return `${model} read ${learned.length} results.`
  return {
    calls: [
      { name: "find_order", arguments: { order_id: "A-104233" } },
      { name: "wire_transfer", arguments: { amount: 20000, currency: "EUR" } }
    ]
  }
})

await using service = new SecureOpenAI({
  appName: "assistant",
  policies: `${import.meta.dirname}/policies`,
  issuers: testIssuer,
  audit: "memory",
  apiKey: "none",
  baseURL: provider.url
})

// Each function is registered once, and receives the verified caller beside its arguments.
service.registerTool<{ order_id: string }>("find_order", ({ order_id }, { principal }) => {
  console.log(`    find_order runs for ${principal.kind}:${principal.id}`)
  return { order_id, status: "shipped" }
})
service.registerTool<{ amount: number; currency: string }>("wire_transfer", ({ amount, currency }, { principal }) => {
  console.log(`    wire_transfer of ${amount} ${currency} runs for ${principal.kind}:${principal.id}`)
  return { done: true }
})

// The tool definitions for the model are the SDK's own, unchanged.
const tools = ["find_order", "wire_transfer"].map((name) => ({
  type: "function" as const,
  function: { name, parameters: { type: "object" } }
}))

const converse = async (client: SecureOpenAI): Promise<void> => {
  const messages: Array<OpenAI.ChatCompletionMessageParam> = [
    { role: "user", content: "Order A-104233 never arrived. Refund it." }
  ]
  const asked = await client.chat.completions.create({ model: "gpt-4o", messages, tools })
  const message = asked.choices[0]?.message
  if (message === undefined) throw new Error("the model said nothing")
  messages.push(message)
  for (const call of message.tool_calls ?? []) {
    console.log(`  the model asks for ${call.type === "function" ? call.function.name : call.type}`)
    // Judged as this client's caller. The model receives a refusal as the tool's answer, so the conversation continues.
    const result = await client.invokeTool(call)
    console.log(`    the model is told: ${result.content}`)
    messages.push(result)
  }
  const last = await client.chat.completions.create({ model: "gpt-4o", messages, tools })
  console.log(`  in the end: "${last.choices[0]?.message.content}"\n`)
}

const person = (name: string, team: string, claims: object = {}) =>
  mintToken({ preferred_username: name, company: "Acme", team, ...claims })

console.log("alice of Support may look up orders, and moves no money:")
await using alice = await service.asUser(person("alice", "Support"))
await converse(alice)

console.log("bob of Finance may, but above 10,000 only after a login with a security key:")
await using bob = await service.asUser(person("bob", "Finance"))
await converse(bob)

console.log("bob again, logged in with his security key:")
await using bobWithKey = await service.asUser(person("bob", "Finance", { amr: ["hwk"] }))
await converse(bobWithKey)
