/** `@instructor-ai/instructor` is given the client, and asks it for what fits a schema. */
import Instructor from "@instructor-ai/instructor"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { z } from "zod"
import { PolicyDeniedError } from "../../src/index.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "./World.ts"

const world = useWorld()
// It writes to the console what it throws.
beforeEach(() => {
  for (const method of ["error", "warn"] as const) vi.spyOn(console, method).mockImplementation(() => {})
})
afterEach(() => vi.restoreAllMocks())
const request = {
  model: "gpt-4o",
  max_tokens: 4000,
  messages: [{ role: "user" as const, content: "Hello" }],
  response_model: { name: "Answer", schema: z.object({ a: z.number() }) }
}

describe.each(clients)("Instructor with %s", (_name, who, cap) => {
  it("asks by a tool", async () => {
    world().provider.behave({ toolCalls: [{ name: "Answer", arguments: '{"a":1}' }] })
    const instructor = Instructor({ client: world()[who], mode: "TOOLS" })
    expect(await instructor.chat.completions.create(request)).toMatchObject({ a: 1 })
    await expectCalls(world(), 1, cap)
  })

  it("asks again for what does not fit: a decision each", async () => {
    world().provider.behave({ toolCalls: [{ name: "Answer", arguments: '{"a":"no"}' }] })
    const instructor = Instructor({ client: world()[who], mode: "TOOLS", retryAllErrors: true })
    await expect(instructor.chat.completions.create({ ...request, max_retries: 1 })).rejects.toBeInstanceOf(Error)
    await expectCalls(world(), 2, cap)
  })

  it("streams", async () => {
    world().provider.behave({ toolCalls: [{ name: "Answer", arguments: '{"a":1}' }] })
    const instructor = Instructor({ client: world()[who], mode: "TOOLS" })
    const stream = await instructor.chat.completions.create({ ...request, stream: true })
    let last: unknown
    for await (const part of stream) last = part
    expect(last).toMatchObject({ a: 1 })
    await expectCalls(world(), 1, cap)
  })

  it("hands on what needs no schema", async () => {
    const instructor = Instructor({ client: world()[who], mode: "TOOLS" })
    const { response_model: _, ...plain } = request
    const answer = await instructor.chat.completions.create(plain)
    expect(answer.choices[0]?.message.content).toBe("hi from gpt-4o-mini")
    await expectCalls(world(), 1, cap)
  })
})

it.each(refusedClients)("throws the refusal of %s", async (_name, who) => {
  const instructor = Instructor({ client: world()[who], mode: "TOOLS" })
  await expect(instructor.chat.completions.create({ ...request, max_retries: 3 })).rejects.toBeInstanceOf(
    PolicyDeniedError
  )
  await expectRefused(world())
  expect(await world().records()).toHaveLength(1)
})
