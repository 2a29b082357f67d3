/**
 * Agents that call a service by name. Each call is signed with the agent's own key, and judged by the policies of both
 * sides.
 *
 *   node examples/04-agent-to-agent.ts
 *
 * In an app, import from "secure-openai".
 */
import { AgentClient, PolicyDeniedError, SecureOpenAI, Workspace } from "../src/index.ts"
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { startProvider } from "./support/Provider.ts"

await using provider = await startProvider()

// What they share: policies, trusted issuers, the log, and the directory in which they find each other.
await using workspace = await Workspace.open({
  policies: [
    {
      policy_id: "app:assistant",
      resources: ["tool:assistant/**"],
      constraints: { parameters: { "tool:assistant/generate": { max_tokens: { max: 4000 } } } }
    },
    {
      policy_id: "user:alice",
      resources: ["tool:assistant/generate", "tool:assistant/find_order"],
      constraints: { parameters: { "tool:assistant/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 500 } } } }
    },
    { policy_id: "agent:planner", resources: ["tool:assistant/find_order"] }
  ],
  issuers: testIssuer,
  audit: "memory"
})

// The service. Its own operations are generate, complete and embed; you add functions by name.
await using service = new SecureOpenAI({ appName: "assistant", workspace, apiKey: "none", baseURL: provider.url })
service.registerTool<{ order_id: string }>("find_order", ({ order_id }, { principal }) => ({
  order_id,
  status: "shipped",
  asked_by: `${principal.kind}:${principal.id}`
}))
const target = { targetAgent: service.serverId }

// An agent that acts for a user has that user's rights, and no others.
const alice = await new AgentClient({
  agentType: "user",
  userName: "alice",
  iamToken: mintToken({ sub: "alice" }),
  appName: "inbox", // the agent's own name
  workspace
}).register()

const params = { model: "gpt-4o", messages: [{ role: "user", content: "Write to the customer." }] }
const raw = await alice.invokeTool("tool:assistant/generate", params, target)
console.log(`alice's agent asked for gpt-4o:          "${raw.choices[0]?.message.content}"`)
console.log(`  sent with max_tokens ${provider.received().at(-1)?.max_tokens}, alice's limit`)

// One call can be narrowed further. An intent policy never widens.
const intentPolicy = { constraints: { parameters: { "tool:assistant/generate": { max_tokens: { max: 50 } } } } }
await alice.invokeTool("tool:assistant/generate", params, { ...target, intentPolicy })
console.log(`  and with max_tokens ${provider.received().at(-1)?.max_tokens}, where the call itself says so`)

// Streams come as raw chunks.
process.stdout.write("  streamed: ")
for await (const chunk of await alice.invokeTool("tool:assistant/generate", params, { ...target, stream: true }))
  process.stdout.write(chunk.choices[0]?.delta.content ?? "")
console.log()

// An agent without a user is identified by its key alone, and its own policy applies.
const planner = await new AgentClient({ agentType: "agent", appName: "planner", workspace }).register()
const order = await planner.invokeTool("tool:assistant/find_order", { order_id: "A-104233" }, target)
console.log(`\nthe planner called find_order:           ${JSON.stringify(order)}`)

const refused = await planner.invokeTool("tool:assistant/generate", params, target).catch((error: unknown) => error)
if (!(refused instanceof PolicyDeniedError)) throw new Error("this should have been refused")
console.log(`the planner asked the model and was refused:`)
for (const { message } of refused.decision.violations) console.log(`  ${message}`)

await Promise.all([alice.unregister(), planner.unregister()])
