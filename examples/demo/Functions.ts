/** Functions that the model asks for: each is judged as the user in whose conversation it was asked for. */
import assert from "node:assert/strict"
import type { OpenAI } from "openai"
import type { SecureOpenAI, ToolMessage } from "../../src/index.ts"
import { line, section } from "./Screen.ts"
import type { World } from "./World.ts"

/** What the assistant can do; gives the names of the callers for whom anything ran. */
export const registerFunctions = (service: SecureOpenAI): ReadonlyArray<string> => {
  const ran: Array<string> = []
  service.registerTool<{ order_id: string }>("find_order", ({ order_id }, { principal }) => {
    ran.push(`find_order for ${principal.id}`)
    return { order_id, status: "lost in the post" }
  })
  service.registerTool<{ amount: number }>("wire_transfer", ({ amount }, { principal }) => {
    ran.push(`wire_transfer for ${principal.id}`)
    return { transferred: amount }
  })
  return ran
}

/** Why a function was refused, as the model is told; nothing where it ran. */
export const refusal = ({ content }: ToolMessage): string | undefined =>
  (JSON.parse(content) as { readonly error?: { readonly message: string } }).error?.message

/** One function may run for alice, the other may not. */
export const called = async (world: World, ran: ReadonlyArray<string>): Promise<void> => {
  section("Functions: the model asks for two, the user may use one")
  const tools = ["find_order", "wire_transfer"].map((name) => ({
    type: "function" as const,
    function: { name, parameters: { type: "object" } }
  }))
  const messages: Array<OpenAI.ChatCompletionMessageParam> = [
    { role: "user", content: "Order A-104233 is lost, please refund it." }
  ]
  const { choices } = await world.alice.chat.completions.create({ model: "gpt-4o-mini", messages, tools })
  const message = choices[0]?.message
  assert(message?.tool_calls?.length === 2)
  line("asked", `alice: "Order A-104233 is lost, please refund it."`)
  messages.push(message)

  for (const call of message.tool_calls) {
    assert(call.type === "function")
    line("model", `wants ${call.function.name} ${call.function.arguments}`)
    const result = await world.alice.invokeTool(call)
    messages.push(result)
    const reason = refusal(result)
    assert.equal(reason === undefined, call.function.name === "find_order")
    line(reason === undefined ? "ran" : "refused", reason ?? `as user:alice, and gave ${result.content}`)
  }
  assert.deepEqual(ran, ["find_order for alice"])

  const last = await world.alice.chat.completions.create({ model: "gpt-4o-mini", messages, tools })
  line("back", `"${last.choices[0]?.message.content}"`)
}
