/**
 * A second evaluator, as naive as can be: it reads the documents as they are written, meets nothing ahead of time, compiles
 * nothing, and matches with regular expressions. It knows the part of the language that `random.ts` writes.
 */
import type { Json, JsonObject } from "../../src/CanonicalJson.ts"
import type { Principal } from "../../src/Principal.ts"
import type { Bounds, Intent } from "../../src/policy/Mapl.ts"

export interface Outcome {
  readonly verdict: "allow" | "deny" | "pending"
  /** Codes of the violations that refuse. */
  readonly codes: ReadonlySet<string>
  /** What the numbers become, the injected cap, and whether the model changes. */
  readonly edits: Readonly<Record<string, Json>>
}

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")

const matchesResource = (pattern: string, resource: string): boolean => {
  if (/^\*[^*]+\*$/.test(pattern)) return resource.includes(pattern.slice(1, -1))
  if (/^\*\.[^*/]+$/.test(pattern)) return resource.endsWith(pattern.slice(1))
  const source = pattern
    .split("**")
    .map((part) => part.split("*").map(escape).join("[^/]*"))
    .join(".*")
  return new RegExp(`^${source}$`, "s").test(resource)
}

const same = (value: Json, allowed: Json): boolean =>
  typeof value === "string" && typeof allowed === "string" && allowed.includes("*")
    ? new RegExp(`^${allowed.split("*").map(escape).join(".*")}$`, "s").test(value)
    : JSON.stringify(value) === JSON.stringify(allowed)

const onList = (list: ReadonlyArray<Json>, value: Json): boolean =>
  list.some((allowed) => same(value, allowed)) ||
  (Array.isArray(value) && value.every((element) => list.some((allowed) => same(element, allowed))))

const caps = ["max_tokens", "max_completion_tokens", "max_output_tokens"]

interface Said {
  readonly name: string
  readonly spec: Bounds
  readonly mode: "rewrite" | "deny" | undefined
}

const isType = (value: Json, type: string): boolean =>
  type === "integer"
    ? Number.isSafeInteger(value)
    : type === "array"
      ? Array.isArray(value)
      : typeof value === type && !Array.isArray(value)

