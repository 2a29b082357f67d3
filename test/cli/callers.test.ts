import { assert, describe, it } from "@effect/vitest"
import { callerOf, callerWords } from "../../src/cli/policy/LoggedCalls.ts"
import { app, type Principal } from "../../src/call/Principal.ts"

const alice = (issuer: string): Principal => ({ ...app("alice"), kind: "user", issuer })
const rows = (...callers: ReadonlyArray<Principal>) => callers.map((caller) => ({ what: callerOf(caller) }))

describe("who called, in a list of calls", () => {
  it("is a name where all users are of one issuer, and else a name and its issuer", () => {
    const words = (all: ReturnType<typeof rows>) => all.map(({ what }) => callerWords(what, all))
    assert.deepStrictEqual(words(rows(alice("a"), app("shop"), alice("a"))), ["user:alice", "app:shop", "user:alice"])
    assert.deepStrictEqual(words(rows(alice("a"), app("shop"), alice("b"))), [
      "user:alice of a",
      "app:shop",
      "user:alice of b"
    ])
  })
})
