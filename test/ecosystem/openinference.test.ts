/** OpenInference patches the SDK's prototypes, under every client of the process, and writes OpenTelemetry spans. */
import { OpenAIInstrumentation } from "@arizeai/openinference-instrumentation-openai"
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node"
import { OpenAI } from "openai"
import { afterAll, describe, expect, it } from "vitest"
import { PolicyDeniedError } from "../../src/index.ts"
import { deeds, isCapped, refusable } from "./Face.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "./World.ts"

const world = useWorld()
const exporter = new InMemorySpanExporter()
const tracerProvider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
const instrumentation = new OpenAIInstrumentation({ tracerProvider })
instrumentation.manuallyInstrument(OpenAI)
afterAll(async () => {
  instrumentation.disable()
  await tracerProvider.shutdown()
})

describe.each(clients)("the instrumented SDK under %s", (_name, who, cap) => {
  it.each(deeds)("leaves %s as it is", async (deed, run, expected) => {
    exporter.reset()
    expect(await run(world()[who])).toEqual(expected)
    await expectCalls(world(), 1, isCapped(deed) ? cap : undefined)
    await expect.poll(() => exporter.getFinishedSpans().length).toBe(1)
    expect(exporter.getFinishedSpans()[0]?.attributes["llm.system"]).toBe("openai")
  })
})

it.each(refusedClients)("hands on the refusal of %s", async (_name, who) => {
  for (const refused of refusable(world()[who])) await expect(refused).rejects.toBeInstanceOf(PolicyDeniedError)
  await expectRefused(world())
})
