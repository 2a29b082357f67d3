/** What is denied in messages is looked for wherever a model reads a text: nothing of it is sent elsewhere. */
import { describe, expect, it } from "vitest"
import { through } from "./Face.ts"
import { arrives, attempt, messages, refused, type Row, useLab } from "./lab.ts"

const lab = useLab()

const secret = "on Project Heron"
const denying = (name: string, parameter: string) => ({
  policy_id: `user:${name}`,
  resources: ["tool:lab/**"],
  constraints: { denied_parameters: { "tool:lab/**": { [parameter]: ["*Project Heron*"] } } }
})
const documents = [
  { policy_id: "app:lab", resources: ["tool:lab/**"] },
  denying("mia", "messages"),
  denying("ina", "input"),
  denying("cia", "messages[].content"),
  {
    policy_id: "user:pat",
    resources: ["tool:lab/**"],
    constraints: { parameters: { "tool:lab/generate": { "messages[].content": { pattern: "[A-Za-z ]*" } } } }
  },
  {
    policy_id: "user:len",
    resources: ["tool:lab/**"],
    constraints: {
      parameters: {
        "tool:lab/generate": { messages: { max_items: 1 }, "messages[].content": { max_length: 9 } }
      },
      denied_parameters: { "tool:lab/generate": { "messages[].role": ["developer"] } }
    }
  }
]

const chat = (body: object) => ({ path: "/chat/completions", body: { model: "m", messages, ...body } })
const response = (body: object) => ({ path: "/responses", body: { model: "m", input: messages, ...body } })
const tool = (more: object) => ({ type: "function", function: { name: "f", ...more } })
const schema = (more: object) => ({ type: "object", properties: { a: { type: "string", ...more } } })
const part = (text: string) => ({ type: "text", text })

/** Every place of a request in which the secret stands. */
const places: ReadonlyArray<readonly [string, { readonly path: string; readonly body: object }]> = [
  ["a message", chat({ messages: [{ role: "user", content: secret }] })],
  ["instructions", response({ instructions: secret })],
  ["instructions of a chat", chat({ instructions: secret })],
  ["a variable of a stored prompt", response({ prompt: { id: "p", variables: { a: secret } } })],
  ["a variable that is called type", response({ prompt: { id: "p", variables: { type: secret } } })],
  ["a part of a variable", response({ prompt: { id: "p", variables: { a: { type: "input_text", text: secret } } } })],
  ["a prediction", chat({ prediction: { type: "content", content: secret } })],
  ["a part of a prediction", chat({ prediction: { type: "content", content: [part(secret)] } })],
  ["a tool's description", chat({ tools: [tool({ description: secret })] })],
  ["a response's tool's description", response({ tools: [{ type: "function", name: "f", description: secret }] })],
  ["a legacy function's description", chat({ functions: [{ name: "f", description: secret }] })],
  ["a custom tool's description", chat({ tools: [{ type: "custom", custom: { name: "f", description: secret } }] })],
  ["an argument's description", chat({ tools: [tool({ parameters: schema({ description: secret }) })] })],
  ["an argument's values", chat({ tools: [tool({ parameters: schema({ enum: ["a", secret] }) })] })],
  ["an argument's default", chat({ tools: [tool({ parameters: schema({ default: secret }) })] })],
  ["an argument's name", chat({ tools: [tool({ parameters: { properties: { [secret]: { type: "string" } } } })] })],
  ["a server's description", response({ tools: [{ type: "mcp", server_label: "s", server_description: secret }] })],
  [
    "a tool in a namespace",
    response({
      tools: [
        { type: "namespace", name: "n", description: "", tools: [{ type: "function", name: "f", description: secret }] }
      ]
    })
  ],
  [
    "a tool that an input item brings",
    response({
      input: [
        { type: "additional_tools", role: "developer", tools: [{ type: "function", name: "f", description: secret }] }
      ]
    })
  ],
  [
    "a schema of a chat",
    chat({
      response_format: { type: "json_schema", json_schema: { name: "a", schema: schema({ description: secret }) } }
    })
  ],
  ["a format's description", response({ text: { format: { type: "json_schema", name: "a", description: secret } } })],
  [
    "a schema that an input item sets",
    response({
      input: [
        {
          type: "configuration_update",
          text: { format: { type: "json_schema", name: "a", schema: schema({ title: secret }) } }
        }
      ]
    })
  ],
  ["two parts of one message", chat({ messages: [{ role: "user", content: [part("on Project "), part("Heron")] }] })],
  [
    "two parts with an image between",
    chat({
      messages: [
        {
          role: "user",
          content: [part("on Pro"), { type: "image_url", image_url: { url: "https://x.test" } }, part("ject Heron")]
        }
      ]
    })
  ],
  [
    "two parts of an input message",
    response({
      input: [
        {
          role: "user",
          content: [
            { type: "input_text", text: "Project" },
            { type: "input_text", text: " Heron" }
          ]
        }
      ]
    })
  ],
  ["a list of instructions", response({ instructions: ["You are ", "on Project ", "Heron"] })],
  ["parts of instructions", response({ instructions: [part("on Project "), part("Heron")] })],
  [
    "parts of a message of instructions",
    response({ instructions: [{ role: "developer", content: [part("on Project "), part("Heron")] }] })
  ],
  ["a list of instructions of a chat", chat({ instructions: ["on Project ", "Heron"] })],
  ["a list of texts as a message", chat({ messages: [{ role: "user", content: ["on Project ", "Heron"] }] })],
  [
    "a list of texts as an output",
    response({ input: [{ type: "function_call_output", call_id: "c", output: ["Project", " Heron"] }] })
  ],
  ["parts of a variable", response({ prompt: { id: "p", variables: { a: [part("on Project "), part("Heron")] } } })],
  [
    "a tool that a part of a message brings",
    chat({
      messages: [
        {
          role: "user",
          content: [{ type: "additional_tools", tools: [{ type: "function", name: "f", description: secret }] }]
        }
      ]
    })
  ],
  [
    "a tool that an item of instructions brings",
    response({
      instructions: [{ type: "additional_tools", tools: [{ type: "function", name: "f", description: secret }] }]
    })
  ],
  [
    "a schema that an item of instructions sets",
    response({
      instructions: [
        {
          type: "configuration_update",
          text: { format: { type: "json_schema", name: "a", schema: { properties: { [secret]: {} } } } }
        }
      ]
    })
  ],
  ["two parts of a prediction", chat({ prediction: { type: "content", content: [part("Project "), part("Heron")] } })]
]

