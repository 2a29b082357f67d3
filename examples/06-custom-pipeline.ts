/**
 * A custom pipeline in Effect: the six stages are one expression, and this example adds two. The same pipeline runs under the
 * SDK's client, and then without it.
 *
 *   node examples/06-custom-pipeline.ts
 *
 * In an app, import from "secure-openai".
 */
import { Console, Effect, Layer, Redacted, Stream } from "effect"
import {
  Call,
  Invocation,
  type JsonObject,
  Pipeline,
  PolicyDeniedError,
  Refusal,
  SecureOpenAI,
  Workspace
} from "../src/index.ts"
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { startProvider } from "./support/Provider.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Two stages
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Removes e-mail addresses from the prompt. Put a stage that changes a call before identity: then the changed call is signed,
 * judged and logged.
 */
const redact = (call: Call): Call => {
  const hide = (text: string) => text.replaceAll(/[\w.+-]+@[\w-]+(\.[\w-]+)+/g, "[e-mail]")
  const { messages } = call.params
  if (!Array.isArray(messages)) return call
  const redacted = messages.map((message: JsonObject) =>
    typeof message["content"] === "string" ? { ...message, content: hide(message["content"]) } : message
  )
  return Call.withParams(call, { ...call.params, messages: redacted })
}

/** The time of day, set by hand, so that this example prints the same at any time. */
let hour = 10

/** Refuses outside office hours. A stage after identity takes a state and returns the same one, or a refusal. */
const officeHours = <State>(state: State) =>
  hour >= 9 && hour < 17
    ? Effect.succeed(state)
    : Refusal.make({ code: "closed", message: `It is ${hour} o'clock; the assistant works from 9 to 17.` })

/** The pipeline. An expression that leaves out a stage, or changes their order, does not compile. */
const OfficePipeline = Pipeline.layerFrom(
  ({ audit, identity, invocation, policy, rewriting, signing }) =>
    (call) =>
      identity
        .resolve(redact(call)) // ← ours
        .pipe(
          Effect.flatMap(signing.sign),
          Effect.flatMap(policy.evaluate),
          Effect.flatMap(rewriting.apply),
          Effect.flatMap(officeHours), // ← ours
          Effect.flatMap(audit.commit),
          Effect.flatMap(invocation.invoke)
        )
)

await using provider = await startProvider()
const workspace = { policies: `${import.meta.dirname}/policies`, issuers: testIssuer, audit: "memory" } as const
const token = mintToken({ preferred_username: "alice", company: "Acme", team: "Support" })
const params = { model: "gpt-4o", messages: [{ role: "user" as const, content: "Write to eve@example.com, please." }] }

// ---------------------------------------------------------------------------------------------------------------------
// With the SDK's client: the option `layer`
// ---------------------------------------------------------------------------------------------------------------------

console.log("As a client of the SDK")
{
  await using client = new SecureOpenAI({
    appName: "assistant",
    ...workspace,
    jwtToken: token,
    apiKey: "none",
    baseURL: provider.url,
    layer: OfficePipeline
  })
  const answer = await client.chat.completions.create(params)
  console.log(`  10:00  ${answer.choices[0]?.message.content}`)
  hour = 22
  const refused = await client.chat.completions.create(params).catch((error: unknown) => error)
  if (!(refused instanceof PolicyDeniedError)) throw new Error("this should have been refused")
  console.log(`  22:00  ${refused.message}`)
}

// ---------------------------------------------------------------------------------------------------------------------
// Without it: an Effect program
// ---------------------------------------------------------------------------------------------------------------------

/** The stages from a workspace, and an invocation that sends. Swap any of them by providing another layer. */
const Live = OfficePipeline.pipe(
  Layer.provide(Workspace.layer(workspace)),
  Layer.provide(Invocation.layerOpenAI({ apiKey: "none", baseURL: provider.url }))
)

const options = {
  app: "assistant",
  baseURL: provider.url,
  credentials: { _tag: "User", token: Redacted.make(token) }
} as const

const program = Effect.gen(function* () {
  const pipeline = yield* Pipeline

  hour = 10
  const reply = yield* pipeline.run(Call.generate({ ...params, stream: true }, options))
  yield* Console.log(`  10:00  a ${reply._tag} of which the receipt says: ${reply.meta.receipt?.verdict}`)
  if (reply._tag === "Stream") {
    const chunks = yield* Stream.runCollect(reply.stream)
    yield* Console.log(`         ${chunks.length} chunks arrived`)
  }

  hour = 22
  yield* pipeline.run(Call.generate(params, options)).pipe(
    // Errors are values: the compiler knows all of them, and which remain once this one is handled.
    Effect.catchTag("PolicyDenied", ({ decision, stage }) =>
      Console.log(`  22:00  refused by ${stage}: ${decision.violations[0]?.message}`)
    )
  )
})

console.log("\nAs an Effect program")
await Effect.runPromise(Effect.provide(program, Live))

console.log(`\nThe provider saw: ${JSON.stringify(provider.received().map(({ messages }) => messages[0]?.content))}`)
