/** Requests as data, sent through each face: what a server may read otherwise than policy does is refused, whoever asks. */
import { describe, expect, it } from "vitest"
import { type Face, faces } from "./Face.ts"
import {
  arrives,
  asked,
  attempt,
  type Expectation,
  messages,
  policies,
  refused,
  type RequestCase,
  useLab
} from "./lab.ts"

const lab = useLab()

/** Who sends a request: a user whose policy edits, one whose policy refuses, the service under its own documents. */
type Who = "alice" | "bob" | "the service"
type Case = readonly [name: string, request: RequestCase, expectation: Expectation, who?: ReadonlyArray<Who>]
const everyone: ReadonlyArray<Who> = ["alice", "bob", "the service"]

const run = (cases: ReadonlyArray<Case>, documents: ReadonlyArray<object> = policies, only?: ReadonlyArray<Face>) => {
  for (const face of only ?? faces)
    for (const [name, request, expectation, who = everyone] of cases)
      it.each(who)(`${name}, through ${face.name}, for %s`, async (person) => {
        const l = lab(documents)
        const client = person === "the service" ? l.service : await l.as(person)
        expectation(await attempt(l, client, face.send(request)))
      })
}
const clientOnly = faces.filter(({ name }) => name === "the client")

describe("a query that names a parameter", () => {
  run([
    ["model", { query: { model: "gpt-5-pro" }, body: asked }, refused("foreign_query")],
    ["model, in the path", { path: "/chat/completions?model=gpt-5-pro", body: asked }, refused("foreign_query")],
    ["what looks like a family", { path: "/chat/completions?x=/models", body: asked }, refused("foreign_query")],
    ["an encoded name", { path: "/chat/completions?mod%65l=gpt-5-pro", body: asked }, refused("foreign_query")],
    ["a list", { query: { "messages[]": "x" }, body: asked }, refused("foreign_query")],
    ["beside the version", { query: { "api-version": "1", n: "9" }, body: asked }, refused("foreign_query")],
    [
      "a version that hides it",
      { query: { "api-version": "1;model=gpt-5-pro" }, body: asked },
      refused("foreign_query")
    ],
    ["a version twice", { path: "/chat/completions?api-version[]=1", body: asked }, refused("foreign_query")],
    ["the version alone", { query: { "api-version": "2024-10-21" }, body: asked }, arrives(asked)],
    ["beta, of another operation", { path: "/chat/completions?beta=true", body: asked }, refused("foreign_query")],
    [
      "beta, of responses",
      { path: "/responses?beta=true", body: { model: "gpt-4o-mini", input: "x", max_output_tokens: 5 } },
      arrives({ model: "gpt-4o-mini", input: "x", max_output_tokens: 5 })
    ],
    [
      "beta with another value",
      { path: "/responses?beta=no", body: { model: "gpt-4o-mini", input: "x", max_output_tokens: 5 } },
      refused("foreign_query")
    ]
  ])
})

/** What arrives goes to another path than it was asked for. */
const arrivesAt =
  (path: string, body: object): Expectation =>
  (seen) => {
    arrives(body)(seen)
    expect(seen.hits[0]?.path).toBe(path)
  }
/** What arrives has a header as it was set. */
const arrivesWith =
  (name: string, value: string): Expectation =>
  (seen) => {
    arrives(asked)(seen)
    expect(seen.hits[0]?.headers[name.toLowerCase()]).toBe(value)
  }

describe("a path that names a model", () => {
  const over = { model: "gpt-4o-mini", messages, max_tokens: 100 }
  const service: ReadonlyArray<Who> = ["the service"]
  run([
    [
      "an engine that policy refuses",
      { path: "/engines/gpt-5-pro/chat/completions", body: { messages, max_tokens: 100 } },
      refused("value_not_allowed"),
      ["bob"]
    ],
    [
      "an engine that is not the body's model",
      { path: "/engines/gpt-5-pro/chat/completions", body: over },
      refused("invalid_body")
    ],
    [
      "an engine that is put right, in the path too",
      { path: "/engines/gpt-5-pro/chat/completions", body: { messages, max_tokens: 9000 } },
      arrivesAt("/engines/gpt-4o-mini/chat/completions", { messages, max_tokens: 500, model: "gpt-4o-mini" }),
      ["alice"]
    ],
    [
      "an engine of another case",
      { path: "/Engines/gpt-5-pro/chat/completions", body: over },
      refused("unknown_deployment")
    ],
    ["an encoded engine", { path: "/engines%2fgpt-5-pro/chat/completions", body: over }, refused("unknown_deployment")],
    [
      "two engines",
      { path: "/engines/gpt-4o-mini/engines/gpt-5-pro/chat/completions", body: over },
      refused("unknown_deployment")
    ],
    [
      "an engine and a deployment",
      { path: "/engines/gpt-4o-mini/deployments/x/chat/completions", body: over },
      refused("unknown_deployment")
    ],
    ["the engine that is allowed", { path: "/engines/gpt-4o-mini/chat/completions", body: over }, arrives(over)],
    [
      "an engine of text completions",
      { path: "/engines/davinci/completions", body: { prompt: "x", max_tokens: 1 } },
      arrives({ prompt: "x", max_tokens: 1 }),
      service
    ]
  ])
})

