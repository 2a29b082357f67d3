/**
 * A second evaluator of the whole language, as naive as can be: it reads documents as they are written, meets and compiles
 * nothing ahead of time, matches with regular expressions, and reads conditions by cutting their text. Of `src` it takes
 * types only.
 */
import type { Json, JsonObject } from "../../src/base/Json.ts"
import type { Principal } from "../../src/call/Principal.ts"
import type { Document, Intent } from "../../src/policy/Mapl.ts"
import type { ScopedAttestation } from "../../src/policy/mapl/Attestation.ts"
import type { Bounds } from "../../src/policy/mapl/Bounds.ts"

/** A request, and who makes it of whom. */
export interface Asked {
  readonly resource: string
  readonly app: string
  readonly params: JsonObject
  readonly principal: Principal
  readonly intents: ReadonlyArray<Intent>
  readonly now: number
}

/** An edit: at `path`, one of `to`. Where several documents name the first allowed value, any of theirs will do. */
export interface Change {
  readonly path: string
  readonly to: ReadonlyArray<Json>
}

/** What the model may become: literals, and the constraint's own table with the targets that each name may have. */
export interface ModelChange {
  readonly literals: ReadonlyArray<string>
  readonly downgrade: Readonly<Record<string, ReadonlyArray<string>>>
}

export interface Outcome {
  readonly verdict: "allow" | "deny" | "pending"
  /** Codes of the violations that refuse. */
  readonly codes: ReadonlySet<string>
  readonly changes: ReadonlyArray<Change>
  readonly model: ModelChange | undefined
  /** The cap to inject. */
  readonly cap: number | undefined
}

/** A document that takes part, and what it extends, the nearest first. */
interface Participant {
  readonly document: Intent
  readonly parents: ReadonlyArray<Intent>
}

/** What is decided where these policies are configured; `undefined`: none are. */
export const oracle = (documents: ReadonlyArray<Document> | undefined, asked: Asked): Outcome => {
  const { app, intents, principal } = asked
  const byId = (id: string | undefined) => documents?.find(({ policy_id }) => policy_id === id)
  const parentsOf = (document: Intent): ReadonlyArray<Document> => {
    const parent = document.extends === undefined ? undefined : byId(document.extends)
    return parent === undefined ? [] : [parent, ...parentsOf(parent)]
  }
  const withParents = (id: string): ReadonlyArray<Intent> =>
    [byId(id)].flatMap((document) => (document === undefined ? [] : [document, ...parentsOf(document)]))

  if (intents.some((intent) => isLost(intent, byId) || Object.keys(intent).some((key) => !fields.includes(key))))
    return { verdict: "deny", codes: new Set(["policy_error"]), changes: [], model: undefined, cap: undefined }

  const restricting = intents.toReversed().flatMap((intent) => [intent, ...parentsOf(intent)])
  if (documents === undefined) {
    const own = { policy_id: `app:${app}`, resources: [`tool:${app}/**`] }
    return judge([...restricting, own].map(alone), [], asked)
  }
  const caller =
    principal.kind === "app"
      ? []
      : [`${principal.kind}:${principal.id}`, ...[...principal.documents].reverse()].flatMap(withParents)
  const service = withParents(`app:${app}`)
  const responsible = principal.kind === "user" ? caller : [...caller, ...service]
  const granted = [...caller, ...service].some(({ resources = [] }) => resources.length > 0)
  return judge(
    [...new Set([...restricting, ...caller, ...service])].map((document) => ({
      document,
      parents: parentsOf(document)
    })),
    responsible.length > 0 && granted ? [] : ["no_policy"],
    asked
  )
}

/** The fields of a document; another one would restrict nothing. */
const fields: ReadonlyArray<string> = [
  "$schema",
  "policy_id",
  "name",
  "version",
  "description",
  "scope",
  "purpose",
  "extends",
  "resources",
  "denied_resources",
  "constraints",
  "attestations",
  "validity",
  "on_violation"
]

const isLost = (intent: Intent, byId: (id: string) => unknown): boolean =>
  intent.extends !== undefined && byId(intent.extends) === undefined

/** What these documents decide, the most specific first. */
export const oracleAmong = (documents: ReadonlyArray<Intent>, asked: Asked): Outcome =>
  judge(documents.map(alone), [], asked)

const alone = (document: Intent): Participant => ({ document, parents: [] })

// ---------------------------------------------------------------------------------------------------------------------
// Patterns and values
// ---------------------------------------------------------------------------------------------------------------------

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")

const sources = new Map<string, RegExp>()

const matches = (source: string, text: string): boolean => {
  const regex = sources.get(source) ?? new RegExp(`^(?:${source})$`, "s")
  sources.set(source, regex)
  return regex.test(text)
}

const globs = new Map<string, string>()

