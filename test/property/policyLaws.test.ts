import { assert, describe, it } from "@effect/vitest"
import { Call } from "../../src/call/Call.ts"
import type { Decision } from "../../src/call/Decision.ts"
import { type Constraint, fromSpec, meet } from "../../src/policy/Constraint.ts"
import { decide, evaluate } from "../../src/policy/Evaluate.ts"
import type { Document, Intent } from "../../src/policy/Mapl.ts"
import { parameter } from "../../src/policy/Parameter.ts"
import { likeness, lookup, openai } from "../../src/rewriting/Models.ts"
import { rewrite } from "../../src/rewriting/Rewrite.ts"
import { depth } from "../depth.ts"
import type { Asked } from "../policy/oracle.ts"
import { bounds, document, list, Random, request, type World, world } from "../policy/random.ts"
import { configured, decided, type System } from "../policy/system.ts"

const models = {
  find: (name: string) => lookup(openai, name),
  like: (name: string) => likeness(openai, name)
}

const sets = depth(150, 600)
const requestsPerSet = 5

/** Policies, and what somebody asks under them. */
interface Round extends World {
  readonly random: Random
  readonly asked: Asked
}

/** Puts a law to random rounds; it says whether it had something to say. That it has, in enough of them, is checked too. */
const law = (holds: (round: Round) => boolean) => (): void => {
  let told = 0
  for (let seed = 0; seed < sets; seed++) {
    const random = new Random(seed)
    const policies = world(random)
    for (let index = 0; index < requestsPerSet; index++) {
      const asked = request(random, policies)
      try {
        if (holds({ ...policies, random, asked })) told++
      } catch (cause) {
        throw new Error(`seed ${seed}, request ${index}: ${String(cause)}\n${JSON.stringify({ ...policies, asked })}`, {
          cause
        })
      }
    }
  }
  assert.isAbove(told, (sets * requestsPerSet) / 50)
}

const systems = new WeakMap<ReadonlyArray<Document>, System>()

const under = (documents: World["documents"]): System => {
  if (documents === undefined) return configured(documents)
  const system = systems.get(documents) ?? configured(documents)
  systems.set(documents, system)
  return system
}

const decideUnder = (documents: World["documents"], asked: Asked): Decision => decided(under(documents), asked)

const codesOf = ({ violations }: Decision): ReadonlyArray<string> =>
  [...new Set(violations.map(({ code }) => code))].sort()

/**
 * What laws compare: all that does not depend on who is the most specific. The names of those that set a bound do, and so
 * does the first of several values that a list allows.
 */
const essence = (decision: Decision) => ({
  verdict: decision.verdict,
  codes: codesOf(decision),
  edits: decision.remedies
    .map((remedy) => {
      if (remedy.kind === "model")
        return `model ${remedy.allowed
          .filter((name) => !name.includes("*"))
          .sort()
          .join()}`
      if (remedy.kind === "cap") return `cap ${remedy.to}`
      return /^(max_|temperature|count)/u.test(remedy.path) ? `${remedy.path} ${String(remedy.to)}` : remedy.path
    })
    .sort()
})

const alike = (left: Decision, right: Decision): void => assert.deepStrictEqual(essence(left), essence(right))

/** A document without the metadata that says who approves: what it asks for is its own to judge, whatever it extends. */
const withoutApprovers = (one: Intent): Intent => {
  const { attestations: _, ...constraints } = one.constraints ?? {}
  return { ...one, constraints }
}

