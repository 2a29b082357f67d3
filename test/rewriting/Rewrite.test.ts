/** Rewriting under random lists and bounds: whatever it does to a request only narrows it. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { Call } from "../../src/call/Call.ts"
import type { Judge, Permit } from "../../src/call/Judge.ts"
import type { Json, JsonObject } from "../../src/base/Json.ts"
import { endpointAt, operations, outputTokenCaps } from "../../src/call/Operation.ts"
import { EffectivePolicy } from "../../src/policy/EffectivePolicy.ts"
import { decide, evaluate } from "../../src/policy/Evaluate.ts"
import type { Intent } from "../../src/policy/Mapl.ts"
import type { Spec } from "../../src/policy/mapl/Bounds.ts"
import { app } from "../../src/call/Principal.ts"
import { capsOf, likeness, lookup, type Model, openai } from "../../src/rewriting/Models.ts"
import { type Plan, plan } from "../../src/rewriting/Rewrite.ts"
import { unsupported } from "../../src/rewriting/Support.ts"
import { Random } from "../policy/random.ts"

const rounds = 4_000

const find = (name: string): Model | undefined => lookup(openai, name)

const like = (name: string): Model | undefined => likeness(openai, name)

const listed = openai.flatMap(({ models }) => models.flatMap(({ family, names = [family] }) => names))
const chatty = listed.filter((name) => find(name)?.modality === "chat")
const others = [
  "llama-3",
  "mistral-9",
  "gpt-4ofoo",
  "gpt-6.9-nova",
  "o7-mini",
  "gpt-4o-2024-08-06",
  "gpt-4-0613",
  "ft:gpt-4o-mini-2024-07-18:acme::1"
]
const globs = ["gpt-4*", "o*", "*-mini", "*"]

const anyModel = (random: Random): string =>
  random.chance(0.7) ? random.pick(chatty) : random.chance(0.5) ? random.pick(listed) : random.pick(others)

const modelList = (random: Random, shared: ReadonlyArray<string>): ReadonlyArray<string> =>
  random.shuffled([
    ...random.some(shared, 0.6),
    ...Array.from({ length: Math.floor(random.next() * 6) }, () => anyModel(random)),
    ...(random.chance(0.2) ? [random.pick(globs)] : [])
  ])

const capSpec = (random: Random): Spec => ({
  max: Math.floor(random.next() * 1000),
  ...(random.chance(0.2) && { min: Math.floor(random.next() * 20) }),
  ...(random.chance(0.2) && { on_violation: random.pick(["rewrite", "deny"] as const) })
})

/** Settings that some models take and others do not. */
const settings: ReadonlyArray<(random: Random) => readonly [string, Json]> = [
  () => ["temperature", 0.5],
  () => ["top_p", 0.5],
  () => ["presence_penalty", 1],
  () => ["frequency_penalty", null],
  (random) => ["reasoning_effort", random.pick(["none", "minimal", "low", "high", "xhigh", "max"])],
  (random) => ["reasoning", random.pick<Json>([{ effort: "high", summary: "auto" }, { effort: "minimal" }, {}])],
  (random) => ["verbosity", random.pick(["low", "medium"])],
  (random) => [
    "text",
    random.pick<Json>([{ verbosity: "low" }, { format: { type: "json_schema" }, verbosity: "high" }])
  ],
  (random) => [
    random.pick(["logprobs", "logit_bias", "stop", "prediction", "parallel_tool_calls"]),
    random.pick([true, null])
  ]
]

interface Drawn {
  readonly lists: ReadonlyArray<ReadonlyArray<string>>
  readonly documents: ReadonlyArray<Intent>
  readonly call: Call
}