export const oracle = (
  documents: ReadonlyArray<Intent>,
  resource: string,
  params: JsonObject,
  principal: Principal,
  now: number
): Outcome => {
  const codes = new Set<string>()
  const pending = new Set<string>()
  const edits: Record<string, Json> = {}
  const isModelCall = resource.endsWith("/generate")

  for (const { validity } of documents) {
    if (validity?.not_before !== undefined && now < Date.parse(validity.not_before)) codes.add("outside_validity")
    if (validity?.not_after !== undefined && now > Date.parse(validity.not_after)) codes.add("outside_validity")
  }
  for (const { denied_resources = [], resources = [] } of documents) {
    if (denied_resources.some((pattern) => matchesResource(pattern, resource))) codes.add("resource_denied")
    if (resources.length > 0 && !resources.some((pattern) => matchesResource(pattern, resource)))
      codes.add("resource_not_allowed")
  }

  const said: Array<Said> = documents.flatMap((document) =>
    Object.entries(document.constraints?.parameters ?? {})
      .filter(([pattern]) => matchesResource(pattern, resource))
      .flatMap(([, specs]) =>
        Object.entries(specs).map(([name, spec]) => {
          const bounds: Bounds = Array.isArray(spec) ? { allowed_values: spec } : (spec as Bounds)
          return {
            name: caps.includes(name) ? "max_tokens" : name,
            spec: bounds,
            mode: bounds.on_violation ?? document.on_violation
          }
        })
      )
  )
  const names = [...new Set(said.map(({ name }) => name))]
  // `total_tokens` last but for the cap, which it bounds.
  for (const name of [...names.filter((one) => one !== "max_tokens" && one !== "total_tokens"), "max_tokens"]) {
    const about = said.filter((one) => one.name === name)
    const isCapName = name === "max_tokens"
    const isCap = isCapName && isModelCall
    const totals = isCap ? said.filter((one) => one.name === "total_tokens") : []
    const answers = isCap ? Math.max(Number(params["n"] ?? 1), 1) : 1
    const lists = about.flatMap(({ spec }) => (spec.allowed_values === undefined ? [] : [spec.allowed_values]))
    const highs = [
      ...about.flatMap(({ mode, spec }) =>
        [spec.max, spec.range?.[1]].flatMap((high) => (high === undefined ? [] : [{ high, mode }]))
      ),
      ...totals.flatMap(({ mode, spec }) =>
        spec.max === undefined ? [] : [{ high: Math.floor(spec.max / answers), mode }]
      )
    ]
    const lows = about.flatMap(({ mode, spec }) =>
      [spec.min, spec.range?.[0]].flatMap((low) => (low === undefined ? [] : [{ low, mode }]))
    )
    const high = Math.min(...highs.map((one) => one.high))
    const low = Math.max(...lows.map((one) => one.low))
    const staticHigh = Math.min(...about.flatMap(({ spec }) => [spec.max ?? Infinity, spec.range?.[1] ?? Infinity]))
    if (low > staticHigh) {
      codes.add("unsatisfiable")
      continue
    }
    const universe = ["a", "b", "c", "ab", "bc", "gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "o1", "llama-3"]
    if (lists.length > 0 && !universe.some((value) => lists.every((list) => onList(list, value)))) {
      codes.add("unsatisfiable")
      continue
    }
    if (isCap && (low > high || high < 1)) {
      codes.add("above_maximum")
      continue
    }

    const spellings = isCapName ? caps : [name]
    const given = spellings.filter((one) => params[one] !== undefined && params[one] !== null)
    for (const spelling of given) {
      const value = params[spelling]!
      const mistyped = about.some(
        ({ spec }) =>
          (spec.type !== undefined && !isType(value, spec.type)) ||
          ((spec.min_length ?? spec.max_length) !== undefined && typeof value !== "string") ||
          (spec.pattern !== undefined && typeof value !== "string") ||
          ((spec.min_items ?? spec.max_items) !== undefined && !Array.isArray(value))
      )
      if (mistyped || (highs.length + lows.length > 0 && typeof value !== "number")) codes.add("wrong_type")
      if (typeof value === "number") {
        if (value > high)
          if (highs.some(({ mode }) => mode === "deny")) codes.add("above_maximum")
          else edits[spelling] = high
        // A negative cap would be read as none.
        if (isCapName && highs.length > 0 && value < 0) codes.add("below_minimum")
        if (value < low)
          if (lows.some(({ mode }) => mode === "deny") || isCapName) codes.add("below_minimum")
          else edits[spelling] = low
      }
      const broken = about.filter(
        ({ spec }) => spec.allowed_values !== undefined && !onList(spec.allowed_values, value)
      )
      if (broken.length > 0) {
        const literals = lists
          .flat()
          .filter((one) => !String(one).includes("*") && lists.every((list) => onList(list, one)))
          .filter((one) => broken.every(({ spec }) => spec.allowed_values?.includes(one)))
        const rewrites = broken.every(({ mode }) => (name === "model" ? mode !== "deny" : mode === "rewrite"))
        if (
          !rewrites ||
          literals.length === 0 ||
          Array.isArray(value) ||
          (name === "model" && typeof value !== "string")
        )
          codes.add("value_not_allowed")
        else edits[name] = name === "model" ? "another" : (literals[0] ?? null)
      }
      for (const { spec } of about) {
        if (typeof value === "string") {
          if (spec.pattern !== undefined && !new RegExp(`^(?:${spec.pattern})$`).test(value))
            codes.add("pattern_mismatch")
          if (value.length > (spec.max_length ?? Infinity) || value.length < (spec.min_length ?? 0)) codes.add("length")
        }
        if (
          Array.isArray(value) &&
          (value.length > (spec.max_items ?? Infinity) || value.length < (spec.min_items ?? 0))
        )
          codes.add("items")
      }
    }
    if (given.length === 0) {
      if (about.some(({ spec }) => spec.required === true)) codes.add("required")
      else if (isCap && highs.length > 0) edits["cap"] = high
    }
  }

  for (const document of documents)
    for (const [pattern, denied] of Object.entries(document.constraints?.denied_parameters ?? {}))
      if (matchesResource(pattern, resource))
        for (const [name, values] of Object.entries(denied)) {
          const value = params[name]
          if (value === undefined || value === null) continue
          const elements = Array.isArray(value) ? [value, ...value] : [value]
          if (elements.some((element) => values.some((one) => same(element, one)))) codes.add("value_denied")
        }

  for (const { attestations = [], constraints } of documents)
    for (const need of attestations as ReadonlyArray<string>) {
      const [key = "", condition] = need.split("::")
      const amount = params["n"]
      // The only condition there is: {params.n > 1}.
      if (condition !== undefined && typeof amount === "number" && amount <= 1) continue
      if (principal.attestations.includes(key)) continue
      if (constraints?.attestations?.[key]?.approval_criteria !== undefined) pending.add("approval_pending")
      else codes.add("attestation_missing")
    }

  if (codes.size > 0) return { verdict: "deny", codes, edits: {} }
  if (pending.size > 0) return { verdict: "pending", codes: pending, edits: {} }
  return { verdict: "allow", codes, edits }
}
