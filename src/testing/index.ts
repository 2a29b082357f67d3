/**
 * For tests: a client whose model says what it is told, layers that mock a stage, tokens that are really verified, and the
 * states' constructors.
 */
import "../base/NodeVersion.ts"
export { Committed, Decided, Identified, Prepared, Signed } from "../call/States.ts"
export * as Audit from "./MockAudit.ts"
export * as Identity from "./MockIdentity.ts"
export * as Invocation from "./MockInvocation.ts"
export * as Signing from "./MockSigning.ts"
export type { MockReply, SentRequest } from "./MockInvocation.ts"
export { testClient, type TestClient, type TestClientOptions } from "./TestClient.ts"
export { makeIssuer, mintToken, testIssuer, type TestIssuer, type TokenClaims, type TokenOptions } from "./Tokens.ts"