/** A glob as a regular expression. */
const sourceOf = (glob: string, star: string): string => {
  const key = `${star} ${glob}`
  const source =
    globs.get(key) ??
    glob
      .split("**")
      .map((part) => part.split("*").map(escape).join(star))
      .join(".*")
  globs.set(key, source)
  return source
}

const matchesResource = (pattern: string, resource: string): boolean => {
  if (!pattern.includes("*")) return pattern === resource
  if (/^\*[^*]+\*$/.test(pattern)) return resource.includes(pattern.slice(1, -1))
  if (/^\*\.[^*/]+$/.test(pattern)) return resource.endsWith(pattern.slice(1))
  return matches(sourceOf(pattern, "[^/]*"), resource)
}

const isGlob = (value: Json): value is string => typeof value === "string" && value.includes("*")

const matchesGlob = (glob: string, text: string): boolean => matches(sourceOf(glob, ".*"), text)

const isArray = (value: Json | undefined): value is ReadonlyArray<Json> => Array.isArray(value)

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !isArray(value)

/** Equality of JSON values; the order of an object's keys is nothing. */
const equal = (a: Json, b: Json): boolean => {
  if (isArray(a) && isArray(b)) return a.length === b.length && a.every((each, index) => equal(each, b[index]!))
  if (!isObject(a) || !isObject(b)) return a === b
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key]!, b[key]!))
}

const isOne = (values: ReadonlyArray<Json>, value: Json): boolean =>
  values.some((one) => equal(one, value) || (isGlob(one) && typeof value === "string" && matchesGlob(one, value)))

/** An array of a call's parameter must have elements, and stands for no text; a registered tool's may be empty. */
const isAllowed = (list: ReadonlyArray<Json>, value: Json, isOfCall: boolean, isText: boolean): boolean =>
  isOne(list, value) ||
  (isArray(value) && !(isOfCall && (isText || value.length === 0)) && value.every((element) => isOne(list, element)))

/** Whether some value is on every list: the literals of all of them are tried, and what their globs' pieces make together. */
const isSatisfiable = (lists: ReadonlyArray<ReadonlyArray<Json>>): boolean => {
  const fits = (value: Json): boolean => lists.every((list) => isOne(list, value))
  if (lists.length === 0 || lists.flat().some((value) => !isGlob(value) && fits(value))) return true
  if (lists.some((list) => !list.some(isGlob))) return false
  const pieces = [...new Set(lists.flat().flatMap((value) => (isGlob(value) ? value.split("*") : [])))]
  return pieces.some((a) => pieces.some((b) => pieces.some((c) => fits(a + b + c))))
}

const isType = (value: Json, type: string): boolean => {
  if (type === "integer") return Number.isSafeInteger(value)
  if (type === "number") return Number.isFinite(value)
  if (type === "array") return isArray(value)
  if (type === "object") return isObject(value)
  return typeof value === type
}

// ---------------------------------------------------------------------------------------------------------------------
// Parameters
// ---------------------------------------------------------------------------------------------------------------------

const caps = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
const tools = ["tools[].function.name", "tools[].custom.name", "tools[].name", "functions[].name"]
const conversation = ["messages", "input"]
const common = [caps, tools, conversation]
/** Settings by their names in chat completions and responses; `[]?` is for elements that may have none. */
const settings = [
  ["reasoning_effort", "reasoning.effort", "input[]?.reasoning.effort", "instructions[]?.reasoning.effort"],
  ["reasoning.summary", "reasoning.generate_summary"],
  ["verbosity", "text.verbosity"],
  [
    "response_format.json_schema.name",
    "text.format.name",
    "input[]?.text.format.name",
    "instructions[]?.text.format.name"
  ],
  [
    "response_format.json_schema.description",
    "text.format.description",
    "input[]?.text.format.description",
    "instructions[]?.text.format.description"
  ],
  [
    "response_format.json_schema.schema",
    "text.format.schema",
    "input[]?.text.format.schema",
    "instructions[]?.text.format.schema"
  ],
  [
    "response_format.json_schema.strict",
    "text.format.strict",
    "input[]?.text.format.strict",
    "instructions[]?.text.format.strict"
  ],
  [
    "response_format.json_schema",
    "text.format.schema",
    "input[]?.text.format.schema",
    "instructions[]?.text.format.schema"
  ],
  ["response_format", "text.format", "input[]?.text.format", "instructions[]?.text.format"],
  ["user", "safety_identifier"]
]
const groupsOf = (resource: string): ReadonlyArray<ReadonlyArray<string>> =>
  isCall(resource, "generate", "complete", "embed") ? [...common, ...settings] : common

/** Every name of the thing that a policy calls `name`, in an order that does not depend on the one it chose. */
const namesOf = (name: string, resource: string): ReadonlyArray<string> => {
  for (const group of groupsOf(resource))
    for (const one of group)
      if (name === one || name.startsWith(`${one}.`) || name.startsWith(`${one}[`))
        return group === conversation && isCall(resource, "embed")
          ? [name]
          : group.map((other) => other + name.slice(one.length))
  return [name]
}