const draw = (random: Random): Drawn => {
  const shared = Array.from({ length: 3 }, () => anyModel(random))
  const lists = Array.from({ length: 1 + Math.floor(random.next() * 3) }, () => modelList(random, shared))
  const documents = lists.map((model) => {
    const parameters: Record<string, Spec> = {
      model,
      ...(random.chance(0.5) && { [random.pick(outputTokenCaps)]: capSpec(random) }),
      ...(random.chance(0.2) && { total_tokens: { max: Math.floor(random.next() * 2000) } }),
      ...(random.chance(0.2) && { n: { min: random.pick([1, 2]), max: random.pick([2, 3]) } })
    }
    return { resources: ["**"], constraints: { parameters: { "tool:**": parameters } } }
  })
  const path = random.pick(["/chat/completions", "/responses"])
  const image = random.chance(0.15)
    ? [{ type: path === "/responses" ? "input_image" : "image_url", image_url: "data:," }]
    : []
  const content = [{ type: "text", text: '{"type":"image_url"}' }, ...image]
  const members = random.shuffled<readonly [string, Json]>([
    ["model", anyModel(random)],
    [path === "/responses" ? "input" : "messages", [{ role: "user", content }]],
    ["metadata", { "10": 1, "9": 2, b: 3, a: 4 }],
    ...settings.filter(() => random.chance(0.12)).map((make) => make(random)),
    ...outputTokenCaps
      .filter(() => random.chance(0.25))
      .map((name): readonly [string, Json] => [name, random.chance(0.1) ? null : Math.floor(random.next() * 1500)]),
    ...(random.chance(0.3) ? [["n", random.pick([1, 2, 3])] as const] : []),
    ...(random.chance(0.2) ? [["tools", random.chance(0.2) ? [] : [{ type: "web_search" }]] as const] : [])
  ])
  const params = Object.fromEntries(members)
  return { lists, documents, call: Call.generate(params, { app: "app", endpoint: `POST https://api.test/v1${path}` }) }
}

/** What becomes of a call: nothing where policy itself refuses. */
const planned = ({
  call,
  documents
}: Drawn): { readonly judge: Pick<Judge, "recheck">; readonly result: Planned } | undefined => {
  const policy = new EffectivePolicy(
    documents.map((document, i) => ({ document, name: `d${i}`, counter: `d${i}` }))
  ).rules("tool:app/generate")
  const request = { params: call.params, principal: app("app"), now: 0 }
  const decision = decide(policy, request, "")
  const judge: Pick<Judge, "recheck"> = {
    recheck: (params) => evaluate(policy, { ...request, params })
  }
  return isPermit(decision) ? { judge, result: plan(call, decision, judge, { find, like }) } : undefined
}

type Planned = ReturnType<typeof plan>

const isPermit = (decision: ReturnType<typeof decide>): decision is Permit => decision.verdict === "allow"

const count = { refused: 0, downgraded: 0, capped: 0, respelled: 0, leftOut: 0, unchanged: 0 }

const each = (check: (drawn: Drawn, plan: Plan, judge: Pick<Judge, "recheck">) => void): void => {
  for (let seed = 0; seed < rounds; seed++) {
    const drawn = draw(new Random(seed))
    const outcome = planned(drawn)
    if (outcome === undefined) continue
    if (Result.isFailure(outcome.result)) {
      assert.isNotEmpty(outcome.result.failure)
      count.refused++
      continue
    }
    try {
      check(drawn, outcome.result.success, outcome.judge)
    } catch (cause) {
      const { call, documents } = drawn
      const about = JSON.stringify({ documents, params: call.params, plan: outcome.result.success })
      throw new Error(`seed ${seed}: ${String(cause)}\n${about}`, { cause })
    }
  }
}

const holdsImage = (value: Json): boolean => JSON.stringify(value).includes('"image_url":"data:,"')

const isFilled = (value: Json | undefined): boolean => Array.isArray(value) && value.length > 0

/** The most tokens that a request may bring about, as a server reads it; a cap that it does not know is none. */
const most = (params: JsonObject, call: Call): number => {
  const model = params["model"]
  const read = capsOf(
    typeof model === "string" ? like(model) : undefined,
    endpointAt(operations.generate, call.endpoint).path
  )
  const caps = read.map((name) => params[name]).filter((cap) => typeof cap === "number")
  return Math.max(...(caps.length === 0 ? [Infinity] : caps))
}

