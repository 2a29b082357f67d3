/**
 * States and calls for the log's tests, made without the stages that make them otherwise.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Audit } from "../../src/audit/Audit.ts"
import { type ReadRecord } from "../../src/audit/Record.ts"
import { Call } from "../../src/call/Call.ts"
import { Decided, Identified, Prepared, Signed } from "../../src/call/States.ts"
import type { Judge } from "../../src/call/Judge.ts"
import { Reply } from "../../src/call/Reply.ts"
import type { JsonObject } from "../../src/base/Json.ts"
import type { Edit } from "../../src/call/Decision.ts"
import type { PipelineError } from "../../src/call/Errors.ts"
import type { EnforcementUnavailable } from "../../src/call/Errors.ts"
import { Keys } from "../../src/keys/Keys.ts"
import { app, type Principal } from "../../src/call/Principal.ts"

export const prompt = "the prompt that must not be in the log"

export const chat = (more: JsonObject = {}): Call =>
  Call.generate({ model: "gpt-4o", messages: [{ role: "user", content: prompt }], ...more }, { app: "shop" })

export const alice: Principal = { ...app("alice"), kind: "user", issuer: "https://issuer.example", roles: ["analyst"] }

export const allowAll: Judge = {
  recheck: () => [],
  tool: () => "allow",
  bounded: [],
  wants: [],
  refuse: () => {
    throw new Error("nothing is wanted")
  }
}

export interface Preparing {
  readonly edits?: ReadonlyArray<Edit>
  readonly judge?: Judge
  readonly principal?: Principal
  /** Id of the key that signed the envelope. */
  readonly kid?: string
}

export const prepare = (
  call: Call,
  { edits = [], judge = allowAll, kid = "agent-key", principal = alice }: Preparing = {}
): Prepared =>
  new Prepared(
    new Decided(
      new Signed(new Identified(call, principal), { jws: "a.b.c", kid, digest: "D".repeat(43) }),
      {
        verdict: "allow",
        resource: call.resource,
        principal: "user:alice",
        policies: ["company:Acme"],
        revision: "sha-256:rev",
        violations: [],
        remedies: [],
        edits: [],
        enforced: true
      },
      judge
    ),
    { params: call.params, bytes: call.bytes, edits }
  )

export const completion = (message: JsonObject = { role: "assistant", content: "the answer" }): JsonObject => ({
  id: "chatcmpl-1",
  choices: [{ index: 0, message, finish_reason: "stop" }],
  usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 }
})

export const answer = (value: unknown = completion(), text: string = JSON.stringify(value)): Reply =>
  Reply.json(value, { status: 200, headers: new Headers(), requestId: "req_1", attempts: 2, text })

/** Runs a call the way a pipeline does: commits, then answers with what `invoke` gives. */
export const runCall = (
  audit: Audit["Service"],
  call: Call,
  invoke: Effect.Effect<Reply, PipelineError> = Effect.succeed(answer()),
  preparing: Preparing = {}
): Effect.Effect<Reply, PipelineError> =>
  audit.observe(call)(Effect.flatMap(audit.commit(prepare(call, preparing)), () => invoke))

/** Runs a test against a log in memory. */
export const withMemory = <A, E>(
  test: (audit: Audit["Service"]) => Effect.Effect<A, E>
): Effect.Effect<A, E | EnforcementUnavailable> => withLayer(Audit.layerMemory(), test)

export const withLayer = <A, E, LE>(
  layer: Layer.Layer<Audit, LE, Keys>,
  test: (audit: Audit["Service"]) => Effect.Effect<A, E>
): Effect.Effect<A, E | LE> => Effect.provide(Effect.flatMap(Audit, test), Layer.provide(layer, Keys.layerMemory))

/** The records about calls, in order. */
export const aboutCalls = (records: ReadonlyArray<ReadRecord>): ReadonlyArray<ReadRecord> =>
  records.filter((record) => record["call"] !== undefined)

export const kinds = (records: ReadonlyArray<ReadRecord>): ReadonlyArray<string> => records.map(({ kind }) => kind)
