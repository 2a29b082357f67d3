/** Text as it comes. */
import assert from "node:assert/strict"
import { SecureOpenAI } from "../../src/index.ts"
import { flow, line, section } from "./Screen.ts"
import type { World } from "./World.ts"

/** A stream: judged before its first chunk, recorded to its last. */
export const streamed = async (world: World): Promise<void> => {
  section("Streamed: text as the model finds it")
  line("asked", `alice: gpt-4o, stream true, "Tell me about returns, slowly."`)
  const began = performance.now()
  const stream = await world.alice.chat.completions.create({
    model: "gpt-4o",
    stream: true,
    messages: [{ role: "user", content: "Tell me about returns, slowly." }]
  })
  const write = flow("back")
  let first = 0
  let chunks = 0
  for await (const chunk of stream) {
    chunks++
    const text = chunk.choices[0]?.delta.content ?? ""
    if (text !== "" && first === 0) first = performance.now() - began
    write(text)
  }
  write()
  const whole = performance.now() - began
  assert(first > 0 && first < whole / 2, "the first text came long before the last")
  assert.equal(world.provider.received().at(-1)?.model, "gpt-4o-mini")
  line("timing", `the first text after ${first.toFixed(0)} ms, the last after ${whole.toFixed(0)} ms`)

  const call = SecureOpenAI.receipt(stream)?.call
  const close = (await world.records()).find((record) => record.kind === "stream.close" && record["call"] === call)
  assert.equal(close?.["chunks"], chunks)
  assert.equal(close?.["reason"], "complete")
  line("log", `stream.close: ${close["reason"]}, ${chunks} chunks handed on`)
}
