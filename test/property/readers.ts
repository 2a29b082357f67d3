/**
 * Random bodies of protected requests, from a seed, through the door, policy and rewriting, without sockets; and what is sent of
 * them, read by three readers that servers use. Each keeps every member of the text as it stands there: one takes the last of
 * equal keys, one the first, and one matches names without case, as Go's `encoding/json` does.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { Call } from "../../src/call/Call.ts"
import { Decided } from "../../src/call/States.ts"
import type { Permit } from "../../src/call/Judge.ts"
import { readBody } from "../../src/http/Admission.ts"
import { Policy } from "../../src/policy/Policy.ts"
import { Models } from "../../src/rewriting/Models.ts"
import { Rewriting } from "../../src/rewriting/Rewriting.ts"
import { Random } from "../policy/random.ts"
import { signed, user } from "../policy/states.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Readers
// ---------------------------------------------------------------------------------------------------------------------

/** JSON as it is written: an object is its members in order, equal keys and all. */
type Written = string | number | boolean | null | ReadonlyArray<Written> | Members
class Members {
  readonly all: Array<readonly [key: string, value: Written]> = []
}

/** Reads a JSON text; strings and numbers by `JSON.parse`. */
export const written = (text: string): Written => {
  let at = 0
  const space = (): void => {
    while (" \t\r\n".includes(text[at] ?? "x")) at++
  }
  const literal = (pattern: RegExp): string => {
    pattern.lastIndex = at
    const [found = ""] = pattern.exec(text) ?? []
    if (found === "") throw new SyntaxError(`no JSON at ${at}`)
    at += found.length
    return found
  }
  const list = (end: string, item: () => void): void => {
    at++
    for (space(); text[at] !== end; space()) {
      item()
      space()
      if (text[at] === ",") at++
      else if (text[at] !== end) throw new SyntaxError(`no JSON at ${at}`)
    }
    at++
  }
  const value = (): Written => {
    space()
    if (text[at] === "{") {
      const members = new Members()
      list("}", () => {
        const key = JSON.parse(literal(/"(?:[^"\\]|\\.)*"/gy)) as string
        space()
        at++
        members.all.push([key, value()])
      })
      return members
    }
    if (text[at] === "[") {
      const items: Array<Written> = []
      list("]", () => items.push(value()))
      return items
    }
    return JSON.parse(literal(/"(?:[^"\\]|\\.)*"|[\w.+-]+/gy)) as Written
  }
  return value()
}

type Reader = (members: Members, name: string) => Written | undefined

const foldings = new Map<string, RegExp>()
const folding = (name: string): RegExp => {
  const known = foldings.get(name) ?? new RegExp(`^${name}$`, "iu")
  foldings.set(name, known)
  return known
}

/** The three readers by name. */
export const readers: Readonly<Record<string, Reader>> = {
  last: ({ all }, name) => all.findLast(([key]) => key === name)?.[1],
  first: ({ all }, name) => all.find(([key]) => key === name)?.[1],
  caseless: ({ all }, name) => all.findLast(([key]) => folding(name).test(key))?.[1]
}

/** Everything that a path such as `tools[].function.name` leads a reader to, as JSON. */
const readAll = (value: Written | undefined, path: ReadonlyArray<string>, reader: Reader): ReadonlyArray<unknown> => {
  if (Array.isArray(value)) return value.flatMap((item: Written) => readAll(item, path, reader))
  const [step, ...rest] = path
  if (step === undefined) return value === undefined ? [] : [value instanceof Members ? value.all.length : value]
  return value instanceof Members ? readAll(reader(value, step), rest, reader) : []
}

/** What a policy of these tests bounds. */
const bounded = [
  "model",
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
  "temperature",
  "n",
  "reasoning_effort",
  "messages.role",
  "tools.function.name",
  "tools.name",
  "functions.name",
  "reasoning.effort",
  "text.format.type",
  "response_format.type",
  "stream_options.include_usage",
  "x_route.sorted"
].map((path) => path.split("."))