describe("a key that is a parameter's to some servers", () => {
  const K = "\u212a"
  const S = "\u017f"
  const users: ReadonlyArray<Who> = ["alice", "bob", "the service"]
  const body = (more: object): RequestCase => ({ body: { ...asked, ...more } })
  const fails: ReadonlyArray<readonly [string, object]> = [
    ["model in another case", { Model: "gpt-5-pro" }],
    ["a cap in capitals", { MAX_TOKENS: 9000 }],
    ["a cap with a Kelvin sign", { [`max_to${K}ens`]: 9000 }],
    ["messages with long s", { [`me${S}${S}ages`]: [] }],
    ["a member by which gateways choose", { Fallbacks: ["gpt-5-pro"] }],
    ["a tool's function", { tools: [{ type: "function", Function: { name: "rm" } }] }],
    ["a tool's name", { tools: [{ type: "function", function: { Name: "rm", name: "get_weather" } }] }],
    ["a role", { messages: [{ Role: "system", role: "user", content: "x" }] }],
    ["a content part", { messages: [{ role: "user", content: [{ type: "text", text: "a", Text: "b" }] }] }],
    ["reasoning effort", { reasoning: { Effort: "high" } }],
    ["a format", { text: { format: { type: "text", TYPE: "json_schema" } } }],
    ["a response format", { response_format: { Type: "json_object" } }],
    ["stream options", { stream_options: { Include_Usage: true } }],
    ["a tool of a choice", { tool_choice: { type: "allowed_tools", allowed_tools: { tools: [{ Name: "rm" }] } } }],
    ["two unknown keys", { x_flag: 1, X_flag: 2 }],
    ["two unknown keys beyond ASCII", { é: 1, É: 2 }]
  ]
  run(fails.map(([name, more]): Case => [name, body(more), refused("invalid_body"), users]))
  run([["standing alone", { body: { Model: "gpt-5-pro", messages } }, refused("invalid_body"), users]])
  const passes: ReadonlyArray<readonly [string, object]> = [
    ["an unknown key", { x_flag: 1, Extra_Body: {} }],
    ["metadata", { metadata: { Model: "a", model: "b" } }],
    [
      "a schema",
      { tools: [{ type: "function", function: { name: "f", parameters: { properties: { Model: {}, model: {} } } } }] }
    ],
    [
      "a response schema",
      {
        response_format: { type: "json_schema", json_schema: { name: "x", schema: { Type: "object", type: "object" } } }
      }
    ],
    ["a bias", { logit_bias: { Model: 1 } }],
    ["variables of a prompt", { prompt: { id: "p", variables: { Model: "x", MODEL: "y" } } }],
    ["a text", { messages: [{ role: "user", content: "Model MODEL" }] }]
  ]
  run(passes.map(([name, more]): Case => [name, body(more), arrives({ ...asked, ...more }), users]))
})

describe("a header that chooses an account, a host or a route", () => {
  const users: ReadonlyArray<Who> = ["alice", "bob"]
  const names = [
    "authorization",
    "api-key",
    "openai-organization",
    "OpenAI-Project",
    "x-model",
    "x-config",
    "x-target-url",
    "cookie",
    "x-forwarded-host",
    "x-stainless-route",
    "X-Stainless-Helper-Method-2"
  ]
  run(
    names.map((name): Case => [name, { headers: { [name]: "mine" }, body: asked }, refused("foreign_header"), users]),
    policies,
    clientOnly
  )
  run(
    names.map((name): Case => [
      `${name}, of a family`,
      { method: "GET", path: "/models", headers: { [name]: "mine" } },
      refused("foreign_header"),
      users
    ]),
    policies,
    clientOnly
  )
  run(
    ["traceparent", "tracestate", "baggage", "x-client-request-id", "idempotency-key", "OpenAI-Beta", "accept"].map(
      (name): Case => [name, { headers: { [name]: "mine" }, body: asked }, arrivesWith(name, "mine")]
    )
  )
})
