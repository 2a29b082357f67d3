/** Logs whose boots overlap, as several processes write one: some that hold, and some that the holder of the key may forge. */
import type { Case } from "./Tampering.ts"
import { type Log, originOf, renumbered, signed, stillOpen } from "./Logs.ts"

type Fields = Readonly<Record<string, unknown>>

/** What can be recorded after the records of `log`, whose one boot is called `a` here. */
const storyOf = (log: Log) => {
  const records = stillOpen(log.files)
  const { boot: a, ts } = records.at(-1) ?? {}
  const boots: Readonly<Record<string, unknown>> = { a }
  const record =
    (kind: string) =>
    (boot: string, fields: Fields = {}): Fields => ({ v: 1, id: "x", ts, boot: boots[boot] ?? boot, kind, ...fields })
  const beside = (count: number): Fields => (count === 0 ? {} : { beside: count })
  return {
    opened: (boot: string, count: number, more: Fields = {}) =>
      record("log.open")(boot, { origin: originOf(log.files), ...beside(count), ...more }),
    recovered: (boot: string, previous: string, open: number, count: number) =>
      record("log.recovered")(boot, { previous: boots[previous] ?? previous, open, dropped: 0, ...beside(count) }),
    closed: (boot: string, count: number) => record("log.close")(boot, beside(count)),
    decided: (boot: string, call: string) => record("decision")(boot, { call }),
    /** `index`: how many records of the story stand before the decision. */
    ended: (boot: string, call: string, index: number, result = "complete") =>
      record("outcome")(boot, { call, decision: records.length + index, result }),
    stream: (boot: string, call: string, index: number) => [
      record("stream.open")(boot, { call, decision: records.length + index, status: 200 }),
      record("stream.segment")(boot, { call, from: 0, count: 2, digest: "d" }),
      record("stream.close")(boot, { call, reason: "complete", chunks: 1, received: 2, digest: "d" })
    ],
    later: (boot: string) => record("kind.to.come")(boot),
    log: (more: ReadonlyArray<Fields>): Log => ({
      key: log.key,
      files: signed(log, renumbered([...records, ...more]))
    })
  }
}

/** Three processes: two close, one dies with a call and a stream open, and another one ends these. */
export const overlapping = (log: Log): Log => {
  const { closed, decided, ended, later, log: whole, opened, recovered, stream } = storyOf(log)
  return whole([
    opened("b", 1),
    decided("a", "1"),
    decided("b", "2"),
    opened("c", 2),
    ...stream("b", "2", 2),
    decided("c", "3"),
    ended("b", "2", 2),
    ended("a", "1", 1),
    decided("b", "4"),
    decided("b", "5"),
    stream("b", "5", 11)[0]!,
    closed("a", 2),
    recovered("c", "b", 2, 0),
    ended("c", "4", 10, "unknown"),
    ended("c", "5", 11, "unknown"),
    opened("d", 1),
    ended("c", "3", 7),
    later("d"),
    closed("c", 1),
    closed("d", 0)
  ])
}

