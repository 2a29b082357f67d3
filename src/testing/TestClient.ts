/**
 * A whole client for tests, for those who know no Effect: real identity, policy, rewriting and log in memory, and a model that
 * says what it is told. No socket, no key, no folder.
 */
import * as Layer from "effect/Layer"
import type { ReadRecord } from "../audit/Record.ts"
import type { SecureOptions } from "../facade/Options.ts"
import { SecureOpenAI } from "../facade/SecureOpenAI.ts"
import { Pipeline } from "../workspace/Pipeline.ts"
import { Workspace } from "../workspace/Workspace.ts"
import * as MockInvocation from "./MockInvocation.ts"
import { mintToken, testIssuer, type TokenClaims } from "./Tokens.ts"

/** What a test client is made of; every option has a default. */
export interface TestClientOptions {
  /** What the model says, in turn; the last one again and again. Default: `["ok"]`. */
  readonly replies?: ReadonlyArray<MockInvocation.MockReply>
  readonly policies?: SecureOptions["policies"]
  readonly intentPolicy?: SecureOptions["intentPolicy"]
  readonly appName?: string
  /** The user in whose name the client calls: a name, or claims of a token. Absent: the application itself. */
  readonly user?: string | TokenClaims
}

/** A client and what can be seen of it. */
export interface TestClient {
  readonly client: SecureOpenAI
  /** What would have been sent, after policy; in order. */
  readonly requests: ReadonlyArray<MockInvocation.SentRequest>
  /** The log so far. */
  readonly records: () => Promise<ReadonlyArray<ReadRecord>>
  /** A signed token that the client's workspace trusts, for `client.asUser(token)`. */
  readonly token: (user: string | TokenClaims) => string
}

/** Makes a test client. */
export const testClient = (options: TestClientOptions = {}): TestClient => {
  const { appName = "test-app", intentPolicy, policies, replies = ["ok"], user } = options
  const requests: Array<MockInvocation.SentRequest> = []
  const workspace = new Workspace({
    audit: "memory",
    issuers: testIssuer,
    ...(policies !== undefined && { policies })
  })
  const client = new SecureOpenAI({
    appName,
    workspace,
    apiKey: "test",
    layer: Pipeline.layer.pipe(Layer.provide(MockInvocation.layer(replies, requests))),
    ...(intentPolicy !== undefined && { intentPolicy }),
    ...(user !== undefined && { jwtToken: token(user) })
  })
  return {
    client,
    requests,
    records: () => workspace.records(),
    token
  }
}

const token = (user: string | TokenClaims): string => mintToken(typeof user === "string" ? { sub: user } : user)
