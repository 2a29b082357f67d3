/**
 * Testing an app that uses secure-openai: no network, no key, no folder, no waiting.
 *
 *   node examples/07-testing.ts
 *
 * Written with node:assert so that it runs by itself; in a test file the bodies are the same. In an app, import from
 * "secure-openai" and "secure-openai/testing".
 */
import { Effect, Layer } from "effect"
import assert from "node:assert/strict"
import { Audit, Call, Pipeline, PolicyDeniedError, type SecureOpenAI, Workspace } from "../src/index.ts"
import { Identity, Invocation, type SentRequest, Signing, testClient } from "../src/testing/index.ts"

const test = async (sentence: string, body: () => Promise<void>): Promise<void> => {
  await body()
  console.log(`  ✓ ${sentence}`)
}

/** The code under test: a part of an app. */
const summarise = async (client: SecureOpenAI, text: string): Promise<string> => {
  const answer = await client.chat.completions.create({
    model: "gpt-4o",
    messages: [{ role: "user", content: `Summarise: ${text}` }]
  })
  return answer.choices[0]?.message.content ?? ""
}

const policies = {
  policy_id: "user:alice",
  resources: ["tool:test-app/generate"],
  constraints: { parameters: { "tool:test-app/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 200 } } } }
}

// ---------------------------------------------------------------------------------------------------------------------
// With testClient: identity, policy, rewriting and log are the real ones; only the model's replies are yours
// ---------------------------------------------------------------------------------------------------------------------

console.log("With testClient")

await test("the app gets what the model says", async () => {
  const { client } = testClient({ replies: ["In short: all is well."] })
  assert.equal(await summarise(client, "a long report"), "In short: all is well.")
})

await test("alice's limits hold for what would be sent", async () => {
  const { client, requests } = testClient({ policies, user: "alice" })
  await summarise(client, "a long report")
  assert.equal(requests[0]?.params["model"], "gpt-4o-mini")
  assert.equal(requests[0]?.params["max_tokens"], 200)
  assert.equal(requests[0]?.principal, "user:alice")
})

await test("a user without a policy is refused, nothing is sent, and the log says so", async () => {
  const { client, records, requests } = testClient({ policies, user: "mallory" })
  await assert.rejects(summarise(client, "a long report"), PolicyDeniedError)
  assert.equal(requests.length, 0)
  assert.equal((await records()).at(-1)?.kind, "refused")
})

await test("one client serves several users, each with a real token", async () => {
  const { client, requests, token } = testClient({ policies: [policies, { ...policies, policy_id: "user:bob" }] })
  await using alice = await client.asUser(token("alice"))
  await using bob = await client.asUser(token({ sub: "bob", roles: ["analyst"] }))
  await Promise.all([summarise(alice, "hers"), summarise(bob, "his")])
  assert.deepEqual(requests.map(({ principal }) => principal).sort(), ["user:alice", "user:bob"])
})

await test("the model asks for a function, then fails, as it is told", async () => {
  const { client } = testClient({
    replies: [{ tool: "find_order", arguments: { order_id: "A-1" } }, new Error("the model is tired")]
  })
  const answer = await client.chat.completions.create({ model: "gpt-4o", messages: [] })
  assert.equal(answer.choices[0]?.finish_reason, "tool_calls")
  await assert.rejects(summarise(client, "a long report"), /tired/)
})

// ---------------------------------------------------------------------------------------------------------------------
// With layers: the pipeline alone; a stage that is not mocked is the workspace's own
// ---------------------------------------------------------------------------------------------------------------------

console.log("With mocked layers")

const requests: Array<SentRequest> = []
const Test = Pipeline.layer.pipe(
  Layer.provide([
    Identity.layer({ kind: "user", id: "alice" }), // everyone is alice
    Signing.layer, // envelopes without a key
    Invocation.layer(["Hi"], requests) // answers, and keeps the requests that would have been sent
  ]),
  Layer.provideMerge(Workspace.layer({ policies, audit: "memory" })) // policy, rewriting and log are real
)

await test("a pipeline decides, sends and records", () =>
  Effect.gen(function* () {
    const pipeline = yield* Pipeline
    const reply = yield* pipeline.run(Call.generate({ model: "gpt-4o", messages: [] }, { app: "test-app" }))
    assert.equal(reply._tag, "Json")
    assert.deepEqual(requests[0]?.params, { model: "gpt-4o-mini", messages: [], max_tokens: 200 })

    const audit = yield* Audit
    const kinds = (yield* audit.records).map(({ kind }) => kind)
    assert.deepEqual(kinds.slice(-2), ["decision", "outcome"])
  }).pipe(Effect.provide(Test), Effect.runPromise))

await test("a refusal is a value to catch", () =>
  Effect.gen(function* () {
    const pipeline = yield* Pipeline
    const refused = yield* Effect.flip(pipeline.run(Call.embed({ input: "x" }, { app: "test-app" })))
    assert.equal(refused._tag, "PolicyDenied")
    assert.equal(requests.length, 1)
  }).pipe(Effect.provide(Test), Effect.runPromise))

console.log("All of it without a socket.")
