/**
 * Receipts: what the log says of one call, for the caller to keep (audit format §6). The signature is made when somebody
 * first looks at it; most callers never do.
 *
 * @since 0.1.0
 */
import type { Edit } from "../Decision.ts"
import { newId } from "../Id.ts"
import type { Receipt } from "../Call.ts"
import type { SigningKey } from "../Keys.ts"
import type { Ending, RecordEdit } from "./Record.ts"

/** What is known of a call's end, for the claim `out`. */
export interface Out {
  readonly result: Ending
  readonly status?: number | undefined
  /** Digest of the response. */
  readonly rdh?: string | undefined
  readonly usage?: { readonly input: number; readonly output: number } | undefined
}

/** What a receipt is made of. */
export interface ReceiptOptions {
  readonly call: string
  readonly tool: string
  /** Index and leaf hash of the decision record. */
  readonly index: number
  readonly leaf: Uint8Array
  readonly verdict: "allow" | "rewrite"
  readonly edits: ReadonlyArray<RecordEdit>
  readonly requested: string
  readonly effective: string
  /** Digest of the envelope's `header.payload`, as the record has it. */
  readonly invocation: string
  /** Origin of the log. */
  readonly log: string
  /** Server id. */
  readonly issuer: string
  /** Principal id. */
  readonly subject: string
  /** The agent key. */
  readonly key: SigningKey
  /** The salts of this call, base64url by field. */
  readonly salts: () => Readonly<Record<string, string>>
  /** The call's end, once it is known. */
  readonly out: () => Out | undefined
}

/** A receipt; `salts` and `jws` are made on first use. */
export const makeReceipt = (options: ReceiptOptions): Receipt => {
  let salts: Readonly<Record<string, string>> | undefined
  let jws: string | undefined
  return {
    call: options.call,
    index: options.index,
    leaf: base64url(options.leaf),
    verdict: options.verdict,
    changes: options.edits.map(toEdit),
    requested: options.requested,
    effective: options.effective,
    get salts() {
      return (salts ??= options.salts())
    },
    get jws() {
      return (jws ??= sign(options))
    }
  }
}

const toEdit = ({ from, path, policy, to }: RecordEdit): Edit =>
  from === undefined ? { path, to, policy } : { path, from, to, policy }

/** The receipt as a compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 9864: `Ed25519`). */
const sign = (options: ReceiptOptions): string => {
  const header = JSON.stringify({ alg: "Ed25519", kid: options.key.kid, typ: "soai-receipt+jwt" })
  const claims = JSON.stringify({
    iss: options.issuer,
    sub: options.subject,
    iat: Math.floor(Date.now() / 1000),
    jti: newId(),
    call: options.call,
    tool: options.tool,
    dec: options.verdict,
    chg: options.edits.map(({ path }) => path),
    req: options.requested,
    eff: options.effective,
    inv: options.invocation,
    log: options.log,
    leaf: options.index,
    lh: base64url(options.leaf),
    out: options.out()
  })
  const signed = `${base64url(Buffer.from(header))}.${base64url(Buffer.from(claims))}`
  return `${signed}.${base64url(options.key.sign(Buffer.from(signed)))}`
}

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url")
