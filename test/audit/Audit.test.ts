import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { compactVerify, importJWK } from "jose"
import * as Crypto from "node:crypto"
import { APIUserAbortError, RateLimitError } from "openai"
import { Audit } from "../../src/audit/Audit.ts"
import { Disk, memoryFileSystem } from "../../src/audit/folder/Disk.ts"
import type { ReadRecord } from "../../src/audit/Record.ts"
import { Call } from "../../src/call/Call.ts"
import { type Committed, Identified } from "../../src/call/States.ts"
import { Reply } from "../../src/call/Reply.ts"
import {
  ApprovalPending,
  Configuration,
  EnforcementUnavailable,
  IdentityInvalid,
  type PipelineError,
  policyDenied,
  PolicyRateLimited,
  ProviderFailed,
  refusal
} from "../../src/call/Errors.ts"
import { Keys } from "../../src/keys/Keys.ts"
import {
  aboutCalls,
  alice,
  allowAll,
  answer,
  chat,
  completion,
  kinds,
  prepare,
  prompt,
  runCall,
  withMemory
} from "./calls.ts"

const last = (records: ReadonlyArray<ReadRecord>, kind: string): ReadRecord => {
  const found = records.findLast((record) => record.kind === kind)
  assert.isDefined(found, `no record of kind ${kind}`)
  return found
}

const decision = refusal("policy", { code: "value_denied", path: "model", message: prompt }).decision

const finish = { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }
const delta = (content: string) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })

/** Runs a streamed call whose invocation tells each chunk's data, as a real one does. */
const streamCall = (
  audit: Audit["Service"],
  chunks: ReadonlyArray<unknown>,
  end: Stream.Stream<unknown, PipelineError> = Stream.empty,
  told = true,
  whole = false
) =>
  Effect.gen(function* () {
    const call = chat({ stream: true })
    const reply = yield* audit.observe(call)(
      Effect.map(audit.commit(prepare(call)), (committed: Committed) =>
        Reply.stream(
          Stream.fromIterable(chunks).pipe(
            Stream.rechunk(2),
            Stream.mapArray((array) => {
              if (told) for (const chunk of array) committed.entry.received(JSON.stringify(chunk))
              if (whole) committed.entry.whole()
              return array
            }),
            Stream.concat(end)
          ),
          { status: 200, headers: new Headers(), requestId: "req_s", attempts: 1 }
        )
      )
    )
    if (reply._tag !== "Stream") throw new Error("no stream")
    return reply
  })

const digestChain = (salt: string, chunks: ReadonlyArray<string>): string => {
  const hash = (bytes: Uint8Array) => Crypto.createHash("sha256").update(bytes).digest()
  let link = hash(Buffer.from(salt, "base64url"))
  for (const chunk of chunks) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(Buffer.byteLength(chunk))
    link = hash(Buffer.concat([link, length, Buffer.from(chunk)]))
  }
  return `sha-256:${link.toString("base64url")}`
}

const saltedDigest = (salt: string | undefined, text: string): string =>
  `sha-256:${Crypto.createHash("sha256")
    .update(Buffer.from(salt ?? "", "base64url"))
    .update(Crypto.createHash("sha256").update(text).digest())
    .digest("base64url")}`

