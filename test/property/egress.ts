/**
 * Random calls through a secure client, from a seed: odd params, options and paths, changed while they are awaited, by clients
 * of different rights, over a wire that fails at random. Whatever happens, what arrives is what was decided and committed, as
 * policy lets it, and the log has it.
 */
import * as Crypto from "node:crypto"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"
import type { OpenAI } from "openai"
import { type Committed, Pipeline, SecureOpenAI, Workspace } from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { Random } from "../policy/random.ts"

// ---------------------------------------------------------------------------------------------------------------------
// The wire
// ---------------------------------------------------------------------------------------------------------------------

interface Arrival {
  readonly method: string
  readonly url: string
  /** The host that a header names. */
  readonly host: string
  readonly body: string | undefined
}

/** Where requests arrive, and how the next ones are answered: by a status each, then 200; 0 cuts the connection. */
export interface Wire {
  readonly baseURL: string
  readonly fetch?: typeof globalThis.fetch
  readonly arrivals: Array<Arrival>
  readonly faults: Array<number>
  readonly close: () => Promise<void>
}

const answerTo = ({ body = "" }: Arrival): { readonly type: string; readonly text: string } =>
  /"stream": ?true/.test(body)
    ? {
        type: "text/event-stream",
        text: `data: {"id":"s","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`
      }
    : {
        type: "application/json",
        text: '{"id":"a","object":"list","choices":[{"index":0,"message":{"role":"assistant","content":"x"}}],"data":[],"output":[]}'
      }

/** A wire in this process: as much as a thousandth of a socket's price. */
export const memoryWire = (): Wire => {
  const wire: Wire = {
    baseURL: "http://wire.test/v1",
    arrivals: [],
    faults: [],
    close: async () => {},
    fetch: async (input, init = {}) => {
      const arrival = {
        method: init.method ?? "GET",
        url: String(input),
        host: new Headers(init.headers).get("host") ?? new URL(String(input)).host,
        body: typeof init.body === "string" ? init.body : init.body === undefined ? undefined : "[no text]"
      }
      wire.arrivals.push(arrival)
      const fault = wire.faults.shift()
      if (fault === 0) throw new TypeError("fetch failed")
      if (fault !== undefined)
        return new Response('{"error":{"message":"told to"}}', { status: fault, headers: { "retry-after-ms": "0" } })
      const { text, type } = answerTo(arrival)
      return new Response(text, { headers: { "content-type": type } })
    }
  }
  return wire
}

