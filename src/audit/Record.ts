/**
 * The kinds of records of the log and their fields (audit format, "Records"). `RecordLine.ts` writes and reads them as lines.
 */
import type { Usage } from "../answer/Usage.ts"
import type { CallResult } from "../call/CallEnd.ts"

/** A caller, as records name it. */
export interface RecordPrincipal {
  readonly kind: "app" | "user" | "agent"
  readonly id: string
  readonly iss?: string | undefined
  /** The `sub` of its token, where that is not `id`: with `iss` it is one user, while two issuers may use one name. */
  readonly sub?: string | undefined
  readonly roles?: ReadonlyArray<string> | undefined
  /** Proofs that its login gave. */
  readonly attestations?: ReadonlyArray<string> | undefined
  /** Policy ids that its claims name, at most 32. */
  readonly documents?: ReadonlyArray<string> | undefined
  /** Its issuer could not be reached: a known key counted by the grace that was configured. */
  readonly degraded?: true | undefined
}

/** A quantity that was asked for: the JSON text of a number, boolean or model name. */
export interface RecordQuantity {
  readonly path: string
  readonly value: string
}

/** What a call spends of a limit. `window` slides, and is an ISO 8601 duration. */
export interface RecordClaim {
  readonly amount: number
  /** Names the counter, where that is not the document's. */
  readonly counter?: string | undefined
  readonly limit: number
  /** Each principal has its own share. */
  readonly per: "principal"
  readonly policy: string
  readonly unit: "calls"
  readonly window: string
}

/** What policies that are only observed would have done. */
export interface RecordObserved {
  readonly claims?: ReadonlyArray<RecordClaim> | undefined
  readonly edits: ReadonlyArray<RecordEdit>
  readonly policies: ReadonlyArray<string>
  readonly rev: string
  readonly verdict: "allow" | "rewrite" | "deny" | "pending"
  readonly violations: ReadonlyArray<RecordViolation>
}

/** What a token claims, without a verified signature, each text cut to 100 bytes. */
export interface RecordClaimed {
  readonly iss?: string | undefined
  readonly kid?: string | undefined
}

/** What was wrong, without its message: that can quote a prompt. */
export interface RecordViolation {
  readonly code: string
  readonly path?: string | undefined
  readonly policy?: string | undefined
}

/** An edit: `from` and `to` are the JSON text of a number, boolean or model name, and of anything else the salted digest. */
export interface RecordEdit {
  readonly path: string
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly policy: string
}

/** What all records have; the journal sets it. */
export interface Head {
  readonly v: 1
  /** How many records stand before it in the log. */
  readonly seq: number
  /** UUIDv7. */
  readonly id: string
  /** Milliseconds since 1970. */
  readonly ts: number
  /** New for every process that opens the log. */
  readonly boot: string
}

/** How the digests of a record were taken: the hash of a salt and of the hash of the bytes. Absent where the old rule holds. */
export type DigestRule = 2

