/** Rounds of the evaluator against the naive one, and a tally of what they reached. */
import { oracle } from "./oracle.ts"
import { again, Random, request, world } from "./random.ts"
import { configured, decided, difference } from "./system.ts"

/** How many requests each set of policies gets. */
export const requestsPerSet = 20

/** How often the same caller asks for the same resource, with other params. */
const repeats = 4

/** What evaluation can report. The rest of the codes come from counters, output rules, approvals and other stages. */
export const reachable = [
  "resource_denied",
  "resource_not_allowed",
  "no_policy",
  "value_not_allowed",
  "above_maximum",
  "below_minimum",
  "wrong_type",
  "pattern_mismatch",
  "length",
  "items",
  "required",
  "value_denied",
  "attestation_missing",
  "approval_pending",
  "outside_validity",
  "unsatisfiable",
  "policy_error"
] as const

/** Verdicts, edits and codes, with how many pairs had each. */
export type Tally = Map<string, number>

/** Judges the requests of the sets with these seeds both ways; throws where the two evaluators differ. */
export const compare = (fromSeed: number, toSeed: number): Tally => {
  const tally: Tally = new Map()
  const count = (what: string): void => void tally.set(what, (tally.get(what) ?? 0) + 1)
  for (let seed = fromSeed; seed < toSeed; seed++) {
    const random = new Random(seed)
    const policies = world(random)
    const system = configured(policies.documents)
    let asked = request(random, policies)
    for (let index = 0; index < requestsPerSet; index++) {
      if (index > 0) asked = index % repeats === 0 ? request(random, policies) : { ...asked, ...again(random) }
      const decision = decided(system, asked)
      const unlike = difference(decision, oracle(policies.documents, asked))
      if (unlike !== undefined)
        throw new Error(
          `seed ${seed}, request ${index}: ${unlike}\n${JSON.stringify({ ...policies, asked, decision })}`
        )
      count(decision.verdict)
      for (const kind of new Set(decision.remedies.map((remedy) => remedy.kind))) count(`edit: ${kind}`)
      for (const code of new Set(decision.violations.map((violation) => violation.code))) count(code)
    }
  }
  return tally
}

/** What was reached less often than once in `every` pairs, of all that evaluation can say. */
export const rare = (tally: Tally, pairs: number, every: number): ReadonlyArray<string> =>
  ["allow", "deny", "pending", "edit: set", "edit: cap", "edit: model", ...reachable].filter(
    (what) => (tally.get(what) ?? 0) < pairs / every
  )
