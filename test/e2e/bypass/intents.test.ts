/** A restriction written in the wrong place would not be in force: every way to give an intent policy refuses it. */
import { describe, expect, it } from "vitest"
import { AgentClient, ConfigurationError, SecureOpenAI } from "../../../src/index.ts"
import type { IntentPolicy } from "../../../src/call/Lineage.ts"
import { mintToken } from "../../../src/testing/index.ts"
import { asked, useLab } from "./lab.ts"

const lab = useLab()

/** What stands where it restricts nothing, and what the error says of it. */
const misplaced: ReadonlyArray<readonly [IntentPolicy, RegExp]> = [
  [{ resorces: ["tool:lab/embed"] }, /unknown key "resorces"; did you mean "resources"\?/],
  [{ rate_limit: 1 }, /unknown key "rate_limit"; it belongs under "constraints"/],
  [
    { parameters: { "tool:**": { max_tokens: { max: 1 } } } },
    /unknown key "parameters"; it belongs under "constraints"/
  ],
  [
    { constraints: { denied_resources: ["**"] } },
    /unknown key "denied_resources"; it belongs at the top of the policy/
  ],
  [
    { constraints: { parameters: { "tool:**": { model: { allowed: ["gpt-4o-mini"] } } } } },
    /unknown key "allowed"; did you mean "allowed_values"\?/
  ],
  [{ constraints: { max_tokens: { max: 5 } } }, /unknown key "max_tokens"/],
  [
    { constraints: { parameters: { model: { allowed_values: ["gpt-4o-mini"] } } } },
    /constraints\.parameters\.model: names no resource: it belongs under a resource pattern/
  ],
  [{ constraints: { denied_parameters: { model: { model: ["o1"] } } } }, /denied_parameters\.model: names no resource/],
  [{ constraints: { output: { generate: { denied: ["x"] } } } }, /constraints\.output\.generate: names no resource/],
  [
    { constraints: { output: { "tool:**": { denied: ["x"], onResponse: "deny" } } } },
    /unknown key "onResponse"; did you mean "on_response"\?/
  ],
  [{ validity: { notAfter: "2020-01-01" } }, /unknown key "notAfter"; did you mean "not_after"\?/]
]

const bare = { apiKey: "k", appName: "lab" }

/** Every place that takes an intent policy from a caller. */
const places: ReadonlyArray<readonly [string, (intentPolicy: IntentPolicy) => unknown]> = [
  ["a client", (intentPolicy) => new SecureOpenAI({ ...bare, baseURL: lab().provider.url, intentPolicy })],
  ["an agent", (intentPolicy) => new AgentClient({ iamToken: "x", workspace: lab().workspace, intentPolicy })],
  ["asUser", (intentPolicy) => lab().service.asUser(mintToken({ sub: "alice" }), { intentPolicy })],
  [
    "invokeTool",
    async (intentPolicy) => {
      const { service, workspace } = lab()
      const user = await new AgentClient({ iamToken: mintToken({ sub: "alice" }), workspace }).register()
      return user.invokeTool("tool:lab/generate", asked, { targetAgent: service.serverId, intentPolicy })
    }
  ]
]

describe.each(places)("a misplaced key in the intent policy of %s", (_name, give) => {
  it.each(misplaced)("%j is a ConfigurationError", async (intentPolicy, message) => {
    const error: unknown = await Promise.resolve()
      .then(() => give(intentPolicy))
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigurationError)
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).toMatch(/intentPolicy/)
  })
})

it("a misspelled option of invokeTool is a ConfigurationError", async () => {
  const { service, workspace } = lab()
  const user = await new AgentClient({ iamToken: mintToken({ sub: "alice" }), workspace }).register()
  const options = { targetAgent: service.serverId, intentpolicy: { denied_resources: ["**"] } }
  await expect(user.invokeTool("tool:lab/generate", asked, options)).rejects.toThrow(
    /Unknown option "intentpolicy" of invokeTool/
  )
})