/** The fields of each kind beyond {@link Head} and `kind`. */
export interface Kinds {
  "log.open": { readonly origin: string; readonly vkey: string; readonly software: string } & Beside
  "log.recovered": { readonly previous: string; readonly dropped: number; readonly open: number } & Beside
  "log.close": Beside
  "key.active": KeyFields
  "key.retired": KeyFields
  "key.revoked": KeyFields
  "policy.activated": {
    readonly rev: string
    readonly count: number
    readonly previous?: string | undefined
    /** Absent where the policies hold. */
    readonly mode?: "observe" | undefined
  }
  /** A change of the policies that does not load; `rev` stays in force. */
  "policy.rejected": { readonly rev: string; readonly reason: string }
  decision: {
    readonly call: string
    readonly tool: string
    readonly app: string
    readonly principal: RecordPrincipal
    readonly verdict: "allow" | "rewrite"
    readonly policies: ReadonlyArray<string>
    readonly rev: string
    /** What the call spends of limits: claimed in one step with this record. */
    readonly claims?: ReadonlyArray<RecordClaim> | undefined
    readonly edits: ReadonlyArray<RecordEdit>
    readonly requested: string
    readonly effective: string
    readonly digests?: DigestRule | undefined
    readonly model?: string | undefined
    readonly stream: boolean
    readonly endpoint: string
    readonly kid: string
    readonly inv: string
    readonly parent?: string | undefined
    readonly asked?: ReadonlyArray<RecordQuantity> | undefined
    /** The query with which the provider was asked: its names, and the salted digest of its text. */
    readonly query?: { readonly digest: string; readonly names: ReadonlyArray<string> } | undefined
    /** Names of the headers that were set besides what the SDK sends by itself. */
    readonly headers?: ReadonlyArray<string> | undefined
    readonly observed?: RecordObserved | undefined
  }
  passthrough: {
    readonly call: string
    readonly tool: string
    readonly app: string
    readonly principal: RecordPrincipal
    readonly endpoint: string
    readonly headers?: ReadonlyArray<string> | undefined
    readonly requested?: string | undefined
    readonly parent?: string | undefined
    readonly observed?: RecordObserved | undefined
  }
  refused: {
    readonly call: string
    readonly tool: string
    readonly app: string
    readonly principal?: RecordPrincipal | undefined
    readonly stage: string
    readonly code: string
    readonly status: number
    readonly violations: ReadonlyArray<RecordViolation>
    readonly policies?: ReadonlyArray<string> | undefined
    readonly requested?: string | undefined
    readonly digests?: DigestRule | undefined
    readonly asked?: ReadonlyArray<RecordQuantity> | undefined
  }
  /** Refusals of callers of whose token no signature was verified, from one time to another; they name no call and no caller. */
  "refused.many": {
    readonly from: number
    readonly to: number
    readonly count: number
    /** How often each reason was given: together `count`. */
    readonly codes: ReadonlyArray<{ readonly code: string; readonly count: number }>
    /** The first different ones, at most 5. */
    readonly samples: ReadonlyArray<RecordClaimed>
  }
  "stream.open": { readonly call: string; readonly decision: number; readonly status: number }
  "stream.segment": {
    readonly call: string
    readonly from: number
    readonly count: number
    readonly digest: string
  }
  "stream.close": {
    readonly call: string
    readonly reason: CallResult
    readonly chunks: number
    readonly received: number
    readonly digest: string
  }
  outcome: {
    readonly call: string
    readonly decision: number
    readonly result: CallResult
    readonly attempts: number
    readonly status?: number | undefined
    readonly error?: string | undefined
    readonly request?: string | undefined
    readonly response?: string | undefined
    readonly digests?: DigestRule | undefined
    readonly usage?: Usage | undefined
    /** What output rules found in the answer: why it was refused, or what is only recorded. */
    readonly output?: ReadonlyArray<RecordViolation> | undefined
    /** What output rules of policies that are only observed found. */
    readonly observed?: ReadonlyArray<RecordViolation> | undefined
    readonly ms: number
  }
  tool_call: {
    readonly call: string
    readonly tool: string
    readonly arguments: string
    readonly digests?: DigestRule | undefined
    readonly verdict: "allow" | "deny" | "pending"
  }
}

/** Where boots overlap (audit format, "Boots"). */
interface Beside {
  /** How many other boots are open after this record; absent for none, as in a log with one writer. */
  readonly beside?: number | undefined
}

interface KeyFields {
  readonly use: "agent" | "log" | "policy" | "salt"
  readonly kid: string
  readonly jwk?: Readonly<Record<string, string>> | undefined
  readonly vkey?: string | undefined
}

/** The name of a kind of record. */
export type Kind = keyof Kinds

/** What a writer says; the journal adds the {@link Head}. */
export type Body = { readonly [K in Kind]: { readonly kind: K } & Kinds[K] }[Kind]

/** A record that this version wrote. */
export type LogRecord = Head & Body

/** A record as read: the head and the kind are checked, the other fields are whatever the line says. */
export interface ReadRecord extends Head {
  readonly kind: string
  readonly [field: string]: unknown
}