/** Stories of overlapping boots. Where one is bad, that is what is wrong with it. */
export function* overlaps(name: string, log: Log): Generator<Case> {
  const { closed, decided, ended, later, log: whole, opened, recovered, stream } = storyOf(log)
  const two = opened("b", 1)
  const stories: ReadonlyArray<readonly [string, ReadonlyArray<Fields>, Case["expect"]]> = [
    ["two boots", [two, decided("a", "1"), decided("b", "2"), ended("a", "1", 1), ended("b", "2", 2)], "good"],
    ["the first closes first", [two, closed("a", 1), decided("b", "1"), ended("b", "1", 2), closed("b", 0)], "good"],
    ["the second closes first", [two, closed("b", 1), decided("a", "1"), ended("a", "1", 2), closed("a", 0)], "good"],
    [
      "one dies, another ends its call",
      [decided("a", "1"), opened("b", 1), recovered("b", "a", 1, 0), ended("b", "1", 0, "unknown")],
      "good"
    ],
    [
      "one dies, a third goes on meanwhile",
      [
        two,
        decided("a", "1"),
        opened("c", 2),
        recovered("b", "a", 1, 1),
        decided("c", "2"),
        ended("b", "1", 1, "unknown"),
        ended("c", "2", 4)
      ],
      "good"
    ],
    [
      "one dies, and so does the one that ends its calls",
      [
        two,
        decided("a", "1"),
        decided("a", "2"),
        opened("c", 2),
        recovered("b", "a", 2, 1),
        ended("b", "1", 1, "unknown"),
        recovered("c", "b", 1, 0),
        ended("c", "2", 2, "unknown"),
        closed("c", 0)
      ],
      "good"
    ],
    [
      "a boot alone takes over from two",
      [
        two,
        decided("a", "1"),
        decided("b", "2"),
        opened("c", 0),
        recovered("c", "b", 2, 0),
        ended("c", "1", 1, "unknown"),
        ended("c", "2", 2, "unknown")
      ],
      "good"
    ],
    ["a boot closes after a recovery", [two, recovered("b", "a", 0, 0), closed("b", 0)], "good"],
    // A record of a boot that is not open.
    ["a decision of a boot that was never open", [decided("b", "1")], "bad"],
    ["a decision of a boot that closed", [two, closed("b", 1), decided("b", "1")], "bad"],
    ["a decision of a boot that was recovered from", [two, recovered("b", "a", 0, 0), decided("a", "1")], "bad"],
    ["an outcome of a boot that closed", [two, decided("b", "1"), closed("b", 1), ended("b", "1", 1)], "bad"],
    [
      "an outcome of a boot that was recovered from",
      [two, decided("a", "1"), recovered("b", "a", 1, 0), ended("a", "1", 1)],
      "bad"
    ],
    ["an outcome of a boot that was never open", [decided("a", "1"), ended("b", "1", 0)], "bad"],
    [
      "a decision of a boot that another one took over from",
      [two, opened("c", 0), recovered("c", "b", 0, 0), decided("a", "1")],
      "bad"
    ],
    // A call stays with its boot.
    ["an outcome by another boot", [two, decided("a", "1"), ended("b", "1", 1)], "bad"],
    ["a stream by another boot", [two, decided("a", "1"), ...stream("b", "1", 1)], "bad"],
    [
      "an outcome unknown by another boot, whose call's boot is open",
      [two, decided("a", "1"), ended("b", "1", 1, "unknown")],
      "bad"
    ],
    ["one call of two boots", [two, decided("a", "1"), decided("b", "1")], "bad"],
    ["a call whose boot closes", [two, decided("a", "1"), closed("a", 1)], "bad"],
    // Opening.
    ["a boot that is open opens again", [two, opened("b", 2)], "bad"],
    ["a boot that is open opens again, and counts itself out", [two, opened("b", 1)], "bad"],
    ["a boot that closed opens again", [two, closed("b", 1), opened("b", 1)], "bad"],
    [
      "a boot that closed long ago opens again",
      [two, closed("b", 1), opened("c", 1), closed("c", 1), opened("b", 1)],
      "bad"
    ],
    ["a boot counts too many others", [opened("b", 2)], "bad"],
    ["a boot counts too few others", [two, opened("c", 1)], "bad"],
    ["a boot counts true others", [opened("b", 0, { beside: true })], "bad"],
    ["a boot counts others in a text", [opened("b", 0, { beside: "1" })], "bad"],
    ["a boot counts none, and goes on", [opened("b", 0, { beside: 0 }), decided("b", "1")], "bad"],
    ["a boot counts no others, and goes on", [opened("b", 0), decided("b", "1")], "bad"],
    ["a boot of another log", [opened("b", 1, { origin: "secure-openai/0000000000000000" })], "bad"],
    // Recovering.
    ["a boot recovers from itself", [two, recovered("b", "b", 0, 1)], "bad"],
    ["a boot recovers from one that was never open", [two, recovered("b", "c", 0, 1)], "bad"],
    ["a boot recovers from one that closed", [two, closed("a", 1), recovered("b", "a", 0, 0)], "bad"],
    ["a boot recovers from one twice", [two, recovered("b", "a", 0, 0), recovered("b", "a", 0, 0)], "bad"],
    ["a recovery counts other boots otherwise", [two, recovered("b", "a", 0, 1)], "bad"],
    ["a recovery counts a call of its own boot", [two, decided("b", "1"), recovered("b", "a", 1, 0)], "bad"],
    [
      "a recovery counts no call",
      [two, decided("a", "1"), recovered("b", "a", 0, 0), ended("b", "1", 1, "unknown")],
      "bad"
    ],
    [
      "a recovery that another record of its boot follows",
      [two, decided("a", "1"), recovered("b", "a", 1, 0), later("b")],
      "bad"
    ],
    [
      "a recovery that ends a call of its own boot",
      [
        two,
        decided("a", "1"),
        decided("b", "2"),
        recovered("b", "a", 1, 0),
        ended("b", "2", 2, "unknown"),
        ended("b", "1", 1, "unknown")
      ],
      "bad"
    ],
    [
      "a recovery whose call a third boot ends",
      [two, decided("a", "1"), opened("c", 2), recovered("b", "a", 1, 1), ended("c", "1", 1, "unknown")],
      "bad"
    ],
    [
      "a recovery whose call ends twice",
      [two, decided("a", "1"), recovered("b", "a", 1, 0), ended("b", "1", 1, "unknown"), ended("b", "1", 1, "unknown")],
      "bad"
    ],
    ["a close that counts other boots otherwise", [two, closed("a", 0)], "bad"],
    ["a close that counts boots that closed", [two, closed("a", 1), closed("b", 1)], "bad"]
  ]
  for (const [what, more, expect] of stories) yield { name: `${name}, ${what}`, files: whole(more).files, expect }
}
