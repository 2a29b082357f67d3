/** What a refusal says is bounded, whatever was asked: in the error, in HTTP bodies, in answers to the model and in the log. */
import { describe, expect, it } from "vitest"
import { type Decision, PolicyDeniedError } from "../../src/index.ts"
import { attempt, messages, useLab } from "./bypass/lab.ts"

const lab = useLab()
const many = 20_000
const roles = {
  policy_id: "user:dora",
  resources: ["tool:lab/**"],
  constraints: { parameters: { "tool:*/generate": { "messages[].name": ["ok"], "tools[].function.name": ["ok"] } } }
}
const name = "n".repeat(500_000)
const refusedBodies = [
  {
    model: "gpt-4o-mini",
    messages: Array.from({ length: many }, (_, i) => ({ role: "user", name: `n${i}`, content: "x" }))
  },
  {
    model: "gpt-4o-mini",
    messages,
    tools: Array.from({ length: many }, (_, i) => ({ type: "function", function: { name: `n${i}` } }))
  },
  { model: "gpt-4o-mini", messages: [{ role: "user", name, content: "x" }] }
]

const sizeOf = (value: unknown): number => JSON.stringify(value).length

describe("a refusal", () => {
  it.each(refusedBodies.map((body, i) => [i, body] as const))(
    "of body %i is short, wherever it is told",
    async (_, body) => {
      const l = lab([roles])
      const dora = await l.as("dora")
      const { error, hits, log } = await attempt(l, dora, (client) => client.chat.completions.create(body as never))
      expect(hits).toEqual([])
      if (!(error instanceof PolicyDeniedError)) return expect(error).toBeInstanceOf(PolicyDeniedError)
      const { decision, message } = error
      expect(message.length).toBeLessThan(50_000)
      expect(sizeOf(error.error)).toBeLessThan(50_000)
      expect(sizeOf(decision)).toBeLessThan(200_000)
      expect(decision.violations.length).toBeLessThanOrEqual(100)
      const told = decision.violations.length + (decision.more ?? 0)
      if (told > 100) expect(message).toContain(`; and ${told - 20} more`)
      const refusals = log.filter(({ kind }) => kind === "refused")
      expect(refusals).toHaveLength(1)
      expect(sizeOf(refusals[0])).toBeLessThan(61_440)
    }
  )

  it("is told the model in short", async () => {
    const l = lab([roles])
    const dora = await l.as("dora")
    const { content } = await dora.invokeTool({ id: "c", type: "function", function: { name, arguments: "{}" } })
    expect(content.length).toBeLessThan(2_000)
    expect(JSON.parse(content)).toMatchObject({ error: { code: "policy_denied" } })
  })

  it("is foreseen with a bounded list, and how many more there are", async () => {
    const l = lab([roles])
    const decision: Decision = await (await l.as("dora")).can("generate", refusedBodies[0])
    expect(decision.violations).toHaveLength(100)
    expect(decision.more).toBeGreaterThan(0)
  })
})
