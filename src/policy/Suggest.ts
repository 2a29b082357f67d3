/**
 * The least policies that would have allowed the calls of a log: a first draft for an app that has run without policies.
 */
import type { JsonObject } from "../base/Json.ts"
import { type FamilyUse, mustBeNamed } from "../call/Families.ts"
import { isOperation, outputTokenCaps, quantities } from "../call/Operation.ts"
import { type Principal, policyId } from "../call/Principal.ts"
import type { Document } from "./Mapl.ts"
import type { Bounds, Spec } from "./mapl/Bounds.ts"
import { isGlob } from "./Pattern.ts"

/** A call that was let through: who asked for which resource of which app, with which model and quantities. */
export interface AllowedCall {
  readonly principal: Principal
  readonly app: string
  /** `tool:my-app/generate`, `api:my-app/models`. */
  readonly resource: string
  readonly params: JsonObject
  /** Of a family: what it did about models. Default: `passes`. */
  readonly use?: FamilyUse
}

/** Quantities that say nothing of what a call costs or may do. */
const arbitrary: ReadonlySet<string> = new Set(["seed"])

/**
 * A document for each caller, by id: the resources that it used, the models that it asked for, and the highest and lowest
 * numbers. An app's own document takes part in the calls of agents and users too, so it allows what all of them did; it is
 * there only where the app, or an agent without a user, has called.
 *
 * Callers choose the names that they ask for, and a document must not give them more than they asked for. So every name in it
 * is a literal: a call whose tool, app or model is spelt with a `*`, for which MAPL has no escape, is left out; and so is one
 * of a tool of which `isRegistered` is false.
 */
export const suggest = (
  calls: Iterable<AllowedCall>,
  isRegistered: (resource: string) => boolean
): ReadonlyArray<Document> => {
  const uses = new Map<string, Uses>()
  const use = (id: string): Uses => {
    const known = uses.get(id) ?? new Map<string, Use>()
    uses.set(id, known)
    return known
  }
  const apps = new Set<string>()
  for (const call of calls) {
    if (!isLiteral(call) || (isTool(call.resource) && !isRegistered(call.resource))) continue
    const { app, principal } = call
    const byApp = `app:${app}`
    if (principal.kind === "user") add(use(policyId(principal)), call)
    else apps.add(byApp)
    add(use(byApp), call)
  }
  return [...uses]
    .filter(([id]) => !id.startsWith("app:") || apps.has(id))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, used]) => documentOf(id, used))
}

// ---------------------------------------------------------------------------------------------------------------------
// What was used
// ---------------------------------------------------------------------------------------------------------------------

/** What was asked of a resource; a parameter that some calls left out has fewer values than there were calls. */
interface Use {
  calls: number
  readonly models: Set<string>
  modelCalls: number
  cappedCalls: number
  readonly numbers: Map<string, { low: number; high: number; whole: boolean }>
}

type Uses = Map<string, Use>

const add = (uses: Uses, { params, principal, resource, use = "passes" }: AllowedCall): void => {
  // Families that pass for this caller anyway need no word.
  if (resource.startsWith("api:") && (principal.kind === "app" || !mustBeNamed(nameOf(resource), use))) return
  const known: Use = uses.get(resource) ?? {
    calls: 0,
    models: new Set(),
    modelCalls: 0,
    cappedCalls: 0,
    numbers: new Map()
  }
  uses.set(resource, known)
  known.calls++
  if (typeof params["model"] === "string") {
    known.modelCalls++
    known.models.add(params["model"])
  }
  let capped = false
  for (const [path, value] of Object.entries(params)) {
    if (typeof value !== "number" || arbitrary.has(path)) continue
    const isCap = outputTokenCaps.includes(path) && quantities.has(path)
    capped ||= isCap
    const name = isCap ? (outputTokenCaps[0] ?? path) : path
    const before = known.numbers.get(name)
    known.numbers.set(name, {
      low: Math.min(value, before?.low ?? value),
      high: Math.max(value, before?.high ?? value),
      whole: Number.isSafeInteger(value) && (before?.whole ?? true)
    })
  }
  if (capped) known.cappedCalls++
}

const nameOf = (resource: string): string => resource.slice(resource.lastIndexOf("/") + 1)

const isTool = (resource: string): boolean => resource.startsWith("tool:") && !isOperation(nameOf(resource))

/** True where the names that a call asks for stand for themselves alone. */
const isLiteral = ({ params: { model }, resource }: AllowedCall): boolean =>
  !isGlob(resource) && !(typeof model === "string" && isGlob(model))

// ---------------------------------------------------------------------------------------------------------------------
// What it comes to
// ---------------------------------------------------------------------------------------------------------------------

const documentOf = (id: string, uses: Uses): Document => {
  const used = [...uses].sort(([a], [b]) => (a < b ? -1 : 1))
  const parameters = Object.fromEntries(
    used.flatMap(([resource, use]) => {
      const specs = specsOf(use)
      return Object.keys(specs).length === 0 ? [] : [[resource, specs]]
    })
  )
  return {
    policy_id: id,
    ...(used.length > 0 && { resources: used.map(([resource]) => resource) }),
    ...(Object.keys(parameters).length > 0 && { constraints: { parameters } })
  }
}

const specsOf = (use: Use): Readonly<Record<string, Spec>> => {
  const [cap] = outputTokenCaps
  const isOpen = (name: string): boolean => name === cap && use.cappedCalls < use.calls
  const numbers = [...use.numbers].filter(([name]) => !isOpen(name)).sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    ...(use.modelCalls === use.calls && { model: [...use.models].sort() }),
    ...Object.fromEntries(numbers.map(([name, range]) => [name, boundsOf(name === cap, range)]))
  }
}

/** A cap has no lowest value: to ask for fewer tokens is always fine. */
const boundsOf = (
  isCap: boolean,
  { high, low, whole }: { readonly low: number; readonly high: number; readonly whole: boolean }
): Bounds => ({
  ...(whole && { type: "integer" as const }),
  ...(isCap ? { max: high } : { range: [low, high] as const })
})
