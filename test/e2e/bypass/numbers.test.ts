/**
 * Numbers that readers take for different ones: integers of 2^53 or more, and those with more digits than a double has. They
 * travel as they were written, and are judged by nobody.
 */
import * as Effect from "effect/Effect"
import { AzureOpenAI } from "openai"
import { describe, expect, it } from "vitest"
import { Call, Pipeline, SecureAzureOpenAI, secureFetch, SecureOpenAI, type SecureOptions } from "../../../src/index.ts"
import { mintToken } from "../../../src/testing/index.ts"
import { arrives, type Attempt, attempt, policies, refused, useLab } from "./lab.ts"

const lab = useLab()
const large = "9223372036854775807"
const generate = "tool:lab/generate"

const raw =
  (body: string): Attempt =>
  (client) =>
    client.post("/chat/completions", { body, headers: { "content-type": "application/json" } } as never)

const tools = `[{"type":"function","function":{"name":"f","parameters":{"properties":{"id":{"type":"integer","maximum":${large}}}}}}]`
const bodyOf = (members: string): string => `{"model":"gpt-4o-mini","messages":[],"max_tokens":5${members}}`

const under = (parameters: object, more: object = {}) => [
  ...policies.filter(({ policy_id }) => policy_id !== "user:alice"),
  { policy_id: "user:alice", resources: ["tool:lab/**"], constraints: { parameters }, ...more }
]

/** A pipeline with a stage of its own, which changes a member. */
const layer: NonNullable<SecureOptions["layer"]> = Pipeline.layerFrom(
  ({ audit, identity, invocation, policy, rewriting, signing }) =>
    (call) =>
      identity
        .resolve(Call.withParams(call, { ...call.params, user: "x" }))
        .pipe(
          Effect.flatMap(signing.sign),
          Effect.flatMap(policy.evaluate),
          Effect.flatMap(rewriting.apply),
          Effect.flatMap(audit.commit),
          Effect.flatMap(invocation.invoke)
        )
)

describe("a large integer goes out as it was written", () => {
  it.each([
    ["in a tool's schema", bodyOf(`,"tools":${tools}`)],
    ["as a seed", bodyOf(`,"seed":-${large}`)],
    ["in metadata", bodyOf(`,"metadata":{"a":[1e300,{"b":1E22}]}`)],
    ["2^53 itself", bodyOf(`,"x":9007199254740992`)],
    ["and so does one of more digits than a double has", bodyOf(`,"x":[0.10000000000000000001,1e-400,{"y":-1e-400}]`)],
    ["and the same number in more letters", bodyOf("").replace("5}", "5.000000000000000000000E+000}")],
    [
      "a number of many digits in a text, and a key",
      bodyOf(`,"metadata":{"0.99999999999999999999":"1e-400,0.10000000000000000001"}`)
    ]
  ])("%s", async (_, body) => {
    const l = lab()
    arrives(body)(await attempt(l, await l.as("alice"), raw(body)))
  })

  it("beside members that policy edits", async () => {
    const l = lab()
    const body = `{"model":"gpt-5-pro", "max_tokens": 9000,"tools":${tools},"messages":[ ],"seed":${large},"top_p":1.0}`
    arrives(`{"model":"gpt-4o-mini", "max_tokens": 500,"tools":${tools},"messages":[ ],"seed":${large},"top_p":1.0}`)(
      await attempt(l, await l.as("alice"), raw(body))
    )
  })

  it("beside members that a stage of one's own changes", async () => {
    const l = lab()
    const client = l.make(SecureOpenAI, { layer })
    const body = bodyOf(`,"tools":${tools},"user":"y","top_p":1.0`)
    arrives(body.replace('"y"', '"x"'))(await attempt(l, client, raw(body)))
  })

  it.each(["through the client for Azure", "and with the library's own text"])("%s", async () => {
    const l = lab()
    const azure = l.make(SecureAzureOpenAI as never, { apiVersion: "2024-10-21" } as never)
    const body = `{"model" : "gpt-4o-mini","messages":[],"tools":${tools},"max_tokens":5.0}`
    const seen = await attempt(l, azure, () =>
      secureFetch(azure as never)("https://api.openai.com/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body
      })
    )
    arrives(body)(seen)
    expect(azure).toBeInstanceOf(AzureOpenAI)
  })

  it("where bounds on its neighbours and on lengths hold", async () => {
    const l = lab(
      under({
        [generate]: {
          tools: { max_items: 2 },
          "tools[].function.name": ["f"],
          "tools[].function.parameters": { type: "object" },
          metadata: { type: "object" }
        }
      })
    )
    const body = bodyOf(`,"tools":${tools},"metadata":{"a":${large}}`)
    arrives(body)(await attempt(l, await l.as("alice"), raw(body)))
  })
})

