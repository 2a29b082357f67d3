/**
 * A third evaluator, which nobody here wrote: Cedar. The part of the language that Cedar can say is translated: Cedar's
 * permits are a union and its forbids win, so a document that must hold is a `forbid … unless` and one that grants a
 * `permit` besides. Which documents take part is left to Cedar as well: documents are entities, `extends` makes one the
 * parent of another, and every policy is scoped `principal in Doc::"…"`.
 */
import { preparsePolicySet, statefulIsAuthorized } from "@cedar-policy/cedar-wasm/nodejs"
import type { Json } from "../../src/base/Json.ts"
import type { Document, Intent } from "../../src/policy/Mapl.ts"
import type { ScopedAttestation } from "../../src/policy/mapl/Attestation.ts"
import type { Spec } from "../../src/policy/mapl/Bounds.ts"
import type { Asked } from "./oracle.ts"
import { Random } from "./random.ts"
import { principal } from "./states.ts"
import { configured, decided } from "./system.ts"

const requestsPerSet = 10

// ---------------------------------------------------------------------------------------------------------------------
// Documents and requests that translate
// ---------------------------------------------------------------------------------------------------------------------

const grants = ["**", "tool:**", "tool:*/**", "tool:app/**", "tool:app/*"]
const patterns = [...grants, "tool:*/generate", "tool:app/generate", "*pay*", "*.secret", "*/pay"]
const words = ["base", "a", "ab", "b", "a*", "*b", "a*ab"]
const resources = [
  "tool:app/generate",
  "tool:app/pay",
  "tool:app/a.secret",
  "tool:app/x/generate",
  "tool:other/pay",
  "data:x"
]
const capNames = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
const start = Date.parse("2026-01-01T00:00:00Z")

/** Bounds never exclude each other, and all lists share a value: what nothing satisfies has no counterpart in Cedar. */
const specs = (random: Random): Readonly<Record<string, Spec>> => ({
  ...(random.chance(0.3) && { [random.pick(capNames)]: { max: random.pick([3, 4, 5]) } }),
  ...(random.chance(0.3) && { amount: { max: random.pick([3, 4, 5]), min: random.pick([0, 1, 2]) } }),
  ...(random.chance(0.2) && {
    amount: { range: [random.pick([0, 1, 2]), random.pick([3, 4, 5])], type: "integer" as const }
  }),
  ...(random.chance(0.2) && { word: ["base", ...random.some(words, 0.6)] }),
  ...(random.chance(0.2) && { model: { allowed_values: ["base", ...random.some(words, 0.6)] } }),
  ...(random.chance(0.15) && { tags: ["base", ...random.some(["a", "b", "c"], 0.6)] }),
  ...(random.chance(0.05) && { owner: { required: true } })
})

const document = (random: Random): Intent => ({
  on_violation: "deny",
  ...(random.chance(0.7) && {
    resources: [...(random.chance(0.9) ? [random.pick(grants)] : []), ...random.some(patterns, 0.1)]
  }),
  ...(random.chance(0.2) && { denied_resources: random.some(patterns.slice(grants.length), 0.2) }),
  ...(random.chance(0.1) && { validity: { not_before: "2026-01-01T00:00:00Z", not_after: "2026-01-02T00:00:00Z" } }),
  ...(random.chance(0.2) && {
    attestations: [
      random.pick<string | ScopedAttestation>([
        "key",
        "key::{params.amount > 3}",
        "key::{NOT principal.has_role('analyst')}",
        { key: "key", when: "params.amount > 3", resources: [random.pick(patterns), random.pick(patterns)] },
        { key: "key", resources: [random.pick(patterns)] }
      ])
    ]
  }),
  constraints: {
    parameters: Object.fromEntries(random.some(patterns, 0.15).map((pattern) => [pattern, specs(random)])),
    ...(random.chance(0.2) && {
      denied_parameters: {
        [random.pick(patterns)]: { word: random.some(words, 0.2), tags: random.some(["a", "b"], 0.2) }
      }
    })
  }
})

const documents = (random: Random): ReadonlyArray<Document> => {
  const all: Array<Document> = [{ policy_id: "company:Acme", ...document(random) }]
  for (const policy_id of ["team:Lab", "role:analyst", "app:app", "user:ana"])
    if (policy_id === "user:ana" || random.chance(0.6)) {
      const parent = random.chance(0.6) ? { extends: random.pick(all).policy_id } : {}
      all.push({ policy_id, ...parent, ...document(random) })
    }
  return all
}

