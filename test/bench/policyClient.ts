/** One engine with one file of policies, in a process of its own. Prints what was {@link Measured} as JSON. */
import { preparsePolicySet, statefulIsAuthorized } from "@cedar-policy/cedar-wasm/nodejs"
import { type Enforcer, newEnforcer, newModelFromString, StringAdapter } from "casbin"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import type { Principal } from "../../src/call/Principal.ts"
import { decide, judge, verdictOf } from "../../src/policy/Evaluate.ts"
import type { Document } from "../../src/policy/Mapl.ts"
import { makeFind } from "../../src/policy/Participants.ts"
import { load } from "../../src/policy/PolicySource.ts"
import { requests, resource, service } from "./policyDocuments.ts"

/** Decisions a second of processor time, milliseconds to load by the clock and the processor, bytes a document. */
export interface Measured {
  readonly warm: { readonly explained: number; readonly verdict: number }
  readonly cold?: { readonly explained: number; readonly verdict: number }
  readonly load: { readonly clock: number; readonly processor: number }
  readonly text: number
  readonly memory: number
}

const [engine = "", path = "", usersText] = process.argv.slice(2)
const users = Number(usersText)
/** How long a rate is measured, in milliseconds. */
const duration = 1000

const memory = (): number => {
  globalThis.gc?.()
  globalThis.gc?.()
  const { external, heapUsed } = process.memoryUsage()
  return external + heapUsed
}

/** Milliseconds of processor time that the process has had, its helper threads included. */
const processor = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

/** Decisions a second, over `decisions` of them, or as many as fit into the time. */
const rate = async (decide: (index: number) => unknown, decisions = Infinity): Promise<number> => {
  const step = engine === "secure-openai" ? 500 : 1
  const start = processor()
  const end = performance.now() + duration
  let done = 0
  while (done < decisions && performance.now() < end)
    for (const next = done + step; done < next;) {
      const answer = decide(done++)
      if (answer instanceof Promise) await answer
    }
  return (done / (processor() - start)) * 1000
}

const timed = async <A>(load: () => A | Promise<A>): Promise<readonly [A, Measured["load"]]> => {
  const [clock, used] = [performance.now(), processor()]
  const loaded = await load()
  return [loaded, { clock: performance.now() - clock, processor: processor() - used }]
}

const secureOpenAI = async (): Promise<Measured> => {
  const before = memory()
  const [set, took] = await timed(() => Result.getOrThrow(load(path)))
  const { size } = Fs.statSync(path)
  const held = memory() - before - size

  // One document is the one that the tokens of all callers name.
  const isShared = users === 1
  const user = (index: number): Principal => ({
    kind: "user",
    id: isShared ? `c${index}` : `u${index}`,
    roles: [],
    groups: [],
    documents: isShared ? ["user:u0"] : [],
    attestations: [],
    claims: {}
  })
  const find = makeFind(set)
  const now = Date.now()
  const asked = (principal: Principal, index: number) =>
    [
      find({ principal, app: service, intents: [] }).rules(resource),
      { params: requests[index % requests.length]!, principal, now }
    ] as const
  const explained = (principal: Principal, index: number) => decide(...asked(principal, index), set.revision)
  const verdict = (principal: Principal, index: number) => verdictOf(judge(...asked(principal, index)))

  // A stride that is prime to the number of users visits every one of them once before it comes back.
  const callers = Array.from({ length: isShared ? 1000 : Math.min(users, 1000) }, (_, index) =>
    user(isShared ? index : (index * 7919) % users)
  )
  const atWork = (index: number): Principal => callers[index % callers.length]!
  const verdicts = Array.from({ length: 9000 }, (_, index) => explained(atWork(index), index).verdict)
  if (verdicts.filter((each) => each === "deny").length !== 3000) throw new Error("not a third is refused")
  await rate((index) => explained(atWork(index), index))
  await rate((index) => verdict(atWork(index), index))
  const warm = {
    explained: await rate((index) => explained(atWork(index), index)),
    verdict: await rate((index) => verdict(atWork(index), index))
  }
  const result = { warm, load: took, text: size / set.count, memory: held / set.count }
  const left = users - callers.length
  if (left < 1000) return result
  let next = callers.length
  const first = (): Principal => user((next++ * 7919) % users)
  await rate((index) => explained(first(), index), Math.min(left / 10, 20_000))
  return {
    ...result,
    cold: {
      explained: await rate((index) => explained(first(), index), left / 4),
      verdict: await rate((index) => verdict(first(), index), left / 4)
    }
  }
}

/** The bounds of a document, in the form that the peers' rules take. */
const boundsOf = ({ constraints }: Document) => {
  const specs = Object.values(constraints?.parameters ?? {})[0] ?? {}
  const max = (name: string): number | undefined => {
    const spec = specs[name]
    return spec !== undefined && "max" in spec ? spec.max : undefined
  }
  return {
    models: Array.isArray(specs["model"]) ? specs["model"] : undefined,
    tokens: max("max_tokens"),
    heat: max("temperature")
  }
}