/** The first bounded parameter that the readers do not read alike in a text; undefined where there is none. */
export const readDifferently = (text: string): string | undefined => {
  const tree = written(text)
  const [one, ...others] = Object.values(readers)
  return bounded
    .find((path) => {
      const said = JSON.stringify(readAll(tree, path, one!))
      return others.some((reader) => JSON.stringify(readAll(tree, path, reader)) !== said)
    })
    ?.join(".")
}

// ---------------------------------------------------------------------------------------------------------------------
// Bodies
// ---------------------------------------------------------------------------------------------------------------------

const spaces = ["", "", "", " ", "\n", "\t \r\n"]

/** A key as it may be written; odd ones are no key that policy knows, or one that some readers take for it. */
const spelt = (random: Random, name: string, odd: number): string => {
  if (random.chance(0.05)) return `"${name.replace(/[a-z]/, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`)}"`
  if (!random.chance(odd)) return `"${name}"`
  return random.pick([
    `"${name.toUpperCase()}"`,
    `"${name[0]?.toUpperCase()}${name.slice(1)}"`,
    `"${name.replace("k", "\u212a")}"`,
    `"${name.replace("k", "\\u212A")}"`,
    `"${name.replace("s", "\u017f")}"`,
    `"${name.replaceAll("s", "\\u017f")}"`,
    `"${name} "`,
    `"${name}\u200b"`,
    `"${name.replace("_", "")}"`,
    `"x-${name}"`
  ])
}

const object = (random: Random, members: ReadonlyArray<readonly [string, () => string]>, odd: number): string => {
  const parts = random.shuffled(members).flatMap(([name, value]) => {
    const part = () => `${random.pick(spaces)}${spelt(random, name, odd)}${random.pick(spaces)}:${value()}`
    return random.chance(odd / 2) ? [part(), part()] : [part()]
  })
  return `{${parts.join(",")}${random.pick(spaces)}}`
}

const models = ['"gpt-4o-mini"', '"gpt-4o-mini"', '"gpt-4o-mini"', '"gpt-5-pro"', '"gpt\\u002d4o-mini"']
const quantities = ["1", "10", "100", "100.0", "1e2", "500", "501", "9000", "null"]

/** The text of a random body. Half of the bodies have only keys that every reader knows. */
export const body = (random: Random): string => {
  const odd = random.chance(0.5) ? 0 : random.pick([0.01, 0.05, 0.2])
  const quantity = () => random.pick(quantities)
  const text =
    (...texts: ReadonlyArray<string>) =>
    () =>
      JSON.stringify(random.pick(texts))
  const of =
    (...members: ReadonlyArray<readonly [string, () => string]>) =>
    () =>
      object(random, members, odd)
  const listOf = (item: () => string) => () =>
    `[${Array.from({ length: Math.floor(random.next() * 3) }, item).join(",")}]`
  const open = () =>
    object(
      random,
      [
        ["Model", quantity],
        ["model", quantity],
        ["role", quantity]
      ],
      odd
    )
  const tool = of(
    ["type", text("function")],
    ["name", text("get_weather", "rm")],
    ["function", of(["name", text("get_weather", "get_weather", "rm")], ["parameters", open])]
  )
  const members: ReadonlyArray<readonly [string, () => string]> = [
    [
      "messages",
      listOf(of(["role", text("user", "user", "user", "system")], ["content", text("Hello", "é😀\u2028", "Model")]))
    ],
    ...random.some<readonly [string, () => string]>(
      [
        ["max_tokens", quantity],
        ["max_completion_tokens", quantity],
        ["max_output_tokens", quantity],
        ["temperature", () => random.pick(["0", "0.5", "1", "2", "1e0"])],
        ["n", () => random.pick(["1", "2", "9"])],
        ["tools", listOf(tool)],
        ["functions", listOf(of(["name", text("get_weather")], ["parameters", open]))],
        ["reasoning", of(["effort", text("low", "high")], ["summary", text("auto")])],
        ["reasoning_effort", text("low", "high")],
        ["text", of(["format", of(["type", text("text", "json_object")])])],
        ["response_format", of(["type", text("text", "json_object")])],
        ["stream_options", of(["include_usage", () => "true"])],
        ["x_route", of(["sorted", text("price", "speed")], ["Keys", open])],
        ["metadata", open],
        ["logit_bias", open],
        ["x_vendor", open]
      ],
      0.15
    )
  ]
  const model: ReadonlyArray<readonly [string, () => string]> = [["model", () => random.pick(models)]]
  return object(random, [...(random.chance(0.97) ? model : []), ...members], odd)
}

