import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { aboutCalls, chat, kinds, runCall, withMemory } from "./calls.ts"
import { Reply } from "../../src/Call.ts"

describe("Audit", () => {
  it.live("plain call", () =>
    withMemory((audit) =>
      Effect.gen(function* () {
        const reply = yield* runCall(audit, chat())
        console.log(reply.meta.receipt)
        const s = yield* runCall(audit, chat({ stream: true }), Effect.succeed(Reply.stream(Stream.make(1, 2, 3))))
        if (s._tag === "Stream") yield* Stream.runCollect(s.stream)
        const records = yield* audit.records
        console.log(records)
        assert.deepStrictEqual(kinds(aboutCalls(records)), ["decision", "outcome","decision","stream.open","stream.segment","stream.close","outcome"])
      })
    )
  )
})