describe("the laws of composition", { timeout: 120_000 }, () => {
  it(
    "commutative: the order of documents, claims and intents makes no difference",
    law(({ asked, documents, random }) => {
      const { intents, principal } = asked
      const shuffled = {
        ...asked,
        intents: random.shuffled(intents),
        principal: { ...principal, documents: random.shuffled(principal.documents) }
      }
      alike(decideUnder(documents && random.shuffled(documents), shuffled), decideUnder(documents, asked))
      return principal.documents.length + intents.length > 1
    })
  )

  it(
    "associative: however documents are grouped into chains, claims and intents, they decide the same",
    law((round) => {
      const { random } = round
      const [a, b, c] = [0, 1, 2].map(() => withoutApprovers(document(random))) as [Intent, Intent, Intent]
      const ana: Document = { ...a, policy_id: "user:ana", resources: ["**"] }
      const bob: Document = { ...b, policy_id: "team:b" }
      const cee: Document = { ...c, policy_id: "team:c" }
      const principal = { ...round.asked.principal, kind: "user" as const, id: "ana", documents: [] }
      const asked = { ...round.asked, app: "app", principal, intents: [] }
      const chain = decideUnder([{ ...ana, extends: "team:b" }, { ...bob, extends: "team:c" }, cee], asked)
      const claims = (...ids: ReadonlyArray<string>) => ({ ...asked, principal: { ...principal, documents: ids } })
      alike(chain, decideUnder([ana, bob, cee], claims("team:b", "team:c")))
      alike(chain, decideUnder([{ ...ana, extends: "team:b" }, bob, cee], claims("team:c")))
      alike(chain, decideUnder([ana, { ...bob, extends: "team:c" }, cee], claims("team:b")))
      alike(chain, decideUnder([ana, bob, { ...cee, policy_id: "app:app" }], claims("team:b")))
      alike(chain, decideUnder([ana], { ...asked, intents: [b, c] }))
      alike(chain, decideUnder([{ ...ana, extends: "team:c" }, cee], { ...asked, intents: [b] }))
      alike(chain, decideUnder([ana, cee], { ...asked, intents: [{ ...b, extends: "team:c" }] }))
      return chain.verdict !== "deny"
    })
  )

  it(
    "idempotent: what takes part twice takes part once",
    law(({ asked, documents, random }) => {
      const before = decideUnder(documents, asked)
      const { intents, principal } = asked
      const taking = documents?.filter(({ policy_id }) => before.policies.includes(policy_id)) ?? []
      if (taking.length === 0) return false
      const twice = random.pick(taking)
      alike(before, decideUnder(documents, { ...asked, intents: [...intents, ...intents] }))
      alike(before, decideUnder(documents, { ...asked, intents: [structuredClone(twice), ...intents] }))
      // A claim adds no document to those that take part, where it names one of them: to a caller's chain, from the service's.
      if (principal.kind !== "app" && !codesOf(before).includes("no_policy")) {
        const claims = [...principal.documents, ...principal.documents, twice.policy_id]
        alike(before, decideUnder(documents, { ...asked, principal: { ...principal, documents: claims } }))
      }
      return true
    })
  )

  it(
    "monotone: an intent more never turns a refusal into anything else, nor waiting into permission",
    law((round) => {
      const { asked, documents, random } = round
      const before = decideUnder(documents, asked)
      const added = document(random)
      const after = decideUnder(documents, { ...asked, intents: [...asked.intents, added] })
      if (before.verdict === "deny") assert.strictEqual(after.verdict, "deny")
      if (before.verdict === "pending") assert.notStrictEqual(after.verdict, "allow")
      narrows(before, after)
      return before.verdict !== after.verdict
    })
  )

  it(
    "monotone: neither does a document more, where some document allowed anything before",
    law((round) => {
      const { asked, documents, random } = round
      const { principal } = asked
      const before = decideUnder(documents, asked)
      if (documents === undefined || codesOf(before).includes("no_policy") || principal.kind === "app") return false
      const added = { ...document(random), policy_id: "role:new" }
      const claimed = { ...asked, principal: { ...principal, documents: [...principal.documents, "role:new"] } }
      const claiming = decideUnder([...documents, added], claimed)
      // As a parent, it may say who approves what its children ask for: that alone may turn a refusal into waiting.
      const taking = documents.filter((one) => one.extends === undefined && before.policies.includes(one.policy_id))
      if (taking.length === 0) return false
      const child = random.pick(taking)
      const extended = documents.map((one) => (one === child ? { ...one, extends: "role:new" } : one))
      const extending = (parent: Document) => decideUnder([...extended, parent], asked)
      for (const after of [claiming, extending({ ...withoutApprovers(added), policy_id: "role:new" })]) {
        if (before.verdict === "deny") assert.strictEqual(after.verdict, "deny")
        if (before.verdict === "pending") assert.notStrictEqual(after.verdict, "allow")
        narrows(before, after)
      }
      if (before.verdict !== "allow") assert.notStrictEqual(extending(added).verdict, "allow")
      return before.verdict !== claiming.verdict
    })
  )

  it(
    "a denial survives every derivation: bound to a user, then narrowed by an intent, then by a call's own",
    law(({ asked, documents, random }) => {
      const service = {
        ...asked,
        principal: { ...asked.principal, kind: "app" as const, id: asked.app, documents: [] }
      }
      const bound = { ...asked, principal: { ...asked.principal, kind: "user" as const, id: "ana" } }
      const narrowed = { ...bound, intents: [...bound.intents, document(random)] }
      const called = { ...narrowed, intents: [...narrowed.intents, document(random)] }
      const decisions = [service, bound, narrowed, called].map((one) => decideUnder(documents, one))
      // What a service may not do in its own name, it may not do in a user's. Two things are the user's own: a policy that
      // grants, where the service has none, and what a condition says of who asks.
      const [unbound = assert.fail()] = decisions
      const isOfUser =
        codesOf(unbound).includes("no_policy") ||
        /principal\.(id|kind)/u.test(JSON.stringify([documents, asked.intents]))
      const verdicts = decisions.slice(isOfUser ? 1 : 0).map(({ verdict }) => verdict)
      const first = verdicts.indexOf("deny")
      if (first === -1) return false
      for (const verdict of verdicts.slice(first)) assert.strictEqual(verdict, "deny")
      return first < verdicts.length - 1
    })
  )

  it(
    "a rewritten request passes unchanged, and asks for no more than the caller did",
    law((round) => {
      const asked = { ...round.asked, params: finite(round.asked.params) }
      const rules = under(round.documents)(asked)
      if (rules === undefined || asked.resource !== `tool:${asked.app}/generate`) return false
      const decision = decide(rules, asked, "")
      if (decision.verdict !== "allow") return false
      const before = structuredClone(asked.params)
      const call = Call.generate(asked.params, { app: asked.app })
      const judge = (params: Asked["params"]) => evaluate(rules, { ...asked, params })
      const rewritten = rewrite(call, decision.remedies, judge, models)
      assert.deepStrictEqual(asked.params, before)
      if (rewritten._tag === "Refused") return false
      const { edits, params } = rewritten
      const left = judge(params)
      // An edit may bring about what nobody can edit: a condition that now holds, a value that is denied, an `n` off another
      // list, fewer answers to share the least of `total_tokens`. The stage refuses such a request. Nothing else may be left.
      const countEdited = edits.some(({ path }) => path === "n")
      for (const { code, path = "" } of left)
        if (!["value_denied", "attestation_missing", "approval_pending"].includes(code))
          assert.isTrue(countEdited && (path === "n" || path.startsWith("max_")), `${code} of ${path} is left`)
      const capsBefore = capsOf(asked.params)
      const capsAfter = capsOf(params)
      if (capsBefore.length > 0) assert.isAtMost(Math.min(...capsAfter), Math.min(...capsBefore))
      for (const { from, path, to } of edits)
        if (path.startsWith("max_") && Number.isInteger(from) && Number(from) >= 1 && typeof to === "number")
          assert.isAtMost(to, Number(from))
      if (left.length > 0) return false
      const second = decide(rules, { ...asked, params }, "")
      assert.deepStrictEqual([second.verdict, second.remedies], ["allow", []])
      return edits.length > 0
    })
  )
})