const isCall = (resource: string, ...operations: ReadonlyArray<string>): boolean =>
  resource.startsWith("tool:") && operations.some((operation) => resource.endsWith(`/${operation}`))

interface Place {
  readonly path: string
  readonly value: Json
}

interface Reached {
  readonly values: ReadonlyArray<Place>
  /** What only a denied value is looked for in, and whether something may bring values that cannot be seen. */
  readonly decoys?: ReadonlyArray<Place>
  readonly unread?: boolean
  /** Whether a tool is of a type that is not known: a list finds that it has no name, a denial must not pass it. */
  readonly strange?: boolean
  /** Whether an element of an array lacks the field, and whether something stands where another shape should. */
  readonly lacking: boolean
  readonly misshapen: boolean
}

const nothing: Reached = { values: [], lacking: false, misshapen: false }

const together = (all: ReadonlyArray<Reached>): Reached => ({
  values: all.flatMap(({ values }) => values),
  lacking: all.some(({ lacking }) => lacking),
  misshapen: all.some(({ misshapen }) => misshapen)
})

/** What a dotted path leads to, from `at`. */
const follow = (at: Place | undefined, path: string): Reached => {
  if (at === undefined || at.value === null) return nothing
  if (path === "") return { ...nothing, values: [at] }
  if (path.startsWith("[]"))
    return isArray(at.value)
      ? together(
          at.value.map((value, index) =>
            value === null
              ? { ...nothing, lacking: true }
              : follow({ path: `${at.path}[${index}]`, value }, path.slice(2))
          )
        )
      : { ...nothing, misshapen: true }
  if (!isObject(at.value)) return { ...nothing, misshapen: true }
  const [, key = "", rest = ""] = /^\.?([^.[]+)(.*)$/.exec(path) ?? []
  const value = Object.hasOwn(at.value, key) ? at.value[key] : undefined
  return follow(value === undefined ? undefined : { path: at.path === "" ? key : `${at.path}.${key}`, value }, rest)
}

const itemTypes = ["message", "function_call", "additional_tools", "tool_search_output", "configuration_update"]

/** The names of all tools of a model call, or, for `tools` as a whole, all lists of them as one. */
const readTools = (whole: boolean, params: JsonObject): Reached => {
  const lists: Array<Place> = []
  const elements: Array<Place> = []
  let [lacking, misshapen, strange, unread] = [false, false, false, params["prompt"] !== undefined]
  const visit = (path: string, value: Json | undefined): void => {
    if (value === undefined || value === null) return
    lists.push({ path, value })
    const inner = isArray(value) ? value : []
    misshapen ||= !isArray(value)
    for (const [index, element] of inner.entries()) {
      elements.push({ path: `${path}[${index}]`, value: element })
      const deeper = isObject(element) ? element["tools"] : undefined
      visit(`${path}[${index}].tools`, deeper)
      if (isArray(deeper)) lists.pop()
    }
  }
  visit("tools", params["tools"])
  visit("functions", params["functions"])
  for (const [path, items] of [
    ["input", params["input"]],
    ["messages", params["messages"]]
  ] as const) {
    if (isObject(items)) unread = true
    for (const [index, item] of (isArray(items) ? items : []).entries())
      if (isObject(item)) {
        unread ||= item["type"] !== undefined && !itemTypes.includes(String(item["type"]))
        visit(`${path}[${index}].tools`, item["tools"])
      }
  }
  for (const [path, choice] of [
    ["tool_choice", params["tool_choice"]],
    ["function_call", params["function_call"]]
  ] as const)
    if (isObject(choice)) elements.push({ path, value: choice })
    else if (choice !== undefined && !["auto", "none", "required"].includes(String(choice))) unread = true
  const search = params["web_search_options"]
  if (search !== undefined) {
    lists.push({ path: "web_search_options", value: [search] })
    elements.push({ path: "web_search_options", value: { type: "web_search" } })
  }
  unread ||= Object.keys(params).includes("plugins")
  if (whole) {
    const [first] = lists
    const all = lists.flatMap(({ value }) => (isArray(value) ? value : []))
    const joined = first === undefined ? [] : [{ path: first.path, value: all }]
    return { ...nothing, values: misshapen ? lists : joined, unread }
  }
  const values: Array<Place> = []
  const decoys: Array<Place> = []
  for (const { path, value } of elements) {
    const reached = together(["function.name", "custom.name", "name"].map((field) => follow({ path, value }, field)))
    const type = isObject(value) ? (value["type"] ?? "function") : "function"
    const isNamed = type === "function" || type === "custom"
    misshapen ||= reached.misshapen
    ;(isNamed ? values : decoys).push(...reached.values)
    strange ||= !["function", "custom", "namespace", "web_search"].includes(String(type)) && isObject(value)
    if (type === "namespace" && isObject(value) && isArray(value["tools"])) continue
    if ((!isNamed || reached.values.length === 0) && !reached.misshapen) lacking = true
  }
  return { values, decoys, lacking, misshapen, unread, strange }
}

/** What the names of one thing lead to; of an element of an array, one name has to lead somewhere. */
const readAll = (names: ReadonlyArray<string>, params: JsonObject, resource: string): Reached => {
  if (isCall(resource, "generate") && (names[0] === tools[0] || names[0] === "functions"))
    return readTools(names[0] === "functions", params)
  const root = { path: "", value: params }
  const split = names.map((name): readonly [string, string] => {
    const [, holder = "", field = name] = /^(.*\[\]\??)(.*)$/.exec(name) ?? []
    return [holder, field]
  })
  return together(
    [...new Set(split.map(([holder]) => holder))].map((holder) => {
      const fields = split.filter(([one]) => one === holder).map(([, field]) => field)
      if (holder === "") return together(fields.map((field) => follow(root, field)))
      if (holder.endsWith("?")) {
        const { misshapen, values } = follow(root, holder.slice(0, -1))
        return together([
          { ...nothing, misshapen: misshapen && isObject(follow(root, holder.slice(0, -3)).values[0]?.value) },
          ...values
            .filter(({ value }) => isObject(value))
            .flatMap((element) => fields.map((field) => follow(element, field)))
        ])
      }
      const elements = follow(root, holder)
      return together([
        { ...elements, values: [] },
        ...elements.values.map((element) => {
          const reached = together(fields.map((field) => follow(element, field)))
          return reached.values.length === 0 && !reached.misshapen ? { ...nothing, lacking: true } : reached
        })
      ])
    })
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// Texts besides the messages
// ---------------------------------------------------------------------------------------------------------------------

interface Text {
  readonly value: Json
  readonly isProse: boolean
}

/** Every string and where it stands, by the keys that lead there. */
const stringsIn = (
  value: Json | undefined,
  keys: ReadonlyArray<string>
): ReadonlyArray<readonly [string, ReadonlyArray<string>]> =>
  typeof value === "string"
    ? [[value, keys]]
    : isArray(value)
      ? value.flatMap((one) => stringsIn(one, keys))
      : isObject(value)
        ? Object.entries(value).flatMap(([key, one]) => stringsIn(one, [...keys, key]))
        : []

const objectsIn = (
  value: Json | undefined,
  keys: ReadonlyArray<string>
): ReadonlyArray<readonly [JsonObject, string]> =>
  isArray(value)
    ? value.flatMap((one) => objectsIn(one, keys))
    : isObject(value)
      ? [[value, keys.at(-1) ?? ""], ...Object.entries(value).flatMap(([key, one]) => objectsIn(one, [...keys, key]))]
      : []

const arraysIn = (value: Json | undefined): ReadonlyArray<ReadonlyArray<Json>> =>
  isArray(value) ? [value, ...value.flatMap(arraysIn)] : isObject(value) ? Object.values(value).flatMap(arraysIn) : []

const field = (value: Json | undefined, key: string): Json | undefined => (isObject(value) ? value[key] : undefined)

/** What a model reads besides messages, as the messages that it is like. */
const textsLike = (name: string, { params, resource }: Asked): ReadonlyArray<Text> => {
  const [, root, rest = ""] = /^(messages|input|prompt)(?:\[\])?((?:[.[].*)?)$/.exec(name) ?? []
  if (root === undefined || !isCall(resource, "generate", "complete")) return []
  const items = isArray(params["input"]) ? params["input"] : []
  const written = [
    ...["instructions", "prediction", "suffix"].flatMap((key) => stringsIn(params[key], [key])),
    ...stringsIn(field(params["prompt"], "variables"), [])
  ].filter(([, keys]) => !keys.some((key, at) => at > 0 && ["type", "role", "id"].includes(key)))
  const schemas = [
    ...["tools", "functions", "response_format"].map((key) => params[key]),
    field(params["text"], "format"),
    ...items.flatMap((item) => [field(item, "tools"), field(field(item, "text"), "format")])
  ]
  const words = [
    "$comment",
    "const",
    "default",
    "definition",
    "description",
    "enum",
    "examples",
    "server_description",
    "title"
  ]
  const named = schemas.flatMap((one) =>
    objectsIn(one, []).flatMap(([object, key]) =>
      ["properties", "patternProperties", "$defs", "definitions"].includes(key) ? Object.keys(object) : []
    )
  )
  const joined = [params["messages"], params["input"], params["prediction"]].flatMap(arraysIn).flatMap((parts) => {
    const texts = parts
      .map((part) => field(part, "text") ?? field(part, "refusal"))
      .filter((one) => typeof one === "string")
    return texts.length > 1 ? [texts.join("")] : []
  })
  const texts: ReadonlyArray<{ readonly text: string; readonly role?: string; readonly isProse: boolean }> = [
    ...written.map(([text, [key]]) => ({ text, isProse: true, ...(key === "instructions" && { role: "developer" }) })),
    ...schemas
      .flatMap((one) => stringsIn(one, []))
      .filter(([, keys]) => keys.at(-1) !== "type")
      .map(([text, keys]) => ({ text, isProse: words.includes(keys.at(-1) ?? "") })),
    ...[...named, ...joined].map((text) => ({ text, isProse: false }))
  ]
  return texts.flatMap(({ isProse, text, ...who }) =>
    rest === ""
      ? [{ value: text, isProse }]
      : [text, [{ text }]].flatMap((content) =>
          follow({ path: "", value: { ...who, content } }, rest).values.map(({ value }) => ({ value, isProse }))
        )
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// Conditions
// ---------------------------------------------------------------------------------------------------------------------

type Truth = boolean | "?"

/** Stands for what cannot be compared. */
const strange = Symbol("strange")
type Value = string | number | boolean | typeof strange | undefined

/** Cuts at a word that stands in no parentheses and in no quotes. */
const cut = (text: string, word: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let part = ""
  let depth = 0
  let quoted = false
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "'") quoted = !quoted
    if (!quoted && text[at] === "(") depth++
    if (!quoted && text[at] === ")") depth--
    if (!quoted && depth === 0 && text.startsWith(word, at)) {
      parts.push(part)
      part = ""
      at += word.length - 1
    } else part += text[at]
  }
  return [...parts, part]
}

const truthOf = (text: string, asked: Asked): Truth => {
  const any = cut(text, " OR ")
  if (any.length > 1) {
    const truths = any.map((part) => truthOf(part, asked))
    return truths.includes(true) || (truths.includes("?") && "?")
  }
  const all = cut(text, " AND ")
  if (all.length > 1) {
    const truths = all.map((part) => truthOf(part, asked))
    return truths.includes(false) ? false : truths.includes("?") ? "?" : true
  }
  if (text.startsWith("NOT ")) {
    const truth = truthOf(text.slice(4), asked)
    return truth === "?" ? "?" : !truth
  }
  if (text.startsWith("(")) return truthOf(text.slice(1, -1), asked)

  const { principal } = asked
  const [, asks, wanted = ""] = /^(\w+\.has_\w+)\('(.*)'\)$/.exec(text) ?? []
  if (asks === "principal.has_role") return principal.roles.includes(wanted)
  if (asks === "principal.has_group") return principal.groups.includes(wanted)
  if (asks === "context.has_attestation") return principal.attestations.includes(wanted)
  const [, listed, members = ""] = /^(\S+) IN \((.*)\)$/.exec(text) ?? []
  if (listed !== undefined)
    return truthOf(
      cut(members, ", ")
        .map((member) => `${listed} == ${member}`)
        .join(" OR "),
      asked
    )
  const [, matched, glob = ""] = /^(\S+) MATCHES '(.*)'$/.exec(text) ?? []
  if (matched !== undefined) {
    const value = valueOf(matched, asked)
    return value === strange ? "?" : typeof value === "string" && matchesGlob(glob, value)
  }
  const [, left = "", relation = "", right = ""] = /^(\S+) (==|!=|<=|>=|<|>) (\S+)$/.exec(text) ?? []
  const [a, b] = [valueOf(left, asked), valueOf(right, asked)]
  if (relation === "==" || relation === "!=") {
    if (a === undefined || b === undefined) return relation === "!="
    return a === strange || b === strange ? "?" : (a === b) === (relation === "==")
  }
  if (typeof a !== "number" || typeof b !== "number") return "?"
  return { "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b }[relation] ?? "?"
}

const valueOf = (text: string, { params, principal }: Asked): Value => {
  if (text.startsWith("'")) return text.slice(1, -1)
  if (text === "true" || text === "false") return text === "true"
  if (!/^[a-z]/.test(text)) return Number(text)
  const path = text.slice(text.indexOf(".") + 1)
  if (text.startsWith("principal."))
    return path === "id" || path === "kind" || path === "issuer" ? principal[path] : within(principal.claims, path)
  const { misshapen, values } = readAll(namesOf(path, "tool:x/generate"), params, "tool:x/generate")
  const [value, ...others] = new Set(values.map((one) => within({ "": one.value }, "")))
  return misshapen || others.length > 0 ? strange : value
}

const within = (holder: unknown, path: string): Value => {
  let value: unknown = holder
  for (const key of path.split(".")) {
    if (value === undefined || value === null) return undefined
    if (typeof value !== "object" || Array.isArray(value)) return strange
    value = new Map(Object.entries(value)).get(key)
  }
  if (value === undefined || value === null) return undefined
  if (typeof value === "number") return Number.isFinite(value) ? value : strange
  return typeof value === "string" || typeof value === "boolean" ? value : strange
}

// ---------------------------------------------------------------------------------------------------------------------
// The decision
// ---------------------------------------------------------------------------------------------------------------------

/** What one document asks of one parameter. */
interface Said {
  readonly names: ReadonlyArray<string>
  readonly bounds: Bounds
  readonly mode: "rewrite" | "deny" | undefined
  readonly rank: number
}

const judge = (participants: ReadonlyArray<Participant>, refusals: ReadonlyArray<string>, asked: Asked): Outcome => {
  const { now, params, principal, resource } = asked
  const codes = new Set<string>(refusals)
  const pending = new Set<string>()
  const changes: Array<Change> = []
  let model: ModelChange | undefined
  let injected: number | undefined
  const documents = participants.map(({ document }) => document)

  for (const { validity } of documents) {
    const day = (text: string): boolean => !text.includes("T")
    if (validity?.not_before !== undefined && now < Date.parse(validity.not_before)) codes.add("outside_validity")
    if (validity?.not_after !== undefined) {
      const last = Date.parse(validity.not_after) + (day(validity.not_after) ? 86_400_000 - 1 : 0)
      if (now > last) codes.add("outside_validity")
    }
  }

  for (const { denied_resources = [], resources = [] } of documents) {
    if (denied_resources.some((pattern) => matchesResource(pattern, resource))) codes.add("resource_denied")
    if (resources.length > 0 && !resources.some((pattern) => matchesResource(pattern, resource)))
      codes.add("resource_not_allowed")
  }

  const said: ReadonlyArray<Said> = documents.flatMap((document, rank) => {
    const {
      attestations: _a,
      denied_parameters: _d,
      output: _o,
      parameters = {},
      rate_limit: _r,
      ...direct
    } = document.constraints ?? {}
    return [...Object.entries(parameters), ...Object.entries(direct)]
      .filter(([pattern]) => matchesResource(pattern, resource))
      .flatMap(([, specs]) => Object.entries(specs ?? {}))
      .map(([name, spec]) => {
        const bounds: Bounds = Array.isArray(spec) ? { allowed_values: spec } : (spec as Bounds)
        return { names: namesOf(name, resource), bounds, mode: bounds.on_violation ?? document.on_violation, rank }
      })
  })

  const highsOf = (about: ReadonlyArray<Said>): ReadonlyArray<number> =>
    about.flatMap(({ bounds: { max, range } }) => [max, range?.[1]].filter((value) => value !== undefined))
  const lowsOf = (about: ReadonlyArray<Said>): ReadonlyArray<number> =>
    about.flatMap(({ bounds: { min, range } }) => [min, range?.[0]].filter((value) => value !== undefined))
  const highest = (limits: ReadonlyArray<number>): number => Math.max(...limits)
  const lowest = (limits: ReadonlyArray<number>): number => Math.min(...limits)
  /** One document that denies denies for all, whatever kind of bound it has itself. */
  const refuses = (about: ReadonlyArray<Said>): boolean => about.some(({ mode }) => mode === "deny")

  const isContradictory = (about: ReadonlyArray<Said>): boolean => {
    const bounds = about.map((one) => one.bounds)
    const crossed = (low: "min_length" | "min_items", high: "max_length" | "max_items"): boolean =>
      bounds.some((one) => bounds.some((other) => (one[low] ?? 0) > (other[high] ?? Infinity)))
    const types = new Set(
      bounds.flatMap(({ type }) => (type === undefined ? [] : [type === "integer" ? "number" : type]))
    )
    return (
      highest(lowsOf(about)) > lowest(highsOf(about)) ||
      crossed("min_length", "max_length") ||
      crossed("min_items", "max_items") ||
      types.size > 1 ||
      !isSatisfiable(bounds.flatMap(({ allowed_values: list }) => (list === undefined ? [] : [list])))
    )
  }

  const isModelCall = isCall(resource, "generate", "complete")
  /** Judges one parameter; whether anything is wrong with it that an edit may put right or not. */
  const judgeParameter = (
    names: ReadonlyArray<string>,
    about: ReadonlyArray<Said>,
    highs: ReadonlyArray<number>,
    lows: ReadonlyArray<number>
  ): { readonly given: boolean; readonly missing: boolean } => {
    const [high, low] = [lowest(highs), highest(lows)]
    const { lacking, misshapen, unread = false, values } = readAll(names, params, resource)
    if (misshapen) codes.add("wrong_type")
    if (
      unread &&
      about.some(({ bounds: { required: _r, on_violation: _o, type: _t, ...rest } }) => Object.keys(rest).length > 0)
    )
      codes.add("value_not_allowed")
    if (lacking)
      codes.add(about.some(({ bounds }) => bounds.allowed_values !== undefined) ? "value_not_allowed" : "required")
    const given = values.length > 0 || lacking || misshapen
    for (const { bounds } of about)
      for (const { isProse, value } of bounds.pattern === undefined ? [] : textsLike(names[0]!, asked))
        if (isProse && typeof value === "string" && !matches(bounds.pattern ?? "", value)) codes.add("pattern_mismatch")
    // A list of models asks for one of them.
    const isModelOfCall = names[0] === "model" && isCall(resource, "generate", "complete", "embed")
    const missing =
      !given && about.some(({ bounds }) => bounds.required ?? (isModelOfCall && bounds.allowed_values !== undefined))
    if (missing) codes.add("required")

    for (const { path, value } of values) {
      const isCapName = caps.includes(path)
      const isCap = isCapName && isModelCall && highs.length > 0
      for (const { bounds } of about) {
        const texts = [bounds.pattern, bounds.min_length, bounds.max_length].some((bound) => bound !== undefined)
        const lists = [bounds.min_items, bounds.max_items].some((bound) => bound !== undefined)
        if (
          (bounds.type !== undefined && !isType(value, bounds.type)) ||
          (texts && typeof value !== "string") ||
          (lists && !isArray(value))
        )
          codes.add("wrong_type")
        if (typeof value === "string") {
          if (bounds.pattern !== undefined && !matches(bounds.pattern, value)) codes.add("pattern_mismatch")
          if (value.length > (bounds.max_length ?? Infinity) || value.length < (bounds.min_length ?? 0))
            codes.add("length")
        }
        if (isArray(value) && (value.length > (bounds.max_items ?? Infinity) || value.length < (bounds.min_items ?? 0)))
          codes.add("items")
      }
      if (highs.length + lows.length > 0 && !isType(value, "number")) codes.add("wrong_type")

      const whole = isCapName || about.some(({ bounds }) => bounds.type === "integer")
      if (typeof value === "number" && Number.isFinite(value)) {
        if (value > high)
          if (refuses(about)) codes.add("above_maximum")
          else changes.push({ path, to: [whole ? Math.floor(high) : high] })
        // Some servers read such a cap as none.
        const isUnread = isCap && value <= high && (value < 1 || value !== Math.floor(value))
        if (isUnread)
          if (refuses(about)) codes.add(value < 1 ? "below_minimum" : "wrong_type")
          else changes.push({ path, to: [Math.floor(high)] })
        if (value < low)
          // Nobody is given more tokens than they asked for.
          if (refuses(about) || isCapName) codes.add("below_minimum")
          else changes.push({ path, to: [whole ? Math.ceil(low) : low] })
        if (isCapName && !isCap && highs.length > 0 && value < 0) codes.add("below_minimum")
      }

      const lists = about.flatMap(({ bounds: { allowed_values: list }, mode, rank }) =>
        list === undefined ? [] : [{ list, mode, rank }]
      )
      const isOfCall = isCall(resource, "generate", "complete", "embed")
      const isText = ["model", "tools[].function.name", "tools[].type", "tool_choice.function.name"].includes(names[0]!)
      const broken = lists.filter(({ list }) => !isAllowed(list, value, isOfCall, isText))
      if (broken.length === 0) continue
      const isModel = path === "model"
      const edits = !refuses(about) && broken.every(({ mode }) => isModel || mode === "rewrite")
      const fits = (literal: Json): boolean =>
        !isGlob(literal) &&
        lists.every(({ list }) => isOne(list, literal)) &&
        broken.every(({ list }) => list.some((one) => equal(one, literal)))
      const offers = lists.flatMap(({ list, rank }) => {
        const to = list.find(fits)
        return to === undefined ? [] : [{ to, rank }]
      })
      if (!edits || offers.length === 0 || isArray(value) || (isModel && typeof value !== "string"))
        codes.add("value_not_allowed")
      else if (isModel)
        model = {
          literals: [...new Set(lists.flatMap(({ list }) => list.filter(fits)).map(String))].sort(),
          downgrade: downgrades(about)
        }
      else {
        const nearest = Math.min(...offers.map(({ rank }) => rank))
        changes.push({ path, to: offers.filter(({ rank }) => rank === nearest).map(({ to }) => to) })
      }
    }
    return { given, missing }
  }

  const parameters = new Map<string, ReadonlyArray<Said>>()
  for (const one of said) parameters.set(one.names[0]!, [...(parameters.get(one.names[0]!) ?? []), one])
  for (const [name, about] of parameters)
    if (isContradictory(about)) {
      codes.add("unsatisfiable")
      parameters.delete(name)
    }
  for (const [name, about] of parameters)
    if (!isModelCall || (name !== "max_tokens" && name !== "total_tokens"))
      judgeParameter(about[0]!.names, about, highsOf(about), lowsOf(about))

  if (isModelCall) {
    let totals = parameters.get("total_tokens") ?? []
    let answers = 1
    for (const name of ["n", "best_of"]) {
      const count = params[name] ?? 1
      if (totals.length > 0 && !(isType(count, "integer") && Number(count) >= 1)) {
        codes.add("wrong_type")
        totals = []
      } else answers = Math.max(answers, Number(count))
    }
    const about = [...(parameters.get("max_tokens") ?? []), ...totals.map((one) => ({ ...one, names: caps }))]
    const own = parameters.get("max_tokens") ?? []
    const highs = [...highsOf(own), ...highsOf(totals).map((value) => Math.floor(value / answers))]
    const lows = [...lowsOf(own), ...lowsOf(totals).map((value) => Math.ceil(value / answers))]
    const high = lowest(highs)
    if (about.length > 0)
      if (high < 1 || (highs.length > 0 && highest(lows) > high)) codes.add("above_maximum")
      else {
        const { given, missing } = judgeParameter(caps, about, highs, lows)
        if (!given && !missing && highs.length > 0) injected = Math.floor(high)
      }
  }

  if (isCall(resource, "generate", "complete", "embed"))
    for (const rank of documents.keys()) {
      const own = said.filter((one) => one.rank === rank)
      const lists = own.some(({ bounds, names }) => names[0] === "model" && bounds.allowed_values !== undefined)
      for (const member of ["models", "fallbacks", "api_base", "route", "provider"])
        if (lists && (params[member] ?? null) !== null && !own.some(({ names }) => names[0] === member))
          codes.add("value_not_allowed")
    }

  for (const { constraints } of documents)
    for (const [pattern, denied] of Object.entries(constraints?.denied_parameters ?? {}))
      if (matchesResource(pattern, resource))
        for (const [named, values] of Object.entries(denied).flatMap(([name, values]) =>
          [
            name,
            ...(namesOf(name, resource).length > 1 ? [] : groupsOf(resource))
              .filter((group) => group.some((one) => one.startsWith(`${name}.`)))
              .map(([first = ""]) => first)
          ].map((one) => [one, values] as const)
        )) {
          const {
            decoys = [],
            misshapen,
            strange,
            unread,
            values: found
          } = readAll(namesOf(named, resource), params, resource)
          const isDenied = (value: Json): boolean =>
            values.includes("*") ||
            isOne(values, value) ||
            (typeof value === "object" && value !== null && Object.values<Json>(value).some(isDenied))
          if (misshapen) codes.add("wrong_type")
          if (unread === true || strange === true || [...found, ...decoys].some(({ value }) => isDenied(value)))
            codes.add("value_denied")
          if (!values.includes("*") && textsLike(named, asked).some(({ value }) => isDenied(value)))
            codes.add("value_denied")
        }

  for (const { document, parents } of participants) {
    const { attestations = [] } = document
    const needs: ReadonlyArray<string | ScopedAttestation> = Array.isArray(attestations)
      ? attestations
      : Object.entries(attestations).flatMap(([need, needed]) => (needed ? [need] : []))
    for (const need of needs) {
      const [, written = need, stated] = typeof need === "string" ? (/^(.*?)::\{(.*)\}$/.exec(need) ?? []) : []
      const {
        key,
        resources = ["**"],
        when: condition
      }: ScopedAttestation = typeof written === "string"
        ? { key: written, ...(stated !== undefined && { when: stated }) }
        : written
      if (!resources.some((pattern) => matchesResource(pattern, resource))) continue
      if (condition !== undefined && truthOf(condition, asked) === false) continue
      if (principal.attestations.includes(key)) continue
      const approver = [document, ...parents].find(
        ({ constraints }) => constraints?.attestations?.[key]?.approval_criteria !== undefined
      )
      if (approver === undefined) codes.add("attestation_missing")
      else pending.add("approval_pending")
    }
  }

  const nothingChanges = { changes: [], model: undefined, cap: undefined }
  if (codes.size > 0) return { verdict: "deny", codes, ...nothingChanges }
  if (pending.size > 0) return { verdict: "pending", codes: pending, ...nothingChanges }
  return { verdict: "allow", codes, changes, model, cap: injected }
}

/** The tables of all documents as one; where several name a model, the most specific document's target holds. */
const downgrades = (about: ReadonlyArray<Said>): Readonly<Record<string, ReadonlyArray<string>>> => {
  const entries = about.flatMap(({ bounds: { downgrade = {} }, rank }) =>
    Object.entries(downgrade).map(([from, to]) => ({ from, to, rank }))
  )
  return Object.fromEntries(
    entries.map(({ from }) => {
      const about = entries.filter((entry) => entry.from === from)
      const nearest = Math.min(...about.map(({ rank }) => rank))
      return [from, about.filter(({ rank }) => rank === nearest).map(({ to }) => to)]
    })
  )
}