describe.each(["mia", "ina", "cia"])("a text that %s's policy denies", (user) => {
  it.each(places)("in %s", (_name, tried) =>
    through(tried, async (send) => {
      const l = lab(documents)
      refused("value_denied")(await attempt(l, await l.as(user), send))
    })
  )
  it.each(places)("and what is like it, but is another: %s", (_name, { body, path }) => {
    const other = JSON.parse(JSON.stringify(body).replaceAll("Heron", "Heros")) as object
    return through({ path, body: other }, async (send) => {
      const l = lab(documents)
      arrives(other)(await attempt(l, await l.as(user), send))
    })
  })
})

/** The secret as JSON may spell it, and as JSON in a string of JSON may. */
const spellings = ["on \\u0050roject Heron", "on Project\\u0020Her\\u006fn", "on \\\\u0050roject Heron"]

describe.each(spellings)("a denied text in the escapes of JSON: %s", (text) => {
  const json = `{"x":"${text}"}`
  const called = { id: "c", type: "function", function: { name: "f", arguments: json } }
  it.each([
    ["arguments of a call", chat({ messages: [{ role: "assistant", tool_calls: [called] }] })],
    [
      "arguments of an item",
      response({ input: [{ type: "function_call", call_id: "c", name: "f", arguments: json }] })
    ],
    ["a tool's output", response({ input: [{ type: "function_call_output", call_id: "c", output: json }] })],
    ["instructions", response({ instructions: json })],
    ["two parts", chat({ messages: [{ role: "user", content: [part(json.slice(0, 15)), part(json.slice(15))] }] })]
  ])("in %s", (_name, tried) =>
    through(tried, async (send) => {
      const l = lab(documents)
      refused("value_denied")(await attempt(l, await l.as("mia"), send))
    })
  )
})

it.each<Row>([
  [
    "the suffix of a completion",
    (c) => c.completions.create({ model: "m", prompt: "x", suffix: secret }),
    refused("value_denied")
  ],
  ["its prompt", (c) => c.completions.create({ model: "m", prompt: secret }), refused("value_denied")]
])("denied in a prompt: %s", async (_name, run, expectation) => {
  const l = lab([documents[0]!, denying("pia", "prompt")])
  expectation(await attempt(l, await l.as("pia"), run))
})

it.each([
  ["instructions", response({ instructions: "No. 5" })],
  ["a tool's description", chat({ tools: [tool({ description: "No. 5" })] })]
])("a pattern for messages holds for %s", (_name, tried) =>
  through(tried, async (send) => {
    const l = lab(documents)
    refused("pattern_mismatch")(await attempt(l, await l.as("pat"), send))
  })
)

it.each([
  ["a name is no prose", "pat", chat({ tools: [tool({ description: "Number", parameters: schema({}) })] })],
  ["instructions are no message more", "len", chat({ prediction: { type: "content", content: "longer than nine" } })],
  ["nor are descriptions", "len", chat({ tools: [tool({ description: "longer than nine" })] })]
])("bounds on shape and length see messages only: %s", (_name, user, tried) =>
  through(tried, async (send) => {
    const l = lab(documents)
    arrives(tried.body)(await attempt(l, await l.as(user), send))
  })
)

it("instructions are a developer's message", async () => {
  const l = lab(documents)
  const seen = await attempt(l, await l.as("len"), (c) =>
    c.responses.create({ model: "m", input: [], instructions: "x" })
  )
  refused("value_denied")(seen)
  expect(seen.error).toMatchObject({ decision: { violations: [{ path: "instructions" }] } })
})