const documents = (): ReadonlyArray<Document> => JSON.parse(Fs.readFileSync(path, "utf8"))

const numeric = (value: unknown): number => (typeof value === "number" ? value : 1_000_000_000)

const loadCasbin = async (): Promise<Enforcer> => {
  const lines: Array<string> = []
  for (const document of documents()) {
    const { heat = 1_000_000_000, models, tokens = 1_000_000_000 } = boundsOf(document)
    lines.push(`p, ${document.policy_id}, tool:*, ${models?.join("|") ?? "any"}, ${tokens}, ${heat}, deny`)
    if (document.extends !== undefined) lines.push(`g, ${document.policy_id}, ${document.extends}`)
  }
  const model = newModelFromString(`
[request_definition]
r = sub, obj, model, tokens, heat
[policy_definition]
p = sub, obj, models, tokens, heat, eft
[role_definition]
g = _, _
[policy_effect]
e = !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && (r.tokens > p.tokens || r.heat > p.heat || !listed(r.model, p.models))
`)
  const enforcer = await newEnforcer(model, new StringAdapter(lines.join("\n")))
  await enforcer.addFunction(
    "listed",
    (name: string, names: string) => names === "any" || names.split("|").includes(name)
  )
  return enforcer
}

const casbin = async (): Promise<Measured> => {
  const [enforcer, took] = await timed(loadCasbin)
  const asked = (index: number) => {
    const { max_tokens, model, temperature } = requests[index % requests.length]!
    return [`user:u${(index * 7919) % users}`, resource, model, numeric(max_tokens), temperature]
  }
  const answers = [0, 1, 2].map((index) => enforcer.enforce(...asked(index)))
  if ((await Promise.all(answers)).join() !== "true,false,false") throw new Error("casbin decides otherwise")
  const warm = {
    explained: await rate((index) => enforcer.enforceEx(...asked(index))),
    verdict: await rate((index) => enforcer.enforce(...asked(index)))
  }
  return { warm, load: took, text: 0, memory: 0 }
}

/** Gives who extends whom. */
const loadCedar = (): ReadonlyMap<string, string | undefined> => {
  const all = documents()
  const parents = new Map(all.map((document) => [document.policy_id, document.extends]))
  const policies: Record<string, string> = { grant: "permit(principal, action, resource);" }
  for (const document of all) {
    const { heat, models, tokens } = boundsOf(document)
    const broken = [
      ...(tokens === undefined ? [] : [`context.tokens > ${tokens}`]),
      // Cedar has no fractions that an operator compares.
      ...(heat === undefined ? [] : [`context.heat > ${Math.round(heat * 1000)}`]),
      ...(models === undefined ? [] : [`!${JSON.stringify(models)}.contains(context.model)`])
    ]
    if (broken.length > 0)
      policies[document.policy_id] =
        `forbid(principal in Doc::${JSON.stringify(document.policy_id)}, action, resource) when { ${broken.join(" || ")} };`
  }
  const parsed = preparsePolicySet("bench", { staticPolicies: policies })
  if (parsed.type !== "success") throw new Error(JSON.stringify(parsed))
  return parents
}

const cedar = async (): Promise<Measured> => {
  const [parents, took] = await timed(loadCedar)
  const uid = (id: string) => ({ type: "Doc", id })
  const decision = (index: number): string => {
    const { max_tokens, model, temperature } = requests[index % requests.length]!
    const principal = `user:u${(index * 7919) % users}`
    const entities = []
    for (let id: string | undefined = principal; id !== undefined; id = parents.get(id)) {
      const parent = parents.get(id)
      entities.push({ uid: uid(id), attrs: {}, parents: parent === undefined ? [] : [uid(parent)] })
    }
    const answer = statefulIsAuthorized({
      preparsedPolicySetId: "bench",
      principal: uid(principal),
      action: { type: "Action", id: "generate" },
      resource: { type: "Tool", id: resource },
      context: { tokens: numeric(max_tokens), model: String(model), heat: Math.round(numeric(temperature) * 1000) },
      entities
    })
    if (answer.type !== "success") throw new Error(JSON.stringify(answer))
    return answer.response.decision
  }
  if ([0, 1, 2].map(decision).join() !== "allow,deny,deny") throw new Error("Cedar decides otherwise")
  // Its answer names the policies that decided, whether they are asked for or not.
  const explained = await rate(decision)
  return { warm: { explained, verdict: explained }, load: took, text: 0, memory: 0 }
}

const engines: Readonly<Record<string, () => Promise<Measured>>> = { "secure-openai": secureOpenAI, casbin, cedar }
console.log(JSON.stringify(await engines[engine]?.()))
