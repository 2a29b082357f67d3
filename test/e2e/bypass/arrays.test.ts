/** An array where the API takes one text, and an empty one where it takes several, name nothing that a list allows. */
import { describe, it } from "vitest"
import { through } from "./Face.ts"
import { asked, attempt, policies, refused, type RequestCase, useLab } from "./lab.ts"

const lab = useLab()
const chat = (body: object): RequestCase => ({ body: { ...asked, ...body } })
const fn = (name: unknown) => ({ type: "function", function: { name, parameters: {} } })

const bob = (parameters: object) => [
  ...policies.filter(({ policy_id }) => policy_id !== "user:bob"),
  {
    policy_id: "user:bob",
    on_violation: "deny",
    resources: ["tool:lab/**"],
    constraints: { parameters: { "tool:lab/*": parameters } }
  }
]

describe("a list", () => {
  it.each<[string, object, RequestCase]>([
    ["of models, no model", { model: ["gpt-4o-mini"] }, chat({ model: [] })],
    ["of models, an allowed one in an array", { model: ["gpt-4o-mini"] }, chat({ model: ["gpt-4o-mini"] })],
    [
      "of models, none in a response",
      { model: ["gpt-4o-mini"] },
      { path: "/responses", body: { model: [], input: "x" } }
    ],
    ["of models, none in embeddings", { model: ["m"] }, { path: "/embeddings", body: { model: [], input: "x" } }],
    ["that is required, no value", { verbosity: { allowed_values: ["low"], required: true } }, chat({ verbosity: [] })],
    ["of efforts, none", { reasoning_effort: ["low"] }, chat({ reasoning_effort: [] })],
    ["of tools, no name", { "tools[].function.name": ["get_weather"] }, chat({ tools: [fn([])] })],
    [
      "of tools, a name in an array",
      { "tools[].function.name": ["get_weather"] },
      chat({ tools: [fn(["get_weather"])] })
    ],
    [
      "of tools, a choice of none",
      { "tools[].function.name": ["get_weather"] },
      chat({ tools: [fn("get_weather")], tool_choice: { type: "function", function: { name: [] } } })
    ]
  ])("%s", (_name, parameters, request) =>
    through(request, async (send) => {
      const l = lab(bob(parameters))
      refused("value_not_allowed")(await attempt(l, await l.as("bob"), send))
    })
  )
})

describe("a path with a model before its endpoint", () => {
  it.each([
    "/models/gpt-4o/chat/completions",
    "/models/openai/gpt-4o/v1/chat/completions",
    "/publishers/x/models/gpt-4o/chat/completions"
  ])("%s", (path) =>
    through({ path, body: asked }, async (send) => {
      const l = lab()
      refused("foreign_url")(await attempt(l, await l.as("bob"), send))
    })
  )
})