describe("a rewritten request", () => {
  it("has a model that every list names, of the asked one's provider and modality, and no better one", () => {
    each(({ call, lists }, { edits, params }) => {
      const edit = edits.find(({ path }) => path === "model")
      if (edit === undefined) {
        assert.strictEqual(params["model"], call.params["model"])
        return
      }
      count.downgraded++
      const target = String(edit.to)
      assert.strictEqual(params["model"], target)
      assert.notInclude(target, "*")
      // A list that the asked model breaks names the target itself; one that it passes may do so by a glob.
      for (const list of lists)
        assert.isTrue(list.includes(target) || list.some((entry) => entry.includes("*")), target)
      assert.isTrue(lists.some((list) => list.includes(target)))
      const [asked, taken] = [find(String(call.params["model"])), find(target)]
      if (asked !== undefined) {
        assert.strictEqual(taken?.provider, asked.provider)
        assert.strictEqual(taken?.modality, asked.modality)
        assert.isAtMost(taken?.rank ?? Infinity, asked.rank)
      } else if (taken !== undefined) assert.strictEqual(taken.modality, "chat")
      if (taken === undefined) return
      assert.isTrue(taken.endpoints.has(endpointAt(operations.generate, call.endpoint).path))
      assert.isTrue(taken.images || !holdsImage(call.params))
      assert.isTrue(taken.tools || !isFilled(call.params["tools"]))
    })
  })

  it("has the best model that is left for one that is known", () => {
    each(({ call, lists }, { edits }) => {
      const edit = edits.find(({ path }) => path === "model")
      const asked = find(String(call.params["model"]))
      if (edit === undefined || asked === undefined || lists.flat().some((entry) => entry.includes("*"))) return
      const left = lists[0]!.filter((name) => {
        const model = find(name)
        return (
          lists.every((list) => list.includes(name)) &&
          model?.modality === asked.modality &&
          model.rank <= asked.rank &&
          model.endpoints.has(endpointAt(operations.generate, call.endpoint).path) &&
          (model.images || !holdsImage(call.params)) &&
          (model.tools || !isFilled(call.params["tools"])) &&
          unsupported(call.params, model).blocking.length === 0
        )
      })
      assert.strictEqual(find(String(edit.to))?.rank, Math.max(...left.map((name) => find(name)!.rank)))
    })
  })

  it("has nothing that another model does not take, and lacks only settings of taste", () => {
    each(({ call }, { edits, params }) => {
      const target = edits.find(({ path }) => path === "model")?.to
      const gone = edits.filter(({ path, to }) => to === null && !outputTokenCaps.includes(path))
      if (target === undefined) {
        assert.deepStrictEqual(gone, [], "a call that keeps its model keeps its settings")
        return
      }
      assert.deepStrictEqual(unsupported(params, like(String(target))), { removable: [], blocking: [] })
      assert.includeMembers(
        ["temperature", "top_p", "presence_penalty", "reasoning", "reasoning_effort", "verbosity"].concat([
          "reasoning.effort",
          "text.verbosity"
        ]),
        gone.map(({ path }) => path)
      )
      for (const { from, path } of gone)
        assert.deepStrictEqual(
          path.split(".").reduce<Json>((holder, key) => (holder as JsonObject)[key] ?? null, call.params),
          from
        )
      if (gone.length > 0) count.leftOut++
    })
  })

  it("passes the same policy unchanged, and planning it again changes nothing", () => {
    each(({ call, documents, lists }, { edits, params }, judge) => {
      assert.deepStrictEqual(judge.recheck(params), [])
      const again = planned({ lists, documents, call: Call.withParams(call, params) })
      if (again === undefined) assert.fail("it is refused")
      assert.deepStrictEqual(Result.getOrThrow(again.result), { params, edits: [] })
      if (edits.length === 0) count.unchanged++
    })
  })

  it("asks for no more than the caller did", () => {
    each(({ call }, { edits, params }) => {
      for (const { from, path, to } of edits)
        if (typeof from === "number" && typeof to === "number") assert.isAtMost(to, from, path)
      assert.isAtMost(Number(params["n"] ?? 1), Number(call.params["n"] ?? 1))
      // What was bounded stays so, by no more than the caller named.
      const given = outputTokenCaps.map((name) => call.params[name]).filter((cap) => typeof cap === "number")
      if (most(call.params, call) < Infinity) assert.isAtMost(most(params, call), Math.max(...given))
    })
  })

  it("is the caller's in everything else: values, keys and their order", () => {
    each(({ call }, { edits, params }) => {
      const edited = new Set(edits.map(({ path }) => path))
      const gone = new Set(edits.filter(({ to }) => to === null).map(({ path }) => path))
      const within = new Set([...edited].map((path) => path.split(".")[0]))
      const renamed = edits.some(({ path, to }) => outputTokenCaps.includes(path) && to === null)
      const keys = (of: JsonObject) =>
        Object.keys(of).filter((key) => !gone.has(key) && !(renamed && outputTokenCaps.includes(key)))
      const added = keys(params).filter((key) => !Object.hasOwn(call.params, key))
      assert.deepStrictEqual(keys(params), [...keys(call.params), ...added])
      for (const key of keys(params)) if (!within.has(key)) assert.strictEqual(params[key], call.params[key], key)
      for (const key of added) assert.isTrue(edited.has(key), key)
      if (added.length > 0) count.capped++
      if (renamed) count.respelled++
    })
  })

  it("was drawn in every way", () => {
    // The draw is worth something only while it reaches every kind of outcome.
    assert.isAbove(Math.min(...Object.values(count)), rounds / 200, JSON.stringify(count))
  })
})