// ---------------------------------------------------------------------------------------------------------------------
// The way of a request
// ---------------------------------------------------------------------------------------------------------------------

const tools = ["get_weather"]
const specs = {
  model: ["gpt-4o-mini"],
  max_tokens: { max: 500 },
  temperature: { max: 1 },
  n: { max: 2 },
  "messages[].role": ["user", "system"],
  "tools[].function.name": tools,
  "reasoning.effort": ["low"],
  reasoning_effort: ["low"],
  "text.format.type": ["text"],
  "response_format.type": ["text"],
  "stream_options.include_usage": [true],
  "x_route.sorted": ["price"]
}
const documents = [
  { policy_id: "app:my-app", resources: ["tool:my-app/**"] },
  {
    policy_id: "user:alice",
    resources: ["tool:my-app/**"],
    constraints: { parameters: { "tool:my-app/generate": specs } }
  },
  {
    policy_id: "user:bob",
    on_violation: "deny",
    resources: ["tool:my-app/**"],
    constraints: { parameters: { "tool:my-app/generate": specs } }
  }
]

/** What became of bodies, by a word. */
export type Tally = Map<string, number>

/** What is sent of a body in a user's name; undefined where nothing is. */
export type Send = (text: string, who: string) => { readonly bytes: string; readonly isEdited: boolean } | undefined

/** The way of a body through the door, policy and rewriting. */
export const makeSend = (): Send => {
  const services = Effect.runSync(
    Effect.scoped(
      Layer.build(
        Layer.merge(Policy.layer({ policies: documents as never }), Rewriting.layer.pipe(Layer.provide(Models.layer)))
      )
    )
  )
  const run = Effect.runSyncWith(services)
  const decided = (call: Call, who: string) =>
    Effect.gen(function* () {
      const { decision, judge } = yield* (yield* Policy).judge(call, user(who))
      if (decision.verdict !== "allow") return undefined
      const permit: Permit = { ...decision, verdict: "allow" }
      return yield* (yield* Rewriting).apply(new Decided(signed(call, user(who)), permit, judge))
    }).pipe(Effect.catchTag("PolicyDenied", () => Effect.succeed(undefined)))
  return (text, who) => {
    const read = readBody(text)
    if (Result.isFailure(read)) return undefined
    const { params } = read.success
    const path = Object.hasOwn(params, "text") ? "/responses" : "/chat/completions"
    const call = Call.fromParsed("generate", params, {
      bytes: text,
      app: "my-app",
      endpoint: `POST https://api.test/v1${path}`
    })
    const prepared = run(decided(call, who))
    return prepared && { bytes: prepared.bytes, isEdited: prepared.edits.length > 0 }
  }
}

/** Sends the body of a seed; throws where what is sent is read in two ways. */
export const check = (send: Send, seed: number, tally: Tally): void => {
  const random = new Random(seed)
  const text = body(random)
  const sent = send(text, random.pick(["alice", "alice", "bob"]))
  const word =
    sent === undefined
      ? readDifferently(text) === undefined
        ? "refused"
        : "refused, ambiguous"
      : sent.isEdited
        ? "edited"
        : "as it was"
  tally.set(word, (tally.get(word) ?? 0) + 1)
  const parameter = sent && readDifferently(sent.bytes)
  if (parameter !== undefined) throw new Error(`seed ${seed}: ${parameter} is read in two ways in ${sent?.bytes}`)
}