const request = (random: Random, intents: ReadonlyArray<Intent>): Asked => ({
  app: "app",
  resource: random.pick(resources),
  params: {
    ...(random.chance(0.6) && { amount: Math.floor(random.next() * 6) }),
    ...(random.chance(0.5) && { [random.pick(capNames)]: Math.floor(random.next() * 6) }),
    ...(random.chance(0.5) && { word: random.pick(["base", "a", "ab", "b", "c"]) }),
    ...(random.chance(0.5) && { model: random.pick(["base", "base", "a", "ab"]) }),
    ...(random.chance(0.4) && { tags: random.some(["base", "a", "b", "c"], 0.3) }),
    ...(random.chance(0.5) && { owner: "x" })
  },
  principal: principal("user", "ana", {
    documents: random.some(["company:Acme", "team:Lab", "role:analyst", "group:none"], 0.2),
    roles: random.some(["analyst"], 0.5),
    attestations: random.some(["key"], 0.5)
  }),
  intents: random.some(intents, 0.3),
  now: start + Math.floor(random.next() * 3) * 86_400_000
})

// ---------------------------------------------------------------------------------------------------------------------
// Translation
// ---------------------------------------------------------------------------------------------------------------------

const text = (value: unknown): string => JSON.stringify(value)

const all = (conditions: ReadonlyArray<string>): string => conditions.map((one) => `(${one})`).join(" && ") || "true"
const any = (conditions: ReadonlyArray<string>): string => conditions.map((one) => `(${one})`).join(" || ") || "false"

/** A resource pattern. Cedar's `*` is any run of characters: that it holds no `/` is said besides, for one `*`. */
const matches = (pattern: string): string => {
  const like = (glob: string): string => `context.resource like ${text(glob)}`
  if (/^\*[^*]+\*$/.test(pattern) || /^\*\.[^*/]+$/.test(pattern)) return like(pattern)
  if (pattern === "tool:*/**") return like("tool:*/*")
  if (!/(^|[^*])\*([^*]|$)/.test(pattern)) return like(pattern.replaceAll("**", "*"))
  const [before, after, ...more] = pattern.split("*")
  if (more.length > 0) throw new Error(`${pattern} has no translation`)
  return `${like(pattern)} && !(${like(`${before}*/*${after}`)})`
}

const matchesAny = (patterns: ReadonlyArray<string>): string => any(patterns.map(matches))

const isOne = (name: string, values: ReadonlyArray<Json>): string =>
  any(
    values.map((value) =>
      typeof value === "string" && value.includes("*")
        ? `context.${name} like ${text(value)}`
        : `context.${name} == ${text(value)}`
    )
  )

const isCall = any(["generate", "complete", "embed"].map((name) => `context.resource like ${text(`tool:*/${name}`)}`))

const isCapped = any(["generate", "complete"].map((name) => `context.resource like ${text(`tool:*/${name}`)}`))

/** What must hold of one parameter. */
const holds = (name: string, spec: Spec): string => {
  if ("required" in spec) return `context has ${name}`
  if (name === "tags")
    return `!(context has tags) || (${text(spec)}.containsAll(context.tags) && !(context.tags.isEmpty() && (${isCall})))`
  const names = capNames.includes(name) ? capNames : [name]
  const bounds = "length" in spec ? { allowed_values: spec } : spec
  const { allowed_values: list, max, min, range } = bounds
  return all(
    names.map((one) => {
      const bounded = [
        ...(list === undefined ? [] : [isOne(one, list)]),
        ...[max, range?.[1]].flatMap((high) => (high === undefined ? [] : [`context.${one} <= ${high}`])),
        // A cap below 1 may mean that there is none.
        ...(capNames.includes(one) && (max ?? range?.[1]) !== undefined
          ? [`context.${one} >= 1 || !(${isCapped})`]
          : []),
        ...[min, range?.[0]].flatMap((low) => (low === undefined ? [] : [`context.${one} >= ${low}`]))
      ]
      // A list of models asks for a model.
      const absent =
        one === "model" && list !== undefined ? `!(context has model) && !(${isCall})` : `!(context has ${one})`
      return `(${absent}) || (context has ${one} && (${all(bounded)}))`
    })
  )
}

const conditions: Readonly<Record<string, string>> = {
  "": "true",
  "params.amount > 3": "!(context has amount) || context.amount > 3",
  "NOT principal.has_role('analyst')": `!context.roles.contains("analyst")`
}