describe("a number that readers take for different ones is refused, by its path, where a rule would judge it", () => {
  const path = "tools[0].function.parameters.properties.id.maximum"
  it.each<readonly [string, ReadonlyArray<object>, string, string, string]>([
    ["a maximum", under({ [generate]: { seed: { max: 10 } } }), `,"seed":${large}`, "seed", large],
    ["a minimum", under({ [generate]: { seed: { min: 10 } } }), `,"seed":${large}`, "seed", large],
    ["a range that seems to hold", under({ [generate]: { seed: { max: 2 ** 63 } } }), `,"seed":1e18`, "seed", "1e18"],
    ["a type", under({ [generate]: { seed: { type: "integer" } } }), `,"seed":${large}`, "seed", large],
    ["a list", under({ [generate]: { seed: [2 ** 63, 1] } }), `,"seed":${large}`, "seed", large],
    ["a list of values it is inside of", under({ [generate]: { tools: [[]] } }), `,"tools":${tools}`, path, large],
    [
      "a cap",
      under({ [generate]: { max_completion_tokens: { max: 9 } } }),
      `,"max_completion_tokens":${large}`,
      "max_completion_tokens",
      large
    ],
    [
      "a bound deep inside",
      under({ [generate]: { "tools[].function.parameters.properties.id.maximum": { max: 100 } } }),
      `,"tools":${tools}`,
      path,
      large
    ],
    [
      "a denied value",
      under({}, { constraints: { denied_parameters: { [generate]: { metadata: [9007199254740992] } } } }),
      `,"metadata":{"a":{"b.c":9007199254740993}}`,
      "metadata.a.b.c",
      "9007199254740993"
    ],
    ...["0.99999999999999999999", "1e-400", "499.99999999999999999", "500.00000000000000001", "-1e-400"].map(
      (number): readonly [string, ReadonlyArray<object>, string, string, string] => [
        `a cap, ${number}`,
        policies,
        `,"max_completion_tokens":${number}`,
        "max_completion_tokens",
        number
      ]
    ),
    [
      "a range",
      under({ [generate]: { top_p: { range: [0, 1] } } }),
      `,"top_p":1.00000000000000000001`,
      "top_p",
      "1.00000000000000000001"
    ],
    [
      "a list of numbers",
      under({ [generate]: { top_p: [1, 0.5] } }),
      `,"top_p":0.50000000000000000001`,
      "top_p",
      "0.50000000000000000001"
    ],
    [
      "a list of values that one is inside of",
      under({ [generate]: { stop: [[[1]]] } }),
      `,"stop":[["x"],[2,1.00000000000000000001]]`,
      "stop[1][1]",
      "1.00000000000000000001"
    ],
    [
      "a denied number",
      under({}, { constraints: { denied_parameters: { [generate]: { metadata: [1] } } } }),
      `,"metadata":{"a":[{"b.c":0.99999999999999999999}]}`,
      "metadata.a[0].b.c",
      "0.99999999999999999999"
    ],
    [
      "two lists of tools that count as one",
      under({ [generate]: { tools: [{ type: "function", function: { name: "f", x: 1 } }] } }),
      `,"tools":[{"type":"function","function":{"name":"f","x":1}}],"functions":[{"name":"f","x":1.00000000000000000001}]`,
      "functions[0].x",
      "1.00000000000000000001"
    ],
    [
      "a total over a count",
      under({ [generate]: { total_tokens: { max: 100 } } }),
      `,"n":1.00000000000000000001`,
      "n",
      "1.00000000000000000001"
    ]
  ])("%s", async (_, documents, members, path, number) => {
    const l = lab(documents)
    const seen = await attempt(l, await l.as("alice"), raw(bodyOf(members)))
    refused("invalid_body")(seen)
    expect(seen.error).toMatchObject({
      decision: { violations: expect.arrayContaining([expect.objectContaining({ path })]) }
    })
    expect(String(seen.error)).toContain(`${path} is ${number}, which`)
    expect(String(seen.error)).not.toContain("column")
  })

  it.each([large, "1.00000000000000000001"])("a condition, which then counts as met: %s", async (number) => {
    const l = lab(under({}, { attestations: ["mfa::{params.seed > 9300000000000000000}"] }))
    const alice = await l.as("alice")
    refused("attestation_missing")(await attempt(l, alice, raw(bodyOf(`,"seed":${number}`))))
    l.provider.behave({})
    await attempt(l, alice, raw(bodyOf(',"seed":7')))
    expect(l.provider.hits.map(({ text }) => text)).toEqual([bodyOf(',"seed":7')])
  })

  it.each([large, "7.00000000000000000001"])("an approval of what was asked: %s", async (number) => {
    const approval = { attestations: { second: { approval_criteria: "role:treasurer" } } }
    const l = lab(under({}, { attestations: ["second"], constraints: approval }))
    const alice = await l.as("alice")
    refused("invalid_body")(await attempt(l, alice, raw(bodyOf(`,"x":[${number}]`))))
    const pending = await attempt(l, alice, raw(bodyOf(',"x":[7]')))
    expect(pending.error).toMatchObject({ code: "approval_pending" })
  })

  it("one beyond a double, without any policy", async () => {
    const l = lab()
    const seen = await attempt(l, l.service, raw(bodyOf(',"x":[{"y":1e999}]')))
    refused("invalid_body")(seen)
    expect(String(seen.error)).toContain("x[0].y is 1e999, which is beyond what a double holds")
  })
})

