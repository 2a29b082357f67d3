/** `Entry.onEnd`: subscribers learn once how a call ended, and the duration comes from a clock that a test can replace. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { APIUserAbortError, InternalServerError } from "openai"
import { expect, it } from "vitest"
import { Audit } from "../../src/audit/Audit.ts"
import { type Clock, LogClock } from "../../src/audit/Clock.ts"
import type { CallEnd } from "../../src/call/CallEnd.ts"
import type { Committed } from "../../src/call/States.ts"
import { Reply } from "../../src/call/Reply.ts"
import { type PipelineError, ProviderFailed, refusal } from "../../src/call/Errors.ts"
import { Keys } from "../../src/keys/Keys.ts"
import { answer, chat, completion, prepare } from "./calls.ts"

/** A clock that stands still until a test moves it. */
const stoppedClock = (): Clock & { advance: (ms: number) => void; setBack: (ms: number) => void } => {
  let time = 0
  let date = 1_800_000_000_000
  return {
    now: () => date,
    elapsed: () => time,
    advance: (ms) => {
      time += ms
      date += ms
    },
    setBack: (ms) => void (date -= ms)
  }
}

const withClock = <A, E>(clock: Clock, test: (audit: Audit["Service"]) => Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(
    Effect.flatMap(Audit, test).pipe(
      Effect.provide(
        Audit.layerMemory().pipe(Layer.provide(Layer.succeed(LogClock, clock)), Layer.provide(Keys.layerMemory))
      )
    )
  )

const usage = {
  prompt_tokens: 12,
  completion_tokens: 7,
  total_tokens: 19,
  prompt_tokens_details: { cached_tokens: 5, audio_tokens: 1 },
  completion_tokens_details: { reasoning_tokens: 4, audio_tokens: 2 }
}

/** Runs a call and gives its end, as a subscriber received it, and its outcome record. */
const ended = (invoke: (committed: Committed) => Effect.Effect<Reply, PipelineError>, clock: Clock = stoppedClock()) =>
  withClock(clock, (audit) =>
    Effect.gen(function* () {
      const ends: Array<CallEnd> = []
      const call = chat()
      const exit = yield* Effect.exit(
        audit.observe(call)(
          Effect.flatMap(audit.commit(prepare(call)), (committed) => {
            committed.entry.onEnd((end) => ends.push(end))
            return invoke(committed)
          })
        )
      )
      if (exit._tag === "Success" && exit.value._tag === "Stream")
        yield* Effect.exit(Stream.runDrain(exit.value.stream))
      const outcome = (yield* audit.records).find(({ kind }) => kind === "outcome")
      return { ends, outcome }
    })
  )

const failure = (cause: unknown, attempts: number, status?: number) =>
  Effect.fail(new ProviderFailed({ cause, attempts, ...(status !== undefined && { status }) }))

it.each<
  readonly [
    string,
    (clock: ReturnType<typeof stoppedClock>) => (c: Committed) => Effect.Effect<Reply, PipelineError>,
    Partial<CallEnd>
  ]
>([
  [
    "an answer, with every kind of usage",
    (clock) => () => {
      clock.advance(250)
      return Effect.succeed(answer({ ...completion(), usage, service_tier: "flex" }))
    },
    {
      result: "complete",
      status: 200,
      attempts: 2,
      ms: 250,
      usage: { input: 12, cached: 5, audioInput: 1, output: 7, reasoning: 4, audioOutput: 2, tier: "flex" }
    }
  ],
  [
    "a provider's error",
    (clock) => () => {
      clock.advance(40)
      return failure(new InternalServerError(500, undefined, "no", new Headers()), 3, 500)
    },
    { result: "failed", status: 500, attempts: 3, ms: 40 }
  ],
  ["an abort", () => () => failure(new APIUserAbortError(), 1), { result: "aborted", attempts: 1, ms: 0 }],
  [
    "a refusal after the decision",
    () => () => Effect.fail(refusal("policy", { code: "value_denied", path: "model", message: "no" })),
    { result: "refused", attempts: 0 }
  ],
  [
    "a stream, at its last chunk and not at its first",
    (clock) => () =>
      Effect.succeed(
        Reply.stream(
          Stream.fromIterable([{ usage }]).pipe(
            Stream.concat(
              Stream.suspend(() => {
                clock.advance(859)
                return Stream.empty
              })
            )
          ),
          { status: 200, headers: new Headers(), requestId: "req_s", attempts: 1 }
        )
      ),
    { result: "complete", ms: 859, attempts: 1 }
  ]
])("tells of %s once, as the outcome record does", async (_, invoke, expected) => {
  const clock = stoppedClock()
  const { ends, outcome } = await ended(invoke(clock), clock)
  expect(ends).toHaveLength(1)
  expect(ends[0]).toMatchObject(expected)
  const fields = ["attempts", "call", "error", "ms", "result", "status", "usage"]
  const recorded = Object.entries(outcome ?? {}).filter(([name]) => fields.includes(name))
  expect(JSON.parse(JSON.stringify(ends[0]))).toEqual(Object.fromEntries(recorded))
})

it("measures a call by the steady clock: a date that is set back changes no duration", async () => {
  const clock = stoppedClock()
  const { ends, outcome } = await ended(() => {
    clock.advance(100)
    clock.setBack(20_000)
    return Effect.succeed(answer())
  }, clock)
  expect([ends[0]?.ms, outcome?.["ms"]]).toEqual([100, 100])
})

it("calls a late subscriber at once, and every subscriber although another one throws", async () => {
  const seen: Array<string> = []
  let late: Committed["entry"] | undefined
  await withClock(stoppedClock(), (audit) =>
    Effect.gen(function* () {
      const call = chat()
      const committed = yield* Effect.tap(
        audit.observe(call)(
          Effect.map(audit.commit(prepare(call)), ({ entry }) => {
            entry.onEnd(() => {
              seen.push("first")
              throw new Error("made by the test")
            })
            entry.onEnd(() => void seen.push("second"))
            late = entry
            return answer()
          })
        ),
        () => Effect.sync(() => late?.onEnd(({ result }) => void seen.push(`late: ${result}`)))
      )
      return committed
    })
  )
  expect(seen).toEqual(["first", "second", "late: complete"])
})
