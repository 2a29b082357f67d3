/** One agent calls another. */
import assert from "node:assert/strict"
import { AgentClient, SecureOpenAI } from "../../src/index.ts"
import { changes, line, section } from "./Screen.ts"
import type { World } from "./World.ts"

/** An agent of alice's calls the service by name: signed with its own key, judged by alice's policies and its own intent. */
export const agents = async (world: World): Promise<void> => {
  section("Agent to agent: a signed call, judged by the policies of both sides")
  const inbox = await new AgentClient({
    userName: "alice",
    iamToken: world.tokens.alice,
    appName: "inbox",
    workspace: world.service.workspace,
    intentPolicy: { constraints: { parameters: { "tool:assistant/generate": { max_tokens: { max: 100 } } } } }
  }).register()
  const raw = await inbox.invokeTool(
    "tool:assistant/generate",
    { model: "gpt-4o", messages: [{ role: "user", content: "Draft a reply to the customer." }] },
    { targetAgent: world.service.serverId }
  )
  const sent = world.provider.received().at(-1)
  assert.deepEqual([sent?.model, sent?.max_tokens], ["gpt-4o-mini", 100])
  const receipt = SecureOpenAI.receipt(raw)
  assert.deepEqual(
    receipt?.changes.map(({ policy }) => policy),
    ["user:alice", "the intent policy"]
  )
  const decision = (await world.records()).find(({ seq }) => seq === receipt.index)
  assert.match(JSON.stringify(decision?.["principal"]), /"id":"alice"/)
  line("asked", `${inbox.agentId.slice(0, 20)}… calls tool:assistant/generate: gpt-4o, no max_tokens`)
  line("sent", `${sent?.model}, max_tokens ${sent?.max_tokens}`)
  line("back", `"${raw.choices[0]?.message.content}"`)
  changes(receipt.changes)
  await inbox.unregister()
}
