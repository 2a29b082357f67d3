/**
 * A drop-in replacement for the `openai` SDK: every request is tied to a verified identity, signed, checked against MAPL
 * policy, rewritten where policy says so, invoked, and written to a log that an outsider can verify.
 */
import "./base/NodeVersion.ts"
export {
  AgentClient,
  type AgentClientOptions,
  type InvokeChunk,
  type InvokeOptions,
  type InvokeResult
} from "./agents/AgentClient.ts"
export { Audit } from "./audit/Audit.ts"
export type { ReadRecord } from "./audit/Record.ts"
export { Call, type CallOptions } from "./call/Call.ts"
export { type Committed, type Decided, type Identified, type Prepared, type Signed } from "./call/States.ts"
export { type Credentials } from "./call/Credentials.ts"
export { type IntentPolicy } from "./call/Lineage.ts"
export { type Meta, Reply } from "./call/Reply.ts"
export type { Deployment, Deployments } from "./call/Deployment.ts"
export type { Json, JsonObject } from "./base/Json.ts"
export type { Approval, Decision, Edit, Violation } from "./call/Decision.ts"
export {
  ApprovalPending,
  Configuration,
  EnforcementUnavailable,
  IdentityInvalid,
  type IdentityReason,
  type UnavailableReason,
  type PipelineError,
  PolicyDenied,
  PolicyRateLimited,
  ProviderFailed,
  Refusal
} from "./call/Errors.ts"
export {
  ApprovalPendingError,
  BindError,
  ClosedError,
  ConfigurationError,
  EnforcementUnavailableError,
  IdentityError,
  PolicyDeniedError,
  PolicyRateLimitError,
  UnboundError
} from "./call/SdkErrors.ts"
export { type BoundSecureOpenAI, type Secured, type SecureMembers } from "./facade/SecureMembers.ts"
export { type PipelineLayer, SecureAzureOpenAI, SecureOpenAI } from "./facade/SecureOpenAI.ts"
export { secure } from "./facade/SecureClient.ts"
export { secureFetch } from "./facade/SecureFetch.ts"
export type { LayerOptions, SecureOptions } from "./facade/Options.ts"
export type { ToolContext, ToolHandler, ToolOptions } from "./facade/Tool.ts"
export type { ToolCall, ToolMessage } from "./facade/Tools.ts"
export {
  type ClaimMapping,
  type ClaimOptions,
  Identity,
  type IssuerOptions,
  type IssuerStatus,
  type Revoked,
  type WithinOptions
} from "./identity/Identity.ts"
export type { Health, LogHealth, Problem } from "./workspace/Health.ts"
export type { CopyStatus } from "./audit/LogStatus.ts"
export type { FreeSpace } from "./audit/folder/FreeSpace.ts"
export { Invocation } from "./invocation/Invocation.ts"
export type { KeyOptions, Secret } from "./keys/KeyOptions.ts"
export { type AnyKey, Keys, type RemoteKey, type SigningKey } from "./keys/Keys.ts"
export type { PublicJwk, ReceiptClaims, Verified } from "./audit/proof/Receipt.ts"
export { KeyHistory, type KeyState } from "./audit/proof/KeyHistory.ts"
export { Prompt, type PromptProof, Receipt } from "./workspace/Proof.ts"
export { type RemoteSigner, Signer, type Signers } from "./keys/Signer.ts"
export { Pipeline, type Sentence, type Stage, type Stages } from "./workspace/Pipeline.ts"
export type { Limits, ParameterLimits } from "./policy/Limits.ts"
export type { Document as PolicyDocument } from "./policy/Mapl.ts"
export type { Revision } from "./policy/ActivePolicies.ts"
export { Policy, type PolicyMode, type PolicyStatus } from "./policy/Policy.ts"
export type { Principal } from "./call/Principal.ts"
export type { PublicKeys, PublishedKey } from "./workspace/PublicKeys.ts"
export { type Catalogue, type CatalogueRow, Models } from "./rewriting/Models.ts"
export { Rewriting } from "./rewriting/Rewriting.ts"
export { Directory } from "./signing/Directory.ts"
export { Replay } from "./signing/Replay.ts"
export { Signing } from "./signing/Signing.ts"
export { Workspace, type WorkspaceServices } from "./workspace/Workspace.ts"
export type { AuditPlace, WorkspaceOptions } from "./workspace/WorkspaceOptions.ts"