/** A document's policies. An intent restricts only. */
const policiesOf = (id: string, one: Intent): ReadonlyArray<string> => {
  const scope = `(principal in Doc::${text(id)}, action, resource)`
  const forbid = (when: string): string => `forbid${scope} when { ${when} };`
  const { attestations, constraints, denied_resources = [], resources = [], validity } = one
  return [
    ...(resources.length === 0 || id.startsWith("intent") ? [] : [`permit${scope} when { ${matchesAny(resources)} };`]),
    ...(resources.length === 0 ? [] : [`forbid${scope} unless { ${matchesAny(resources)} };`]),
    forbid(matchesAny(denied_resources)),
    ...(validity === undefined
      ? []
      : [
          `forbid${scope} unless { context.now >= ${Date.parse(validity.not_before ?? "")} && context.now <= ${Date.parse(validity.not_after ?? "")} };`
        ]),
    ...Object.entries(constraints?.parameters ?? {}).flatMap(([pattern, specs]) =>
      Object.entries(specs).map(
        ([name, spec]) => `forbid${scope} when { ${matches(pattern)} } unless { ${holds(name, spec)} };`
      )
    ),
    ...Object.entries(constraints?.denied_parameters ?? {}).flatMap(([pattern, { tags = [], word = [] }]) => [
      forbid(`(${matches(pattern)}) && context has word && (${isOne("word", word)})`),
      forbid(`(${matches(pattern)}) && context has tags && ${text(tags)}.containsAny(context.tags)`)
    ]),
    ...(Array.isArray(attestations) ? attestations : []).map((need: string | ScopedAttestation) => {
      const { resources = ["**"], when = "" } = typeof need === "string" ? { when: /\{(.*)\}$/.exec(need)?.[1] } : need
      const condition = conditions[when]
      if (condition === undefined) throw new Error(`${when} has no translation`)
      return `forbid${scope} when { (${matchesAny(resources)}) && (${condition}) } unless { context.attestations.contains("key") };`
    })
  ]
}

/** What Cedar decides. */
const authorize = (set: string, policies: ReadonlyArray<Document>, intents: ReadonlyArray<Intent>, asked: Asked) => {
  const doc = (id: string) => ({ type: "Doc", id })
  const parents = ["user:ana", "app:app", ...asked.principal.documents].map(doc)
  const answer = statefulIsAuthorized({
    principal: { type: "Caller", id: "ana" },
    action: { type: "Action", id: "invoke" },
    resource: { type: "Resource", id: "it" },
    context: {
      ...asked.params,
      resource: asked.resource,
      now: asked.now,
      roles: [...asked.principal.roles],
      attestations: [...asked.principal.attestations]
    },
    preparsedPolicySetId: set,
    entities: [
      {
        uid: { type: "Caller", id: "ana" },
        attrs: {},
        parents: [...parents, ...asked.intents.map((intent) => doc(`intent:${intents.indexOf(intent)}`))]
      },
      ...policies.map(({ extends: parent, policy_id }) => ({
        uid: doc(policy_id),
        attrs: {},
        parents: parent === undefined ? [] : [doc(parent)]
      }))
    ]
  })
  if (answer.type !== "success" || answer.response.diagnostics.errors.length > 0)
    throw new Error(`Cedar cannot decide: ${JSON.stringify(answer)}`)
  return answer.response.decision
}

/** Judges the requests of the sets with these seeds both ways, and counts the verdicts; throws where the two differ. */
export const compareWithCedar = (
  fromSeed: number,
  toSeed: number
): { readonly allow: number; readonly deny: number } => {
  const verdicts = { allow: 0, deny: 0 }
  for (let seed = fromSeed; seed < toSeed; seed++) {
    const random = new Random(seed)
    const policies = documents(random)
    const intents = [document(random), document(random)]
    const source = [
      ...policies.flatMap((one) => policiesOf(one.policy_id, one)),
      ...intents.flatMap((one, index) => policiesOf(`intent:${index}`, one))
    ].join("\n")
    const parsed = preparsePolicySet("set", { staticPolicies: source })
    if (parsed.type !== "success") throw new Error(`seed ${seed}: ${JSON.stringify(parsed.errors)}\n${source}`)
    const system = configured(policies)
    for (let index = 0; index < requestsPerSet; index++) {
      const asked = request(random, intents)
      const decision = decided(system, asked)
      const theirs = authorize("set", policies, intents, asked)
      if (decision.verdict !== theirs)
        throw new Error(
          `seed ${seed}, request ${index}: ${decision.verdict}, and Cedar says ${theirs}\n${JSON.stringify({ asked, decision })}\n${source}`
        )
      verdicts[theirs]++
    }
  }
  return verdicts
}

/** How many sets of policies make this many pairs of policies and requests. */
export const setsFor = (pairs: number): number => Math.ceil(pairs / requestsPerSet)
