/**
 * Programs written for `effect/ai`: the model is a layer, and a secure client provides that layer.
 *
 *   node examples/11-effect-ai.ts
 *
 * In an app, import from "secure-openai" and "secure-openai/ai".
 */
import { Effect, Schema, Stream } from "effect"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { layer, refusalOf } from "../src/ai/index.ts"
import { SecureOpenAI } from "../src/index.ts"
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { lastText, startProvider } from "./support/Provider.ts"

// The program does not depend on identity or policy.
const Weather = Tool.make("get_weather", {
  description: "What the weather is in a city.",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.String
})
const Tools = Toolkit.make(Weather)
const Answer = Schema.Struct({ mood: Schema.Literals(["good", "bad"]) })

const program = Effect.gen(function* () {
  const { text } = yield* LanguageModel.generateText({ prompt: "Hello" })
  const { value } = yield* LanguageModel.generateObject({ prompt: "Is this a good day?", schema: Answer })
  const { toolResults } = yield* LanguageModel.generateText({ prompt: "Weather in Paris?", toolkit: Tools })
  const streamed = yield* LanguageModel.streamText({ prompt: "And once more, slowly" }).pipe(
    Stream.runFold(
      () => "",
      (all, part) => (part.type === "text-delta" ? all + part.delta : all)
    )
  )
  return { text, mood: value.mood, weather: toolResults[0]?.result, streamed }
})

await using provider = await startProvider((request) => {
  const asked = lastText(request)
  if (asked.startsWith("Weather")) return { calls: [{ name: "get_weather", arguments: { city: "Paris" } }] }
  return asked.endsWith("day?") ? '{"mood":"good"}' : `${request.model} here. You said: ${asked}`
})
await using service = new SecureOpenAI({
  appName: "assistant",
  policies: [
    { policy_id: "app:assistant", resources: ["tool:assistant/**"] },
    {
      policy_id: "user:alice",
      resources: ["tool:assistant/**"],
      constraints: { parameters: { "tool:assistant/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 200 } } } }
    }
  ],
  issuers: testIssuer,
  audit: "memory",
  apiKey: "none",
  baseURL: provider.url
})
await using alice = await service.asUser(mintToken({ sub: "alice" }))
await using mallory = await service.asUser(mintToken({ sub: "mallory" }))

// A handler that policy should judge calls the client; `get_weather` is harmless, and runs directly.
const handlers = Tools.toLayer({ get_weather: ({ city }) => Effect.succeed(`sunny in ${city}`) })
const as = (client: SecureOpenAI) =>
  program.pipe(Effect.provide([layer({ client, model: "gpt-4o", params: { max_tokens: 4000 } }), handlers]))

const { mood, streamed, text, weather } = await Effect.runPromise(as(alice))
console.log(`As alice:    "${text}"`)
console.log(`             a ${mood} day, ${weather}`)
console.log(`             "${streamed}"`)
const limits = new Set(provider.received().map(({ max_tokens, model }) => `${model} with max_tokens ${max_tokens}`))
console.log(`             Sent: ${provider.received().length} requests, ${[...limits].join(", ")}.`)

const refused = await Effect.runPromise(
  as(mallory).pipe(Effect.catchTag("AiError", (error) => Effect.succeed(refusalOf(error))))
)
if (!(refused instanceof Error)) throw new Error("this should have been refused")
console.log(`As mallory:  ${refused.code}. ${refused.message}`)
