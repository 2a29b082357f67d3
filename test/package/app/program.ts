import { Effect } from "effect"
import { LanguageModel } from "effect/ai"
import OpenAI from "openai"
import {
  AgentClient,
  type Limits,
  Pipeline,
  PolicyDeniedError,
  SecureOpenAI,
  secureFetch,
  Workspace
} from "secure-openai"
import { layer, refusalOf } from "secure-openai/ai"
import { testClient } from "secure-openai/testing"

const { client, requests } = testClient({
  replies: ["Hi"],
  intentPolicy: { constraints: { parameters: { "tool:test-app/generate": { max_tokens: { max: 7 } } } } }
})
const face: OpenAI = client
const answer = await face.chat.completions.create({ model: "gpt-4", messages: [{ role: "user", content: "Hello" }] })
console.log(
  answer.choices[0]?.message.content,
  requests[0]?.params["max_tokens"],
  SecureOpenAI.receipt(answer)?.verdict
)
const limits: Limits = await client.limits()
console.log((await client.can("generate", { model: "gpt-4", max_tokens: 9 })).edits.length, limits.maxOutputTokens)
console.log([AgentClient, Pipeline, PolicyDeniedError, Workspace, refusalOf].map((f) => typeof f).join())
const model = layer({ client, model: "gpt-4" })
console.log(
  await Effect.runPromise(
    Effect.provide(
      Effect.map(LanguageModel.generateText({ prompt: "Hello" }), (a) => a.text),
      model
    )
  )
)
const other = new OpenAI({ apiKey: "unused", fetch: secureFetch(client) })
const through = await other.chat.completions.create({ model: "gpt-4", messages: [{ role: "user", content: "Hello" }] })
console.log(through.choices[0]?.message.content, SecureOpenAI.receipt(through)?.verdict)