/** A wire that is a socket on the loopback. */
export const socketWire = async (): Promise<Wire> => {
  const arrivals: Array<Arrival> = []
  const faults: Array<number> = []
  const server = Http.createServer(async (request, response) => {
    const parts: Array<Buffer> = []
    for await (const part of request) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString("utf8")
    const arrival = {
      method: request.method ?? "",
      url: `http://127.0.0.1:${request.socket.localPort}${request.url}`,
      host: request.headers.host ?? "",
      body: text === "" ? undefined : text
    }
    arrivals.push(arrival)
    const fault = faults.shift()
    if (fault === 0) return request.socket.destroy()
    const answer = answerTo(arrival)
    response.writeHead(fault ?? 200, { "content-type": answer.type, "retry-after-ms": "0" })
    response.end(answer.text)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    arrivals,
    faults,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Calls
// ---------------------------------------------------------------------------------------------------------------------

/** What may be odd about a call; shrinking leaves out one after the other. */
export const oddities = [
  "values",
  "extras",
  "path",
  "options",
  "clone",
  "text",
  "changes",
  "faults",
  "retries",
  "stream"
] as const
export type Oddity = (typeof oddities)[number]

const models = ["gpt-4o-mini", "gpt-5-pro", "GPT-4O-MINI", "gpt-4o-mini ", "ft:gpt-4o-mini:a::b", "", "gpt-4о-mini"]
const texts = ["Hello", "é\u2028😀", "\ud83d", '"\\/', "</script>\u0000", "\u202eabc", "__proto__", "4000", ""]
const paths = {
  generate: [
    "/chat/completions",
    "//chat//completions/",
    "/CHAT/completions",
    "/chat%2fcompletions",
    "/x/..%2fchat/completions",
    "/chat/completions?x=/models",
    "/chat/completions;a=b"
  ],
  respond: ["/responses", "/responses?beta=true", "/Responses/", "/respons%65s"],
  complete: ["/completions", "/completions/", "/%63ompletions"],
  embed: ["/embeddings", "/embeddings#x"],
  family: [
    "/models",
    "/images/generations",
    "/realtime/sessions",
    "/chat/completions/x",
    "/files/..%2frealtime",
    "/../admin",
    "http://elsewhere.test/v1/chat/completions"
  ]
}
type Kind = keyof typeof paths

const value = (random: Random, depth = 0): unknown => {
  const kind = random.next()
  if (kind < 0.2) return random.pick(texts)
  if (kind < 0.4)
    return random.pick([0, -0, 1, 1.5, 1e21, 2 ** 53, -7, 100, 500, 501, 9000, Number.NaN, Infinity, 1e-7])
  if (kind < 0.5) return random.pick([true, false, null, undefined])
  if (kind < 0.56)
    return random.pick([() => 1, new Date(0), new String("x"), new Number(9000), Symbol("x"), new Map(), /x/])
  if (kind < 0.6) return { toJSON: () => random.pick([1, "x", null, { a: 1 }]) }
  if (depth > 3) return "deep"
  if (kind < 0.78) return Array.from({ length: Math.floor(random.next() * 4) }, () => value(random, depth + 1))
  return Object.fromEntries(
    random
      .some(["10", "9", "z", "a", "__proto__", "constructor", "toString", "max_tokens", "model", "é"])
      .map((key) => [key, value(random, depth + 1)])
  )
}

const caps = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
const extras = [
  "temperature",
  "n",
  "stop",
  "user",
  "metadata",
  "logit_bias",
  "tools",
  "extra_body",
  "seed",
  "store",
  "10",
  "2"
]

const paramsOf = (
  random: Random,
  of: (part: Oddity) => Random,
  kind: Kind,
  has: (oddity: Oddity) => boolean
): Record<string, unknown> => {
  const members: Array<[string, unknown]> = [["model", random.chance(0.6) ? "gpt-4o-mini" : random.pick(models)]]
  const content = of("values").pick(has("values") ? texts : ["Hello"])
  if (kind === "complete") members.push(["prompt", content])
  else if (kind === "generate" || kind === "family") members.push(["messages", [{ role: "user", content }]])
  else members.push(["input", content])
  for (const cap of random.some(caps, 0.3)) members.push([cap, random.pick([1, 100, 500, 501, 9000, null])])
  if (has("extras")) for (const name of of("extras").some(extras, 0.2)) members.push([name, value(of("extras"))])
  if (has("values") && of("values").chance(0.15))
    members.push([of("values").pick(["model", "max_tokens"]), value(of("values"))])
  if (has("stream") && of("stream").chance(0.15) && kind !== "embed" && kind !== "family")
    members.push(["stream", true])
  return Object.fromEntries(of("stream").shuffled(members))
}

/** A call as it will be made: the same for the same seed and oddities. */
interface Made {
  readonly who: string
  readonly kind: Kind
  readonly options: Record<string, unknown>
  readonly clone: ReadonlyArray<object>
  readonly changes: ReadonlyArray<() => void>
  readonly faults: ReadonlyArray<number>
}

const make = (seed: number, has: (oddity: Oddity) => boolean): Made => {
  const random = new Random(seed)
  // Each oddity has a source of its own: without one, the others stay what they are.
  const parts = new Map(oddities.map((oddity, index) => [oddity, new Random(seed * 16 + index + 1)]))
  const of = (part: Oddity): Random => parts.get(part) ?? random
  const who = random.pick(["service", "alice", "alice", "alice", "bob"])
  const kind = random.pick<Kind>(["generate", "generate", "generate", "respond", "complete", "embed", "family"])
  const params = paramsOf(random, of, kind, has)
  const asText = has("text") && of("text").chance(0.15)
  const plain = (() => {
    try {
      return JSON.stringify(params)
    } catch {
      return "{}"
    }
  })()
  const body = asText
    ? of("text").pick([
        plain,
        ` ${plain}\n`,
        plain.replace("{", '{"model":"x",'),
        plain.replace("}", ',"__proto__":{}}'),
        `[${plain}]`,
        plain.replaceAll("model", "mod\\u0065l")
      ])
    : params
  const options: Record<string, unknown> = {
    method: kind === "family" && random.chance(0.5) ? "get" : "post",
    path: has("path") ? of("path").pick(paths[kind]) : paths[kind][0],
    ...(asText && { headers: { "content-type": "application/json" } }),
    ...(params["stream"] === true && { stream: true }),
    maxRetries: has("retries") ? of("retries").pick([0, 1, 2]) : 0
  }
  if (options["method"] === "post") options["body"] = body
  if (has("options"))
    for (const [name, odd] of of("options").some<[string, unknown]>(
      [
        ["query", { a: "1" }],
        ["idempotencyKey", "k"],
        ["timeout", 5000],
        [
          "fetchOptions",
          { body: JSON.stringify({ model: "gpt-5-pro", max_tokens: 9000, messages: [] }), redirect: "follow" }
        ],
        ["fetchOptions", { method: of("options").pick(["PUT", "POST", "post", "DELETE"]) }],
        [
          "headers",
          { "content-type": of("options").pick(["application/json", "text/plain", "application/json; charset=utf-7"]) }
        ],
        ["headers", { "x-http-method-override": "PUT" }],
        ["headers", { host: "elsewhere.test" }],
        ["stream", of("options").chance(0.5)],
        ["__binaryResponse", true],
        ["defaultBaseURL", "http://elsewhere.test/v1"]
      ],
      0.03
    ))
      options[name] = odd
  const changes =
    has("changes") && of("changes").chance(0.3)
      ? Array.from({ length: 1 + Math.floor(of("changes").next() * 6) }, () => {
          const name = of("changes").pick(["model", "max_tokens", "messages", "stream"])
          const to = of("changes").pick<unknown>(["gpt-5-pro", 9000, [], true, { toJSON: () => "gpt-5-pro" }])
          const path = of("changes").pick([...paths.generate, ...paths.family])
          const which = of("changes").next()
          return () => {
            if (which < 0.6) params[name] = to
            else if (which < 0.75) options["path"] = path
            else if (which < 0.9) options["body"] = { model: "gpt-5-pro", messages: [], max_tokens: 9000 }
            else options["method"] = "put"
          }
        })
      : []
  const clone = has("clone")
    ? of("clone").some<object>(
        who === "service"
          ? [{}, { timeout: 4000 }, { defaultHeaders: { "x-a": "1" } }, { defaultQuery: { q: "1" } }]
          : [{}, { timeout: 4000 }, { defaultHeaders: { traceparent: "1" } }, { defaultQuery: { "api-version": "1" } }],
        0.1
      )
    : []
  const faults =
    has("faults") && of("faults").chance(0.3)
      ? Array.from({ length: 1 + Math.floor(of("faults").next() * 3) }, () =>
          of("faults").pick([500, 503, 0, 400, 429])
        )
      : []
  return { who, kind, options, clone, changes, faults }
}

// ---------------------------------------------------------------------------------------------------------------------
// Worlds
// ---------------------------------------------------------------------------------------------------------------------

const bounds = { "tool:fuzz/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 500 } } }
const policies = [
  { policy_id: "app:fuzz", resources: ["tool:fuzz/**"] },
  { policy_id: "user:alice", resources: ["tool:fuzz/**"], constraints: { parameters: bounds } },
  { policy_id: "user:bob", on_violation: "deny", resources: ["tool:fuzz/**"], constraints: { parameters: bounds } }
]

interface World {
  readonly wire: Wire
  readonly workspace: Workspace
  readonly clients: ReadonlyMap<string, OpenAI>
  /** What the pipeline let go, in order. */
  readonly committed: Array<Committed>
  readonly close: () => Promise<void>
}

/** Tries again at once: how long to wait is no part of the rule. */
class Hasty extends SecureOpenAI {}
Object.assign(Hasty.prototype, { calculateDefaultRetryTimeoutMillis: () => 0 })

const openWorld = async (wire: Wire): Promise<World> => {
  const committed: Array<Committed> = []
  const workspace = new Workspace({ audit: "memory", issuers: testIssuer, policies: policies as never })
  const layer = Pipeline.layerFrom(
    (s) => (call) =>
      s.identity.resolve(call).pipe(
        Effect.flatMap(s.signing.sign),
        Effect.flatMap(s.policy.evaluate),
        Effect.flatMap(s.rewriting.apply),
        Effect.flatMap(s.audit.commit),
        Effect.tap((permit) => Effect.sync(() => committed.push(permit))),
        Effect.flatMap(s.invocation.invoke)
      )
  )
  const service = new Hasty({
    appName: "fuzz",
    apiKey: "k",
    baseURL: wire.baseURL,
    workspace,
    layer,
    logLevel: "off",
    ...(wire.fetch !== undefined && { fetch: wire.fetch })
  })
  await service.ready()
  const [alice, bob] = [
    await service.asUser(mintToken({ sub: "alice" })),
    await service.asUser(mintToken({ sub: "bob" }))
  ]
  return {
    wire,
    workspace,
    committed,
    clients: new Map<string, OpenAI>([
      ["service", service],
      ["alice", alice],
      ["bob", bob]
    ]),
    close: async () => {
      await service.close({ force: true })
      await workspace.close()
    }
  }
}

/** What is known of how often things happened. */
export type Tally = Map<string, number>

/** Makes one call; the sentence says what is wrong with what happened, if anything is. */
const call = async (
  world: World,
  seed: number,
  has: (oddity: Oddity) => boolean,
  tally: Tally
): Promise<string | undefined> => {
  const { arrivals, faults } = world.wire
  arrivals.length = 0
  world.committed.length = 0
  faults.length = 0
  const made = make(seed, has)
  faults.push(...made.faults)
  const client = made.clone.reduce<OpenAI>((one, options) => one.withOptions(options), world.clients.get(made.who)!)
  let answer: unknown
  let error: unknown
  try {
    const pending = client.request(made.options as never)
    pending.catch(() => {})
    for (const change of made.changes) {
      change()
      await Promise.resolve()
    }
    answer = await pending
    if (typeof answer === "object" && answer !== null && Symbol.asyncIterator in answer)
      await Array.fromAsync(answer as AsyncIterable<unknown>)
  } catch (caught) {
    error = caught
  }
  const count = (what: string): void => void tally.set(what, (tally.get(what) ?? 0) + 1)
  count(world.committed.length === 0 ? (arrivals.length === 0 ? "nothing" : "passed") : "sent")
  if (world.committed.length > 1) count("decided again")
  if (arrivals.length > 1) count("retried")
  if (error !== undefined) count("failed")
  return wrong(world, made, answer) ?? edited(world, count)
}

const edited = ({ committed }: World, count: (what: string) => void): undefined => {
  if (committed.some((permit) => permit.from.edits.length > 0)) count("edited")
  return undefined
}

const protectedPath = /(chat\/completions|completions|embeddings|responses)$/

const wrong = (world: World, made: Made, answer: unknown): string | undefined => {
  const { arrivals } = world.wire
  let at = -1
  for (const { body, host, method, url } of arrivals) {
    const { origin, pathname } = new URL(url)
    const endpoint = `${method} ${origin}${pathname}`
    const found = world.committed.findIndex(
      (permit, i) => i >= at && permit.bytes === body && permit.endpoint === endpoint
    )
    if (found === -1) {
      const plain = decodeURIComponent(pathname)
        .replaceAll(/\/+/g, "/")
        .replace(/;.*$|\/$/, "")
        .toLowerCase()
      if (method !== "GET" && protectedPath.test(plain)) return `${endpoint} arrived undecided: ${body}`
      if (world.committed.length > 0 && made.kind !== "family" && made.changes.length === 0)
        return `${endpoint} arrived beside what was committed`
    } else at = found
    if (made.who !== "service" && (!url.startsWith(`${world.wire.baseURL}/`) || host === "elsewhere.test"))
      return `a user's request left home: ${url}`
    if (found !== -1 && made.who !== "service") {
      const broken = bound(world.committed[found]!, body ?? "")
      if (broken !== undefined) return broken
    }
  }
  if (world.committed.some((permit, i) => i > 0 && permit.call.parent === undefined))
    return "a second decision without a parent"
  const receipt = SecureOpenAI.receipt(answer)
  const last = arrivals.at(-1)
  if (receipt !== undefined && last !== undefined) {
    const salt = Buffer.from(receipt.salts["effective"] ?? "", "base64url")
    const content = Crypto.createHash("sha256")
      .update(last.body ?? "")
      .digest()
    const digest = Crypto.createHash("sha256").update(salt).update(content).digest("base64url")
    if (receipt.effective !== `sha-256:${digest}`) return "the receipt is of other bytes than arrived"
  }
  return undefined
}

/** What a user's chat may hold at most, read with nothing of the library's. */
const bound = ({ call: { operation } }: Committed, body: string): string | undefined => {
  if (operation !== "generate") return undefined
  const sent = JSON.parse(body) as Record<string, unknown>
  const given = caps.map((name) => sent[name]).filter((cap) => cap !== null && cap !== undefined)
  // A list is allowed where every element is.
  if ([sent["model"] ?? []].flat().some((model) => model !== "gpt-4o-mini"))
    return `the model ${String(sent["model"])} arrived`
  if (given.length === 0) return "no cap arrived"
  return given.every((cap) => typeof cap === "number" && cap <= 500) ? undefined : `the cap ${String(given)} arrived`
}

/** How many calls share a world, and so a log. */
const callsPerWorld = 500

/**
 * Makes the calls with these seeds; throws where one breaks the rule, with the fewest oddities that still do, and how to make it
 * again.
 */
export const fuzz = async (
  fromSeed: number,
  toSeed: number,
  wireOf: () => Wire | Promise<Wire>,
  tally: Tally
): Promise<void> => {
  const wire = await wireOf()
  try {
    for (let first = fromSeed; first < toSeed; first += callsPerWorld) {
      const world = await openWorld(wire)
      let decided = 0
      let arrived = 0
      for (let seed = first; seed < Math.min(first + callsPerWorld, toSeed); seed++) {
        const fault = await call(world, seed, () => true, tally)
        if (fault !== undefined) throw await shrunk(seed, fault, wireOf)
        decided += world.committed.length
        arrived += wire.arrivals.length
      }
      const fault = await logged(world, decided, arrived)
      if (fault !== undefined) throw new Error(`seeds ${first} to ${first + callsPerWorld - 1}: ${fault}`)
      await world.close()
    }
  } finally {
    await wire.close()
  }
}

/** What the log owes: a decision for every commit, an end for every beginning, and as many attempts as arrived. */
const logged = async (world: World, decided: number, arrived: number): Promise<string | undefined> => {
  const records = await world.workspace.records()
  const opened = records.filter(({ kind }) => kind === "decision" || kind === "passthrough")
  const ended = records.filter(({ kind }) => kind === "outcome")
  const decisions = opened.filter(({ kind }) => kind === "decision")
  if (decisions.length !== decided) return `${decisions.length} decisions in the log of ${decided}`
  const ends = new Set(ended.map((record) => record["call"]))
  const open = opened.filter((record) => !ends.has(record["call"]))
  if (open.length > 0) return `${open.length} calls have no end: ${JSON.stringify(open[0])}`
  if (ends.size !== ended.length) return "a call has two ends"
  const attempts = ended.reduce((sum, record) => sum + Number(record["attempts"]), 0)
  return attempts < arrived ? `the log tells of ${attempts} attempts, and ${arrived} arrived` : undefined
}

const shrunk = async (seed: number, fault: string, wireOf: () => Wire | Promise<Wire>): Promise<Error> => {
  let left: ReadonlyArray<Oddity> = oddities
  let said = fault
  for (const oddity of oddities) {
    const fewer = left.filter((one) => one !== oddity)
    const again = await once(seed, fewer, wireOf)
    if (again !== undefined) [left, said] = [fewer, again]
  }
  const { changes, clone, faults, kind, options, who } = make(seed, (oddity) => left.includes(oddity))
  const told = JSON.stringify({ who, kind, options, clone, changes: changes.length, faults })
  return new Error(
    `seed ${seed}: ${said}\nwith ${left.join(", ") || "nothing odd"}: ${told}\nagain: once(${seed}, ${JSON.stringify(left)}, memoryWire)`
  )
}

/** One call by itself, with these oddities only; the sentence says what is wrong, if anything is. */
export const once = async (
  seed: number,
  left: ReadonlyArray<Oddity>,
  wireOf: () => Wire | Promise<Wire>
): Promise<string | undefined> => {
  const wire = await wireOf()
  const world = await openWorld(wire)
  try {
    return await call(world, seed, (oddity) => left.includes(oddity), new Map())
  } finally {
    await world.close()
    await wire.close()
  }
}