describe("Audit", () => {
  describe("a plain call", () => {
    it.live("leaves a decision and an outcome, and no word of what was said", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const call = chat()
          const reply = yield* runCall(audit, call)
          const records = yield* audit.records
          assert.deepStrictEqual(kinds(records), ["log.open", "key.active", "key.active", "decision", "outcome"])
          const decided = last(records, "decision")
          assert.strictEqual(decided["call"], call.id)
          assert.strictEqual(decided["verdict"], "allow")
          assert.strictEqual(decided["tool"], "tool:shop/generate")
          assert.strictEqual(decided["model"], "gpt-4o")
          assert.strictEqual(decided["inv"], `sha-256:${"D".repeat(43)}`)
          assert.deepStrictEqual(decided["principal"], {
            kind: "user",
            id: "alice",
            iss: "https://issuer.example",
            roles: ["analyst"]
          })
          const outcome = last(records, "outcome")
          assert.include(outcome, { result: "complete", status: 200, attempts: 2, request: "req_1", decision: 3 })
          assert.deepStrictEqual(outcome["usage"], { input: 12, output: 3 })
          const receipt = reply.meta.receipt
          assert.isDefined(receipt)
          assert.strictEqual(receipt.index, 3)
          assert.strictEqual(receipt.requested, saltedDigest(receipt.salts["requested"], call.bytes))
          assert.strictEqual(receipt.effective, saltedDigest(receipt.salts["effective"], call.bytes))
          assert.strictEqual(outcome["response"], saltedDigest(receipt.salts["response"], reply.meta.text ?? ""))
          const log = JSON.stringify(records)
          for (const secret of [prompt, "the answer", "messages", "a.b.c"]) assert.notInclude(log, secret)
        })
      )
    )

    it.live("gives a receipt that its key.active record verifies", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const reply = yield* runCall(audit, chat())
          const records = yield* audit.records
          const key = records.find((record) => record.kind === "key.active" && record["use"] === "agent")
          const jwk = JSON.parse(JSON.stringify(key?.["jwk"]))
          const receipt = reply.meta.receipt
          const verified = yield* Effect.promise(async () =>
            compactVerify(receipt?.jws ?? "", await importJWK(jwk, "Ed25519"))
          )
          assert.deepStrictEqual(verified.protectedHeader as unknown, {
            alg: "Ed25519",
            kid: key?.["kid"],
            typ: "soai-receipt+jwt"
          })
          const claims = JSON.parse(Buffer.from(verified.payload).toString())
          assert.include(claims, { iss: "shop", sub: "alice", dec: "allow", leaf: 3, lh: receipt?.leaf })
          assert.include(claims.out, { result: "complete", status: 200 })
          assert.strictEqual(receipt?.jws, reply.meta.receipt?.jws)
        })
      )
    )

    it.live("tells numbers and model names of edits, and digests everything else", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const reply = yield* runCall(audit, chat(), undefined, {
            edits: [
              { path: "model", from: "gpt-4o", to: "gpt-4o-mini", policy: "company:Acme" },
              { path: "max_tokens", to: 500, policy: "company:Acme" },
              { path: "user", from: prompt, to: "someone", policy: "company:Acme" }
            ]
          })
          const records = yield* audit.records
          const decided = last(records, "decision")
          assert.strictEqual(decided["verdict"], "rewrite")
          const salts = reply.meta.receipt?.salts ?? {}
          assert.deepStrictEqual(decided["edits"], [
            { path: "model", from: '"gpt-4o"', to: '"gpt-4o-mini"', policy: "company:Acme" },
            { path: "max_tokens", to: "500", policy: "company:Acme" },
            {
              path: "user",
              from: saltedDigest(salts["edits/user/from"], JSON.stringify(prompt)),
              to: saltedDigest(salts["edits/user/to"], '"someone"'),
              policy: "company:Acme"
            }
          ])
          assert.deepStrictEqual(reply.meta.receipt?.changes as unknown, decided["edits"])
          assert.notInclude(JSON.stringify(records), prompt)
        })
      )
    )

    it.live("judges each tool that the model asked for", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const tool = (name: string, args: string) => ({
            id: name,
            type: "function",
            function: { name, arguments: args }
          })
          const message = {
            role: "assistant",
            tool_calls: [tool("read", '{"path":"/a"}'), tool("write", "{}"), tool("read", "not json")],
            function_call: { name: "old", arguments: "{}" }
          }
          const seen: Array<unknown> = []
          yield* runCall(audit, chat(), Effect.succeed(answer(completion(message))), {
            judge: {
              ...allowAll,
              tool: (name, args) => {
                seen.push([name, args])
                if (name === "old") throw new Error("a judge that throws")
                return name === "read" ? "allow" : "pending"
              }
            }
          })
          const records = yield* audit.records
          assert.deepStrictEqual(
            records.filter(({ kind }) => kind === "tool_call").map((record) => [record["tool"], record["verdict"]]),
            [
              ["tool:shop/read", "allow"],
              ["tool:shop/write", "pending"],
              ["tool:shop/read", "deny"],
              ["tool:shop/old", "deny"]
            ]
          )
          assert.deepStrictEqual(seen, [
            ["read", { path: "/a" }],
            ["write", {}],
            ["old", {}]
          ])
          assert.strictEqual(records.at(-1)?.kind, "outcome")
          assert.notInclude(JSON.stringify(records), "/a\\")
        })
      )
    )

    it.live("tells the quantities that were asked for, of a tool only those that policy bounds, and never a text", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const judge = { ...allowAll, bounded: ["amount", "note"] }
          const payment = { amount: 9.5, note: prompt, phone: 4_915_112_345, gift: true, model: `model ${prompt}` }
          yield* runCall(audit, Call.tool("pay", payment, { app: "shop" }), undefined, { judge })
          const asked = last(yield* audit.records, "decision")["asked"]
          assert.deepStrictEqual(asked, [{ path: "amount", value: "9.5" }])
          yield* runCall(audit, chat({ max_tokens: 5, temperature: 0.5, stream: false, user: prompt, "42": 1 }))
          assert.deepStrictEqual(last(yield* audit.records, "decision")["asked"], [
            { path: "model", value: '"gpt-4o"' },
            { path: "max_tokens", value: "5" },
            { path: "temperature", value: "0.5" },
            { path: "stream", value: "false" }
          ])
          const refused = refusal("policy", { code: "above_maximum", path: "amount", message: prompt })
          yield* Effect.exit(audit.observe(Call.tool("pay", payment, { app: "shop" }))(Effect.fail(refused)))
          const records = yield* audit.records
          assert.deepStrictEqual(last(records, "refused")["asked"], [{ path: "amount", value: "9.5" }])
          assert.notInclude(JSON.stringify(records), prompt)
          assert.notInclude(JSON.stringify(records), "4915112345")
        })
      )
    )

    it.live("names the proofs of a principal and the documents that its claims name, the first 32", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const documents = Array.from({ length: 40 }, (_, i) => `group:${i}`)
          const principal = { ...alice, documents, attestations: ["phishing_resistant"] }
          yield* runCall(audit, chat(), undefined, { principal })
          assert.deepInclude(last(yield* audit.records, "decision")["principal"], {
            attestations: ["phishing_resistant"],
            documents: documents.slice(0, 32)
          })
          yield* runCall(audit, chat())
          assert.notProperty(last(yield* audit.records, "decision")["principal"], "documents")
        })
      )
    )

    it.live("leaves user info and the query of its endpoint out", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          yield* audit.passThrough(
            {
              id: "call-1",
              app: "shop",
              family: "models",
              use: "passes",
              resource: "api:shop/models",
              endpoint: "GET https://user:secret@host/v1/models?key=secret#secret",
              credentials: { _tag: "App" },
              intents: []
            },
            alice
          )
          assert.strictEqual(last(yield* audit.records, "passthrough")["endpoint"], "GET https://host/v1/models")
        })
      )
    )
  })

  describe("a call that ends before its decision is written", () => {
    const codes: ReadonlyArray<readonly [PipelineError, string, number, string]> = [
      [policyDenied(decision, "policy"), "policy_denied", 403, "policy"],
      [policyDenied(decision, "custom:hours"), "policy_denied", 403, "custom:hours"],
      [new ApprovalPending({ decision, stage: "policy", message: prompt }), "approval_pending", 403, "policy"],
      [
        new PolicyRateLimited({ decision, stage: "policy", retryAfter: 1, message: prompt }),
        "policy_rate_limit",
        429,
        "policy"
      ],
      [new IdentityInvalid({ reason: "expired", message: prompt }), "identity_invalid", 401, "identity"],
      [new IdentityInvalid({ reason: "replayed", message: prompt }), "identity_invalid", 401, "signing"],
      [new EnforcementUnavailable({ stage: "invocation", message: prompt }), "enforcement_unavailable", 503, "egress"],
      [new Configuration({ message: prompt }), "configuration", 500, "policy"]
    ]
    for (const [error, code, status, stage] of codes)
      it.live(`leaves one refusal of ${error._tag} by ${stage}`, () =>
        withMemory((audit) =>
          Effect.gen(function* () {
            const call = chat()
            const exit = yield* Effect.exit(
              audit.observe(call)(
                Effect.suspend(() => {
                  audit.identified(new Identified(call, alice))
                  return Effect.fail(error)
                })
              )
            )
            assert.deepStrictEqual(exit, Exit.fail(error))
            const records = yield* audit.records
            const about = aboutCalls(records)
            assert.deepStrictEqual(kinds(about), ["refused"])
            assert.include(about[0], { call: call.id, code, status, stage, tool: "tool:shop/generate" })
            assert.deepInclude(about[0]?.["principal"], { id: "alice" })
            assert.notInclude(JSON.stringify(records), prompt)
          })
        )
      )

    it.live("leaves a refusal by the way out where it was interrupted", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(audit.observe(chat())(Effect.never), { startImmediately: true })
          yield* Effect.sleep(5)
          yield* Fiber.interrupt(fiber)
          const about = aboutCalls(yield* audit.records)
          assert.deepStrictEqual(kinds(about), ["refused"])
          assert.include(about[0], { code: "aborted", status: 499, stage: "egress" })
        })
      )
    )

    it.live("is refused as unavailable where the pipeline threw, or answered without a commit", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const thrown = yield* Effect.flip(audit.observe(chat())(Effect.die(new Error("a defect"))))
          assert.instanceOf(thrown, EnforcementUnavailable)
          const skipped = yield* Effect.flip(audit.observe(chat())(Effect.succeed(answer())))
          assert.instanceOf(skipped, EnforcementUnavailable)
          const about = aboutCalls(yield* audit.records)
          assert.deepStrictEqual(kinds(about), ["refused", "refused"])
          for (const record of about) assert.include(record, { code: "enforcement_unavailable", status: 503 })
        })
      )
    )
  })

  describe("a call that ends after its decision was written", () => {
    const abort = new ProviderFailed({ cause: new APIUserAbortError(), attempts: 1 })
    const limited = new ProviderFailed({
      cause: new RateLimitError(429, {}, "slow down", new Headers()),
      attempts: 3,
      status: 429
    })
    const endings: ReadonlyArray<readonly [PipelineError, Partial<ReadRecord>]> = [
      [limited, { result: "failed", status: 429, attempts: 3, error: "RateLimitError" }],
      [abort, { result: "aborted", attempts: 1, error: "APIUserAbortError" }],
      [policyDenied(decision, "egress"), { result: "refused", attempts: 0, error: "PolicyDenied" }],
      [new EnforcementUnavailable({ stage: "invocation", message: "" }), { result: "failed" }]
    ]
    for (const [error, outcome] of endings)
      it.live(`leaves one outcome ${String(outcome["result"])} of ${error._tag}`, () =>
        withMemory((audit) =>
          Effect.gen(function* () {
            const exit = yield* Effect.exit(runCall(audit, chat(), Effect.fail(error)))
            assert.deepStrictEqual(exit, Exit.fail(error))
            const about = aboutCalls(yield* audit.records)
            assert.deepStrictEqual(kinds(about), ["decision", "outcome"])
            assert.include(about[1], outcome)
          })
        )
      )

    it.live("is aborted where it was interrupted, waiting for the answer or for the disk", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const waiting = yield* Effect.forkChild(runCall(audit, chat(), Effect.never))
          yield* Effect.sleep(5)
          yield* Fiber.interrupt(waiting)
          const committing = yield* Effect.forkChild(runCall(audit, chat()), { startImmediately: true })
          yield* Fiber.interrupt(committing)
          const about = aboutCalls(yield* audit.records)
          assert.deepStrictEqual(kinds(about), ["decision", "outcome", "decision", "outcome"])
          assert.strictEqual(about[1]?.["result"], "aborted")
          assert.strictEqual(about[3]?.["result"], "aborted")
        })
      )
    )

    it.live("counts as another call where the same call is run again", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const call = chat()
          yield* Effect.exit(runCall(audit, call, Effect.fail(limited)))
          yield* runCall(audit, call)
          const about = aboutCalls(yield* audit.records)
          assert.deepStrictEqual(kinds(about), ["decision", "outcome", "decision", "outcome"])
          assert.notStrictEqual(about[2]?.["call"], call.id)
          assert.strictEqual(about[2]?.["parent"], call.id)
          assert.strictEqual(about[3]?.["call"], about[2]?.["call"])
        })
      )
    )

    it.live("cannot be committed twice", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const call = chat()
          const prepared = prepare(call)
          const error = yield* Effect.flip(
            audit.observe(call)(
              Effect.andThen(audit.commit(prepared), Effect.andThen(audit.commit(prepared), Effect.succeed(answer())))
            )
          )
          assert.instanceOf(error, EnforcementUnavailable)
        })
      )
    )
  })

  describe("a stream", () => {
    it.live("that is read to its end is complete, chunk by chunk", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const chunks = [
            ...Array.from({ length: 150 }, (_, i) => delta(`piece ${i} of ${prompt}`)),
            { ...finish, usage: { prompt_tokens: 5, completion_tokens: 150 } }
          ]
          const reply = yield* streamCall(audit, chunks)
          assert.deepStrictEqual(yield* Stream.runCollect(reply.stream), chunks)
          const about = aboutCalls(yield* audit.records)
          assert.deepStrictEqual(kinds(about), [
            "decision",
            "stream.open",
            "stream.segment",
            "stream.segment",
            "stream.segment",
            "stream.close",
            "outcome"
          ])
          assert.deepStrictEqual(
            about.slice(2, 5).map((record) => [record["from"], record["count"]]),
            [
              [0, 64],
              [64, 64],
              [128, 23]
            ]
          )
          const digest = digestChain(
            reply.meta.receipt?.salts["stream"] ?? "",
            chunks.map((chunk) => JSON.stringify(chunk))
          )
          assert.strictEqual(about[4]?.["digest"], digest)
          assert.include(about[5], { reason: "complete", chunks: 151, received: 151, digest })
          assert.include(about[6], { result: "complete", attempts: 1, status: 200, request: "req_s" })
          assert.deepStrictEqual(about[6]?.["usage"], { input: 5, output: 150 })
          assert.notInclude(JSON.stringify(about), prompt)
        })
      )
    )

    it.live.each([
      ["complete", "a choice that is finished", [delta("a"), finish]],
      ["cut", "no end", [delta("a")]],
      ["cut", "one of two choices that is not finished", [{ choices: [{ index: 1, delta: {} }] }, finish]],
      ["complete", "the last event of a response", [{ type: "response.created" }, { type: "response.completed" }]],
      ["failed", "a response that failed", [{ type: "response.created" }, { type: "response.failed" }]],
      ["failed", "an error event without a name", [delta("a"), { type: "error", code: "x", message: "y" }]],
      ["failed", "an error event after the sentinel's choice", [delta("a"), finish, { error: { message: "y" } }], true],
      [
        "complete",
        "usage after the end of its choice",
        [
          delta("a"),
          finish,
          { choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }], usage: {} }
        ]
      ],
      ["cut", "a choice that goes on after its end", [delta("a"), finish, delta("b")]],
      ["cut", "an end that is no text", [{ choices: [{ index: 0, delta: { content: "a" }, finish_reason: "" }] }]],
      ["cut", "no last event of a response", [{ type: "response.created" }, { type: "response.output_text.done" }]],
      ["complete", "a sentinel", [delta("a")], true]
    ] as const)("is %s with %s", ([reason, , chunks, whole = false]) =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const reply = yield* streamCall(audit, chunks, Stream.empty, true, whole)
          yield* Stream.runDrain(reply.stream)
          const about = aboutCalls(yield* audit.records)
          assert.include(about.at(-2), { kind: "stream.close", reason })
          assert.include(about.at(-1), { kind: "outcome", result: reason })
        })
      )
    )

    it.live("is cut where its connection failed, and failed where the provider did", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          for (const [cause, result] of [
            [new TypeError("terminated"), "cut"],
            [new Error("other"), "failed"]
          ] as const) {
            const reply = yield* streamCall(
              audit,
              [delta("a")],
              Stream.fail(new ProviderFailed({ cause, attempts: 1 }))
            )
            yield* Effect.exit(Stream.runDrain(reply.stream))
            assert.include(aboutCalls(yield* audit.records).at(-1), { kind: "outcome", result })
          }
        })
      )
    )

    it.live("of a mock, whose chunks nobody told as received, is chained by their text", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const chunks = [delta("é"), delta("b"), delta("c")]
          const reply = yield* streamCall(audit, chunks, Stream.empty, false)
          yield* Stream.runDrain(reply.stream)
          const close = last(yield* audit.records, "stream.close")
          assert.include(close, { chunks: 3, received: 3 })
          const told = yield* streamCall(audit, chunks)
          yield* Stream.runDrain(told.stream)
          const salt = reply.meta.receipt?.salts["stream"] ?? ""
          assert.strictEqual(
            close["digest"],
            digestChain(
              salt,
              chunks.map((chunk) => JSON.stringify(chunk))
            )
          )
        })
      )
    )

    it.live("that its reader leaves early is abandoned", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const reply = yield* streamCall(
            audit,
            Array.from({ length: 10 }, (_, i) => delta(String(i)))
          )
          yield* Stream.runDrain(Stream.take(reply.stream, 3))
          const records = yield* audit.records
          assert.include(last(records, "stream.close"), { reason: "abandoned", chunks: 4, received: 4 })
          assert.include(last(records, "outcome"), { result: "abandoned" })
        })
      )
    )

    it.live("that breaks is failed, aborted or refused, by what broke it", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const broken = new ProviderFailed({ cause: new Error(prompt), attempts: 1, status: 200 })
          const aborted = new ProviderFailed({ cause: new APIUserAbortError(), attempts: 1 })
          const refused = policyDenied(decision, "custom:output")
          for (const [error, result] of [
            [broken, "failed"],
            [aborted, "aborted"],
            [refused, "refused"]
          ] as const) {
            const reply = yield* streamCall(audit, [delta("a"), delta("b")], Stream.fail(error))
            assert.strictEqual(yield* Effect.flip(Stream.runDrain(reply.stream)), error)
            const records = yield* audit.records
            assert.include(last(records, "stream.close"), { reason: result, chunks: 2, received: 2 })
            assert.include(last(records, "outcome"), { result })
          }
        })
      )
    )

    it.live("whose reader fails by itself is abandoned", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const reply = yield* streamCall(audit, [delta("a")], Stream.never)
          const error = yield* Effect.flip(Stream.runForEach(reply.stream, () => Effect.fail("the reader's own")))
          assert.strictEqual(error, "the reader's own")
          assert.include(last(yield* audit.records, "outcome"), { result: "abandoned" })
        })
      )
    )

    it.live("whose reader is interrupted is aborted", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const reply = yield* streamCall(audit, [delta("a")], Stream.never)
          const fiber = yield* Effect.forkChild(Stream.runDrain(reply.stream))
          yield* Effect.sleep(5)
          yield* Fiber.interrupt(fiber)
          assert.include(last(yield* audit.records, "outcome"), { result: "aborted" })
        })
      )
    )

    it.live("that pauses leaves a segment after a quarter of a second", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const reply = yield* streamCall(audit, [delta("a")], Stream.never)
          const fiber = yield* Effect.forkChild(Stream.runDrain(reply.stream))
          yield* Effect.sleep(320)
          assert.include(last(yield* audit.records, "stream.segment"), { from: 0, count: 1 })
          yield* Fiber.interrupt(fiber)
        })
      )
    )

    it.live("that nobody reads is abandoned when it is collected, and cannot be read then or twice", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const unread = yield* streamCall(audit, [delta("a")])
          yield* audit.abandon(unread.meta.receipt?.call ?? "")
          yield* audit.abandon("no such call")
          const records = yield* audit.records
          assert.include(last(records, "stream.close"), { reason: "abandoned", chunks: 0, received: 0 })
          assert.include(last(records, "outcome"), { result: "abandoned", status: 200 })
          assert.instanceOf(yield* Effect.flip(Stream.runDrain(unread.stream)), EnforcementUnavailable)
          const read = yield* streamCall(audit, [delta("a")])
          yield* Stream.runDrain(read.stream)
          assert.instanceOf(yield* Effect.flip(Stream.runDrain(read.stream)), EnforcementUnavailable)
        })
      )
    )

    it.live("tells the tools that it asked for, before its outcome", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const piece = (index: number, name: string | undefined, args: string) => ({
            choices: [{ index: 0, delta: { tool_calls: [{ index, function: { name, arguments: args } }] } }]
          })
          const reply = yield* streamCall(audit, [
            piece(0, "read", '{"pa'),
            piece(1, "write", "{}"),
            piece(0, undefined, 'th":1}')
          ])
          yield* Stream.runDrain(reply.stream)
          const about = aboutCalls(yield* audit.records)
          assert.deepStrictEqual(kinds(about).slice(-5), [
            "tool_call",
            "tool_call",
            "stream.segment",
            "stream.close",
            "outcome"
          ])
          assert.strictEqual(
            about.find(({ kind }) => kind === "tool_call")?.["arguments"],
            saltedDigest(reply.meta.receipt?.salts["arguments"], '{"path":1}')
          )
        })
      )
    )
  })

  describe("a request that passes through", () => {
    const request = {
      id: "01a2072e-3c94-70d4-b5ba-217b86dfe6ff",
      app: "shop",
      family: "models",
      use: "passes",
      resource: "api:shop/models",
      endpoint: "GET https://host/v1/models",
      credentials: { _tag: "App" },
      intents: []
    } as const

    it.live("leaves its record before it goes, and its outcome once", () =>
      withMemory((audit) =>
        Effect.gen(function* () {
          const tell = yield* audit.passThrough(request, alice)
          assert.deepStrictEqual(kinds(aboutCalls(yield* audit.records)), ["passthrough"])
          yield* tell({ result: "failed", attempts: 2, status: 500, error: "InternalServerError", requestId: "r" })
          yield* tell({ result: "complete", attempts: 2 })
          const about = aboutCalls(yield* audit.records)
          assert.deepStrictEqual(kinds(about), ["passthrough", "outcome"])
          assert.include(about[1], { result: "failed", status: 500, request: "r", attempts: 2, call: request.id })
        })
      )
    )
  })

  it.live("writes what others ask for: refusals, keys, policies", () =>
    withMemory((audit) =>
      Effect.gen(function* () {
        yield* audit.refuse({
          call: "c",
          tool: "identity:register",
          app: "shop",
          stage: "identity",
          code: "identity_invalid",
          status: 401,
          violations: [{ code: "expired" }]
        })
        yield* audit.keyActive({ kid: "k", jwk: { kty: "OKP", crv: "Ed25519", x: "x", d: "private" } })
        yield* audit.policyActivated({ revision: "sha-256:r", count: 3 })
        yield* audit.policyRejected({ revision: "sha-256:r", reason: "it is not JSON" })
        const records = yield* audit.records
        assert.include(last(records, "refused"), { tool: "identity:register", code: "identity_invalid" })
        assert.deepStrictEqual(last(records, "key.active")["jwk"], { kty: "OKP", crv: "Ed25519", x: "x" })
        assert.include(last(records, "policy.activated"), { rev: "sha-256:r", count: 3 })
        assert.include(last(records, "policy.rejected"), { rev: "sha-256:r", reason: "it is not JSON" })
      })
    )
  )

  it.live("ends what is open when it is closed", () => {
    const disk = memoryFileSystem()
    const layer = Audit.layer({ path: "/log", named: true }).pipe(
      Layer.provide(Keys.layerMemory),
      Layer.provide(Layer.succeed(Disk, disk))
    )
    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const audit = yield* Audit
        yield* streamCall(audit, [delta("a")])
        yield* audit.commit(prepare(chat()))
      }).pipe(Effect.provide(layer))
      const lines = disk.read("/log/journal/00000000000000000000.jsonl")?.toString().trim().split("\n") ?? []
      const ends = lines.slice(-4).map((line) => JSON.parse(line))
      assert.deepStrictEqual(
        ends.map(({ kind, reason, result }) => [kind, reason ?? result]),
        [
          ["stream.close", "abandoned"],
          ["outcome", "abandoned"],
          ["outcome", "abandoned"],
          ["log.close", undefined]
        ]
      )
      assert.isUndefined(disk.read("/log/lock"))
    })
  })
})
