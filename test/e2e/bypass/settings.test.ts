/** Settings that chat completions and responses spell differently: policy names one spelling, and all are bounded. */
import { describe, expect, it } from "vitest"
import { through } from "./Face.ts"
import { arrives, asked, attempt, type Case, messages, refused, type RequestCase, useLab } from "./lab.ts"

const lab = useLab()

const generate = "tool:lab/generate"
const own = (name: string, more: object) => ({ policy_id: `user:${name}`, resources: ["tool:lab/**"], ...more })
const schema = { type: "object", properties: {} }
const documents = [
  { policy_id: "app:lab", resources: ["tool:lab/**"] },
  // As a chat completion spells them, edited.
  own("alice", {
    on_violation: "rewrite",
    constraints: {
      parameters: {
        [generate]: {
          reasoning_effort: ["low"],
          verbosity: ["low"],
          "response_format.type": ["text"],
          user: ["alice"]
        }
      }
    }
  }),
  // As a response spells them, refused.
  own("bob", {
    constraints: {
      parameters: {
        [generate]: {
          "reasoning.effort": ["low"],
          "text.verbosity": ["low"],
          "text.format.name": ["invoice"],
          safety_identifier: ["bob"]
        }
      }
    }
  }),
  own("carol", {
    constraints: {
      denied_parameters: { [generate]: { reasoning: ["high"], text: ["*"], "response_format.json_schema": ["*"] } }
    }
  })
]

const chat = (body: object): RequestCase => ({ body: { model: "gpt-5", messages, ...body } })
const response = (body: object): RequestCase => ({ path: "/responses", body: { model: "gpt-5", input: "x", ...body } })
const isChat = { model: "gpt-5", messages }
const isResponse = { model: "gpt-5", input: "x" }
const update = (body: object) => ({
  input: [
    { role: "user", content: "x" },
    { type: "configuration_update", ...body }
  ]
})

describe("a setting in either spelling", () => {
  const edited: ReadonlyArray<Case> = [
    ["effort of a chat", chat({ reasoning_effort: "high" }), arrives({ ...isChat, reasoning_effort: "low" })],
    [
      "effort of a response",
      response({ reasoning: { effort: "high", summary: "auto" } }),
      arrives({ ...isResponse, reasoning: { effort: "low", summary: "auto" } })
    ],
    [
      "effort of a chat as a response spells it",
      chat({ reasoning: { effort: "high" } }),
      arrives({ ...isChat, reasoning: { effort: "low" } })
    ],
    [
      "effort in an item that changes it",
      response(update({ reasoning: { effort: "max" } })),
      arrives({ ...isResponse, ...update({ reasoning: { effort: "low" } }) })
    ],
    [
      "effort in an item of instructions",
      response({ instructions: update({ reasoning: { effort: "max" } }).input }),
      arrives({ ...isResponse, instructions: update({ reasoning: { effort: "low" } }).input })
    ],
    ["verbosity of a chat", chat({ verbosity: "high" }), arrives({ ...isChat, verbosity: "low" })],
    [
      "verbosity and format of a response",
      response({ text: { verbosity: "high", format: { type: "json_object" } } }),
      arrives({ ...isResponse, text: { verbosity: "low", format: { type: "text" } } })
    ],
    ["user", chat({ user: "bob" }), arrives({ ...isChat, user: "alice" })],
    ["user by its new name", chat({ safety_identifier: "bob" }), arrives({ ...isChat, safety_identifier: "alice" })],
    [
      "what is allowed",
      response({ reasoning: { effort: "low" }, text: { verbosity: "low", format: { type: "text" } }, user: "alice" }),
      arrives({
        ...isResponse,
        reasoning: { effort: "low" },
        text: { verbosity: "low", format: { type: "text" } },
        user: "alice"
      })
    ]
  ]
  it.each(edited)("%s, for alice, whose policy edits", (_name, tried, expectation) =>
    through(tried, async (send) => {
      const l = lab(documents)
      expectation(await attempt(l, await l.as("alice"), send))
    })
  )

  const schemaOf = (name: string) => ({ type: "json_schema", json_schema: { name, schema } })
  const formatOf = (name: string) => ({ type: "json_schema", name, schema })
  const kept: ReadonlyArray<Case> = [
    ["effort of a chat", chat({ reasoning_effort: "high" }), refused("value_not_allowed")],
    ["verbosity of a chat", chat({ verbosity: "high" }), refused("value_not_allowed")],
    ["user of a chat", chat({ user: "alice" }), refused("value_not_allowed")],
    ["a schema's name in a chat", chat({ response_format: schemaOf("x") }), refused("value_not_allowed")],
    ["a schema's name in a response", response({ text: { format: formatOf("x") } }), refused("value_not_allowed")],
    [
      "a schema's name in an item that changes it",
      response(update({ text: { format: formatOf("x") } })),
      refused("value_not_allowed")
    ],
    [
      "a schema's name in an item of instructions",
      response({ instructions: update({ text: { format: formatOf("x") } }).input }),
      refused("value_not_allowed")
    ],
    [
      "an allowed name in a chat",
      chat({ response_format: schemaOf("invoice") }),
      arrives({ ...isChat, response_format: schemaOf("invoice") })
    ]
  ]
  it.each(kept)("%s, for bob, whose policy refuses", (_name, tried, expectation) =>
    through(tried, async (send) => {
      const l = lab(documents)
      expectation(await attempt(l, await l.as("bob"), send))
    })
  )

  const denied: ReadonlyArray<Case> = [
    ["reasoning: a chat's effort", chat({ reasoning_effort: "high" }), refused("value_denied")],
    ["text: a chat's verbosity", chat({ verbosity: "low" }), refused("value_denied")],
    ["text: a chat's format", chat({ response_format: { type: "text" } }), refused("value_denied")],
    ["a schema: a response's", response({ text: { format: formatOf("x") } }), refused("value_denied")],
    ["nothing else", chat({ reasoning_effort: "low" }), arrives({ ...isChat, reasoning_effort: "low" })]
  ]
  it.each(denied)("denied with %s, for carol", (_name, tried, expectation) =>
    through(tried, async (send) => {
      const l = lab(documents)
      expectation(await attempt(l, await l.as("carol"), send))
    })
  )
})

it("a request without any of them is as before", async () => {
  const l = lab(documents)
  const seen = await attempt(l, await l.as("bob"), (c) => c.chat.completions.create(asked))
  arrives(asked)(seen)
  expect(seen.error).toBeUndefined()
})