const capsOf = (params: Asked["params"]): ReadonlyArray<number> =>
  ["max_tokens", "max_completion_tokens", "max_output_tokens"]
    .map((name) => params[name])
    // Others may mean "no limit": what takes their place narrows.
    .filter((value) => typeof value === "number" && Number.isInteger(value) && value >= 1)
    .map(Number)

/** A call is JSON, which has no number that is not finite. */
const finite = (params: Asked["params"]): Asked["params"] =>
  Object.fromEntries(Object.entries(params).filter(([, value]) => typeof value !== "number" || Number.isFinite(value)))

/** Where both allow, the second lets no more through: its caps are no higher, its models no others. */
const narrows = (before: Decision, after: Decision): void => {
  if (before.verdict !== "allow" || after.verdict !== "allow") return
  for (const remedy of before.remedies) {
    const same = after.remedies.find(
      ({ kind, path }) => kind === remedy.kind && (kind === "cap" || path === remedy.path)
    )
    assert.isDefined(same, `the edit of ${remedy.path} is gone`)
    if (remedy.kind === "cap" && same?.kind === "cap") assert.isAtMost(same.to, remedy.to)
    if (remedy.kind === "model" && same?.kind === "model")
      for (const name of same.allowed.filter((one) => !one.includes("*"))) assert.include(remedy.allowed, name)
  }
}

describe("the meet of constraints", () => {
  /** A constraint without its functions. */
  const shape = (constraint: Constraint): unknown => JSON.parse(JSON.stringify(constraint))

  it("is the same in any grouping and order, and of a constraint with itself", () => {
    for (let seed = 0; seed < 5_000; seed++) {
      const random = new Random(seed)
      const [a, b, c] = [0, 1, 2].map((rank) =>
        fromSpec(
          parameter("max_tokens", undefined),
          random.chance(0.5) ? bounds(random, 0, 1000) : list(random, ["a", "b", "a*"]),
          { policy: `d${rank}`, rank },
          random.pick([undefined, "deny", "rewrite"])
        )
      ) as [Constraint, Constraint, Constraint]
      const [left, right] = [meet(meet(a, b), c), meet(c, meet(b, a))]
      assert.deepStrictEqual(shape(left), shape(right), `seed ${seed}`)
      assert.deepStrictEqual(shape(meet(left, right)), shape(left), `seed ${seed}`)
    }
  })
})
