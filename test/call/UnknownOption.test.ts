import { assert, describe, it } from "@effect/vitest"
import { AgentClient, ConfigurationError, SecureAzureOpenAI, SecureOpenAI, Workspace } from "../../src/index.ts"

const client = { apiKey: "k", audit: "memory" } as const

/** What somebody writes, and what the error tells them. */
const rows: ReadonlyArray<readonly [make: () => unknown, told: RegExp]> = [
  [
    () => new SecureOpenAI({ ...client, home: "/x" } as never),
    /"home" of SecureOpenAI\. It belongs to new Workspace\(\{ home \}\)/
  ],
  [
    () => new SecureOpenAI({ ...client, signer: 1 } as never),
    /"signer" of SecureOpenAI\. It belongs to new Workspace\(\{ signer \}\)/
  ],
  [
    () => new SecureOpenAI({ ...client, issuer: "https://x" } as never),
    /It belongs to issuers: \{ issuer, audience \}/
  ],
  [() => new SecureOpenAI({ ...client, durability: "batched" } as never), /It belongs to audit: \{ durability \}/],
  [() => new SecureOpenAI({ ...client, iamToken: "x" } as never), /It belongs to new AgentClient\(\{ iamToken \}\)/],
  [
    () => new SecureOpenAI({ ...client, appname: "x" } as never),
    /Did you mean "appName"\? It takes appName, .*, and the options of OpenAI\./
  ],
  [() => new SecureOpenAI({ ...client, max_retries: 1 } as never), /Did you mean "maxRetries"\?/],
  [() => new SecureAzureOpenAI({ ...client, apiVersoin: "x" } as never), /Did you mean "apiVersion"\?.*AzureOpenAI/],
  [() => new SecureOpenAI({ ...client, zzzzzzzz: 1 } as never), /"zzzzzzzz" of SecureOpenAI\. It takes/],
  [() => new SecureOpenAI({ ...client, constructor: 1 } as never), /"constructor" of SecureOpenAI\. It takes/],
  [() => new Workspace({ appName: "x" } as never), /"appName" of a workspace\. It belongs to new SecureOpenAI/],
  [() => new Workspace({ polices: [] } as never), /Did you mean "policies"\?/],
  [() => new Workspace({ audit: { paht: "x" } } as never), /"paht" of audit\. Did you mean "path"\?/],
  [() => new Workspace({ audit: { checkpoints: { to: "x", within: 1 } } } as never), /"within" of audit\.checkpoints/],
  [
    () => new AgentClient({ jwtToken: "x" } as never),
    /"jwtToken" of an agent\. It belongs to new SecureOpenAI\(\{ jwtToken \}\)/
  ],
  [() => new AgentClient({ iamtoken: "x" } as never), /Did you mean "iamToken"\?/]
]

describe("an unknown option", () => {
  for (const [make, told] of rows)
    it(`is refused with ${told.source}`, () => {
      try {
        make()
      } catch (error) {
        assert.instanceOf(error, ConfigurationError)
        assert.match(error.message, told)
        return
      }
      assert.fail("it was taken")
    })
})