describe("where the model has another name at the provider, or a stage of one's own changes the call", () => {
  const number = "0.99999999999999999999"
  const body = `{"model":"gpt-4o-mini","messages":[],"max_tokens":${number}}`

  it("a deployment", async () => {
    const l = lab(under({ [generate]: { max_tokens: { max: 9 } } }))
    const azure = l.make(
      SecureAzureOpenAI as never,
      {
        apiVersion: "2024-10-21",
        deployments: { "gpt-4o-mini": "gpt-4o" }
      } as never
    )
    const alice = await azure.asUser(mintToken({ sub: "alice" }))
    const seen = await attempt(l, azure, () =>
      secureFetch(alice)("https://api.openai.com/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body
      }).then((response) => {
        throw Object.assign(new Error(), { code: "policy_denied", status: response.status })
      })
    )
    refused("invalid_body")(seen)
  })

  it("a stage", async () => {
    const l = lab([
      {
        policy_id: "app:lab",
        resources: ["tool:lab/**"],
        constraints: { parameters: { [generate]: { max_tokens: { max: 9 } } } }
      }
    ])
    refused("invalid_body")(await attempt(l, l.make(SecureOpenAI, { layer }), raw(body)))
  })
})

describe("a tool that the model calls with such a number", () => {
  const call = (args: string) => ({ id: "c1", type: "function" as const, function: { name: "pay", arguments: args } })
  const documents = (parameters: object) => [
    { policy_id: "app:lab", resources: ["tool:lab/**"], constraints: { parameters: { "tool:lab/pay": parameters } } }
  ]

  it("does not run where nothing bounds it: its handler would get another number", async () => {
    const l = lab(documents({ amount: { max: 5 } }))
    const got: Array<unknown> = []
    l.service.registerTool("pay", (args) => {
      got.push(args)
      return "paid"
    })
    for (const number of [large, "12345678901234567000", "0.99999999999999999999"])
      for (const amount of [3, 9]) {
        const { content } = await l.service.invokeTool(call(`{"a":{"id":${number}},"amount":${amount}}`))
        expect(content).toContain(`a.id is ${number}, a number that the tool cannot take exactly`)
      }
    expect(got).toEqual([])
    const message = await l.service.invokeTool(call(`{"a":{"id":"${large}"},"amount":9}`))
    expect(message.content).toBe("paid")
    expect(got).toEqual([{ a: { id: large }, amount: 5 }])
  })

  it("is told what is wrong with the argument where something bounds it, and where no double holds it", async () => {
    const l = lab(documents({ id: { max: 5 } }))
    let ran = false
    l.service.registerTool("pay", () => (ran = true))
    for (const [text, told] of [
      [`{"id":${large}}`, /^id is 9223372036854775807, which not every reader/],
      ['{"id":5.00000000000000000001}', /^id is 5.00000000000000000001, which not every reader/],
      ['{"id":1e999}', /id is 1e999, which is beyond what a double holds/],
      ['{"id":1,"id":2}', /the key "id" is there twice/]
    ] as const) {
      const { error } = JSON.parse((await l.service.invokeTool(call(text))).content) as { error: { message: string } }
      expect(error.message).toMatch(told)
      expect(error.message).not.toContain("policy does not let this caller use the tool")
    }
    expect(ran).toBe(false)
  })

  it("runs in runTools with the text as it was written, also where policy changed another argument", async () => {
    const l = lab(documents({ amount: { max: 5 } }))
    const got: Array<string> = []
    l.provider.behave({ toolCalls: [{ name: "pay", arguments: `{"id": ${large}, "amount": 9}` }] })
    const runner = l.service.chat.completions.runTools({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: "x" }],
      tools: [
        {
          type: "function",
          function: {
            name: "pay",
            parameters: {},
            description: "",
            function: (args: string) => (got.push(args), "paid")
          }
        }
      ]
    })
    await runner.done()
    expect(got).toEqual([`{"id": ${large}, "amount": 5}`])
  })
})
