/**
 * What a workspace is opened with: by options that are checked before anything is opened, or by the environment.
 */
import type * as Layer from "effect/Layer"
import process from "node:process"
import { type CopyPlace, requireTarget, type CopyTarget, copyTargetOf } from "../audit/folder/Copies.ts"
import type { Configuration, EnforcementUnavailable } from "../call/Errors.ts"
import { ConfigurationError } from "../call/SdkErrors.ts"
import { issuerFromEnvironment } from "../identity/Environment.ts"
import type { IssuerOptions } from "../identity/Issuer.ts"
import type { PolicyMode } from "../policy/Policy.ts"
import type { PolicySource } from "../policy/PolicySource.ts"
import { type KeyOptions, requireKeyOptions } from "../keys/KeyOptions.ts"
import type { Catalogue } from "../rewriting/Models.ts"
import type { Signer } from "../keys/Signer.ts"
import { requireKnownOptions } from "../call/UnknownOption.ts"

/** Where and how a log is kept on a disk. */
export interface AuditPlace {
  /** The log's folder. Default: `<home>/audit`. */
  readonly path?: string
  /**
   * `durable`, the default: a call waits until its decision is on the disk. `batched`: it does not, and a crash may lose the
   * last records.
   */
  readonly durability?: "durable" | "batched"
  /**
   * Where each newest checkpoint is copied to as it is signed: a folder, a URL (POST), or a function. Somebody who has this
   * disk and its keys can rebuild the log whole; `audit verify --since` with a copy shows it. `{ to, withinMinutes,
   * withinRecords }` says how long calls go on while copying fails (default 5 minutes, 100,000 records).
   */
  readonly checkpoints?: CopyPlace | CopyTarget
}

/** What a workspace is opened with. */
export interface WorkspaceOptions {
  /**
   * MAPL policies: a directory, a file, one document or several. None: an implicit policy lets every app use its own tools,
   * signed and audited.
   */
  readonly policies?: PolicySource
  /**
   * `observe`: policies refuse and change nothing; the log says what they would have done, and
   * `secure-openai policy report` lists it. Default `enforce`.
   */
  readonly policyMode?: PolicyMode
  /**
   * What is known of models: how they rank for a downgrade, and how they spell a cap. Default: the models of the OpenAI
   * API; `[...Models.openai, ...own]` adds to them.
   */
  readonly models?: Catalogue
  /** Issuers whose tokens are trusted. None: user mode and binding are refused. */
  readonly issuers?: IssuerOptions | ReadonlyArray<IssuerOptions>
  /**
   * The log: where and how it is kept, or `"memory"` for a log that ends with the process. Default: `<home>/audit`.
   */
  readonly audit?: "memory" | AuditPlace
  /**
   * Signers of keys that are held elsewhere, by a KMS for instance: `Signer.layer({ agent, log })`. Default: the keys of the
   * home.
   */
  readonly signer?: Layer.Layer<Signer, Configuration | EnforcementUnavailable>
  /**
   * Where the workspace's own keys are kept, when not in the home: a folder that is only read (a Secret of Kubernetes,
   * credentials of systemd), or `{ folder, agent, log, salt }` with private JWKs. Default: env `SECURE_OPENAI_KEYS`,
   * `SECURE_OPENAI_AGENT_JWK`, `SECURE_OPENAI_LOG_JWK`, `SECURE_OPENAI_SALT`, else `<home>/keys`.
   */
  readonly keys?: string | KeyOptions
  /** Folder of keys and log. Default: env `SECURE_OPENAI_HOME`, else `.secure-openai` in the working directory. */
  readonly home?: string
}

const known: ReadonlySet<string> = new Set([
  "policies",
  "policyMode",
  "models",
  "issuers",
  "audit",
  "signer",
  "keys",
  "home"
])

/** Throws a `ConfigurationError` for an option that is unknown, or not of its kind; what is inside is checked when it is used. */
export const requireKnown = (options: WorkspaceOptions): void => {
  requireKnownOptions(options, "a workspace", known)
  const { home, policyMode } = options
  if (home !== undefined && (typeof home !== "string" || home === ""))
    throw new ConfigurationError("home names a folder.")
  if (policyMode !== undefined && policyMode !== "enforce" && policyMode !== "observe")
    throw new ConfigurationError(`policyMode is "enforce" or "observe", not ${JSON.stringify(policyMode)}.`)
  requireAudit(options.audit)
  requireKeyOptions(options.keys)
}

const knownOfAudit: ReadonlySet<string> = new Set(["path", "durability", "checkpoints"])

const requireAudit = (audit: WorkspaceOptions["audit"]): void => {
  if (audit === undefined || audit === "memory") return
  const what = 'audit is "memory", or { path, durability, checkpoints }'
  if (typeof audit !== "object" || audit === null)
    throw new ConfigurationError(`The option ${what}, not ${JSON.stringify(audit)}.`)
  requireKnownOptions(audit, "audit", knownOfAudit)
  const { checkpoints, durability, path } = audit
  if (path !== undefined && (typeof path !== "string" || path === ""))
    throw new ConfigurationError("audit.path names a folder.")
  if (durability !== undefined && durability !== "durable" && durability !== "batched")
    throw new ConfigurationError(`audit.durability is "durable" or "batched", not ${JSON.stringify(durability)}.`)
  if (checkpoints !== undefined) requireTarget(copyTargetOf(checkpoints))
}

/** What the default workspace is opened with; see `Workspace.default`. */
export const fromEnvironment = (): WorkspaceOptions => {
  const env = (name: string): string | undefined => process.env[`SECURE_OPENAI_${name}`] || undefined
  const policies = env("POLICIES")
  const audit = env("AUDIT")
  const checkpoints = env("CHECKPOINTS")
  const policyMode = env("POLICY_MODE")
  if (audit === "memory" && checkpoints !== undefined)
    throw new ConfigurationError("SECURE_OPENAI_CHECKPOINTS has no use with SECURE_OPENAI_AUDIT=memory; unset one.")
  const issuers = issuerFromEnvironment()
  return {
    ...(policies === undefined ? {} : { policies }),
    // Any other word is refused with the option.
    ...(policyMode === undefined ? {} : { policyMode: policyMode as PolicyMode }),
    ...(issuers === undefined ? {} : { issuers }),
    ...(audit === "memory"
      ? { audit }
      : {
          audit: {
            ...(audit === undefined ? {} : { path: audit }),
            ...(checkpoints === undefined ? {} : { checkpoints })
          }
        })
  }
}
