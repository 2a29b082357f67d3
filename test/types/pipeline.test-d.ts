/**
 * What must not compile: a composition that skips a stage, changes the order, or makes a state of its own. Each line below
 * an expectation is an error, or `tsc` says so.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type OpenAI from "openai"
import type { ClientOptions } from "openai"
import type { sdkOptionNames } from "../../src/facade/Options.ts"
import {
  type AgentClient,
  type Call,
  type Committed,
  type Decided,
  type Identified,
  Invocation,
  Pipeline,
  type Prepared,
  Refusal,
  Reply,
  SecureOpenAI,
  type SecureOptions,
  type Signed
} from "../../src/index.ts"
import {
  Committed as TestCommitted,
  Decided as TestDecided,
  Prepared as TestPrepared
} from "../../src/testing/index.ts"

declare const identified: Identified
declare const signed: Signed
declare const decided: Decided
declare const prepared: Prepared
declare const committed: Committed
declare const call: Call

// A stage of one's own fits anywhere in the sentence.
const closed = (state: Prepared) =>
  new Date().getUTCHours() < 9 ? Refusal.make({ code: "closed", message: "Open from 9 to 5." }) : Effect.succeed(state)
export const custom: SecureOptions["layer"] = Pipeline.layerFrom(
  (s) => (c) =>
    s.identity
      .resolve(c)
      .pipe(
        Effect.flatMap(s.signing.sign),
        Effect.flatMap(s.policy.evaluate),
        Effect.flatMap(s.rewriting.apply),
        Effect.flatMap(closed),
        Effect.flatMap(s.audit.commit),
        Effect.flatMap(s.invocation.invoke)
      )
)
export const mocked: SecureOptions["layer"] = Pipeline.layer.pipe(
  Layer.provide(Layer.succeed(Invocation, { invoke: () => Effect.succeed(Reply.json({})) }))
)

// Skipped stages and another order.
Pipeline.layerFrom(
  (s) => (c) =>
    s.identity.resolve(c).pipe(
      Effect.flatMap(s.signing.sign),
      // @ts-expect-error policy is skipped
      Effect.flatMap(s.rewriting.apply),
      Effect.flatMap(s.audit.commit),
      Effect.flatMap(s.invocation.invoke)
    )
)
Pipeline.layerFrom(
  (s) => (c) =>
    s.identity.resolve(c).pipe(
      Effect.flatMap(s.signing.sign),
      Effect.flatMap(s.policy.evaluate),
      Effect.flatMap(s.rewriting.apply),
      // @ts-expect-error the commit is skipped
      Effect.flatMap(s.invocation.invoke)
    )
)
Pipeline.layerFrom(
  (s) => (c) =>
    s.identity.resolve(c).pipe(
      // @ts-expect-error signing comes before policy
      Effect.flatMap(s.policy.evaluate)
    )
)

// States of one's own making.
// @ts-expect-error a spread is no state
export const spread: Prepared = { ...prepared, params: {} }
// @ts-expect-error nor is a literal
export const literal: Committed = {
  from: prepared,
  entry: committed.entry,
  call,
  principal: committed.principal,
  params: {},
  bytes: "",
  spend: () => true
}
// @ts-expect-error nor an object with its prototype
export const created: Committed = Object.create(committed) as object
// @ts-expect-error a call is no spread either
export const widened: Call = { ...call, params: {} }
// @ts-expect-error one state is not another
export const other: Decided = signed
// @ts-expect-error the state before is not the one that is asked for
new TestCommitted(decided, committed.entry)
// @ts-expect-error a refusal cannot be let through
new TestDecided(signed, { ...decided.decision, verdict: "deny" }, decided.judge)
// @ts-expect-error a prepared call comes from a decided one
new TestPrepared(identified, { params: {}, bytes: "", edits: [] })

// Every option of the SDK is known.
declare const unknownOption: Exclude<keyof ClientOptions, (typeof sdkOptionNames)[number]>
export const everyOption: never = unknownOption

// The face.
export const asOpenAI: OpenAI = new SecureOpenAI({ appName: "a", apiKey: "k", timeout: 1 })
// @ts-expect-error an option that nobody knows
new SecureOpenAI({ appname: "a" })
export const typed = async (agent: AgentClient, client: SecureOpenAI) => {
  const raw = await agent.invokeTool("tool:a/generate", {}, { targetAgent: client.serverId })
  const content: string | null | undefined = raw.choices[0]?.message.content
  const chunks = await agent.invokeTool("tool:a/generate", {}, { targetAgent: client.serverId, stream: true })
  for await (const chunk of chunks) void chunk.choices[0]?.delta.content
  // @ts-expect-error a tool is named tool:<app>/<name>
  await agent.invokeTool("generate", {}, { targetAgent: client.serverId })
  const bound = client.bindToUser(agent)
  // @ts-expect-error a binding does not give its service away
  bound.service satisfies SecureOpenAI
  // @ts-expect-error nor registers tools with it
  bound.registerTool("x", () => 1)
  const lent: OpenAI = bound
  bound.unbind()
  const completion: OpenAI.ChatCompletion = await bound.chat.completions.create({ model: "gpt-4", messages: [] })
  return [content, lent, completion]
}
