/** `@langfuse/openai` wraps a client and writes a span for each call; here into memory. */
import { observeOpenAI } from "@langfuse/openai"
import { setLangfuseTracerProvider } from "@langfuse/tracing"
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node"
import { afterAll, describe, expect, it } from "vitest"
import { PolicyDeniedError } from "../../src/index.ts"
import { deeds, isCapped, refusable } from "./Face.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "./World.ts"

const world = useWorld()
const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
setLangfuseTracerProvider(provider)
afterAll(() => provider.shutdown())

describe.each(clients)("observeOpenAI around %s", (_name, who, cap) => {
  // Around any client, it makes a plain iterable of what `.stream()` gives.
  it.each(deeds.filter(([deed]) => deed !== "stream"))("leaves %s as it is", async (deed, run, expected) => {
    exporter.reset()
    expect(await run(observeOpenAI(world()[who]))).toEqual(expected)
    await expectCalls(world(), 1, isCapped(deed) ? cap : undefined)
    expect(exporter.getFinishedSpans()).toHaveLength(1)
  })
})

it.each(refusedClients)("hands on the refusal of %s", async (_name, who) => {
  for (const refused of refusable(observeOpenAI(world()[who])))
    await expect(refused).rejects.toBeInstanceOf(PolicyDeniedError)
  await expectRefused(world())
})
