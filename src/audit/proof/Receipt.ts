/**
 * Receipts: what the log says of one call, for the caller to keep (audit format §6). The signature is made when it is
 * first read; most callers never read it.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Usage } from "../../answer/Usage.ts"
import type { CallResult } from "../../call/CallEnd.ts"
import type { Edit } from "../../call/Decision.ts"
import { newId } from "../../base/Id.ts"
import type { Receipt } from "../../call/Reply.ts"
import { canonicalize } from "../../base/CanonicalJson.ts"
import { EnforcementUnavailableError } from "../../call/SdkErrors.ts"
import * as Jws from "../../keys/Jws.ts"
import { type AnyKey, type PublicKey, publicKeyOf, verify as verifySignature } from "../../keys/Keys.ts"
import { systemClock } from "../Clock.ts"
import { KeyHistory } from "./KeyHistory.ts"
import { leafHash } from "./MerkleTree.ts"
import type { DigestRule, ReadRecord, RecordEdit } from "../Record.ts"

/** What is known of a call's end, for the claim `out`. */
export interface Out {
  readonly result: CallResult
  readonly status?: number | undefined
  /** Digest of the response. */
  readonly rdh?: string | undefined
  readonly usage?: Usage | undefined
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
  /** The rule by which both digests, and that of the response, were taken. */
  readonly digests: DigestRule
  /** Digest of the envelope's `header.payload`, as the record has it. */
  readonly invocation: string
  /** Origin of the log. */
  readonly log: string
  /** Server id. */
  readonly issuer: string
  /** Principal id. */
  readonly subject: string
  /** Issuer and subject of a user's token. */
  readonly user?: { readonly iss: string; readonly sub: string } | undefined
  /** The agent key. */
  readonly key: AnyKey<"agent">
  /** The envelope that `invocation` is the digest of. */
  readonly envelope: string
  /** The salts of this call, base64url by field. */
  readonly salts: () => Readonly<Record<string, string>>
  /** The call's end, once it is known. */
  readonly out: () => Out | undefined
  /** The date, in ms since 1970, for the claim `iat`. Default: the system's. */
  readonly now?: (() => number) | undefined
}

/** A receipt; `salts` and `jws` are made on first use. */
export const makeReceipt = (options: ReceiptOptions): Receipt => {
  let salts: Readonly<Record<string, string>> | undefined
  let signed: string | Promise<string> | undefined
  return {
    call: options.call,
    index: options.index,
    leaf: base64url(options.leaf),
    verdict: options.verdict,
    changes: options.edits.map(toEdit),
    requested: options.requested,
    effective: options.effective,
    digests: options.digests,
    envelope: options.envelope,
    get salts() {
      return (salts ??= options.salts())
    },
    get jws() {
      if (typeof signed === "string") return signed
      if ("signLater" in options.key)
        throw new EnforcementUnavailableError(
          "The agent key is with a signer of its own, and signs no receipt at once: await receipt.sign()."
        )
      const { jws } = Jws.sign(options.key, type, claimsOf(options))
      signed = jws
      return jws
    },
    sign: async () => {
      try {
        return (signed = await (signed ??= later(options)))
      } catch (cause) {
        signed = undefined
        throw new EnforcementUnavailableError(
          `The receipt could not be signed. ${cause instanceof Error ? cause.message : ""}`.trimEnd()
        )
      }
    }
  }
}

const later = async (options: ReceiptOptions): Promise<string> =>
  (await Jws.sign(options.key, type, claimsOf(options))).jws

const toEdit = ({ from, path, policy, to }: RecordEdit): Edit =>
  from === undefined ? { path, to, policy } : { path, from, to, policy }

const type = "soai-receipt+jwt"

const claimsOf = (options: ReceiptOptions): string =>
  JSON.stringify({
    iss: options.issuer,
    sub: options.subject,
    usr: options.user,
    iat: Math.floor((options.now ?? systemClock.now)() / 1000),
    jti: newId(),
    call: options.call,
    tool: options.tool,
    dec: options.verdict,
    chg: options.edits.map(({ path }) => path),
    req: options.requested,
    eff: options.effective,
    digests: options.digests,
    inv: options.invocation,
    log: options.log,
    leaf: options.index,
    lh: base64url(options.leaf),
    out: options.out()
  } satisfies ReceiptClaims)

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url")

// ---------------------------------------------------------------------------------------------------------------------
// Verifying
// ---------------------------------------------------------------------------------------------------------------------

const Count = Schema.optionalKey(Schema.Int)
const UsageClaim = Schema.Struct({
  audioInput: Count,
  audioOutput: Count,
  cacheWrite: Count,
  cached: Count,
  input: Count,
  output: Count,
  reasoning: Count,
  tier: Schema.optionalKey(Schema.String)
})

const Claims = Schema.Struct({
  iss: Schema.String,
  sub: Schema.String,
  /** `iss` and `sub` of the user's token: `sub` above is the name that policies know. */
  usr: Schema.optional(Schema.Struct({ iss: Schema.String, sub: Schema.String })),
  iat: Schema.Int,
  jti: Schema.String,
  call: Schema.String,
  tool: Schema.String,
  dec: Schema.Literals(["allow", "rewrite"]),
  chg: Schema.Array(Schema.String),
  req: Schema.String,
  eff: Schema.String,
  digests: Schema.optional(Schema.Literal(2)),
  inv: Schema.String,
  log: Schema.String,
  leaf: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  lh: Schema.String,
  out: Schema.optional(
    Schema.Struct({
      result: Schema.Literals(["complete", "failed", "cut", "abandoned", "aborted", "refused", "unknown"]),
      status: Schema.optional(Schema.Int),
      rdh: Schema.optional(Schema.String),
      usage: Schema.optional(UsageClaim)
    })
  )
})

/** What a receipt says (audit format, "Receipts"). */
export interface ReceiptClaims extends Schema.Struct.Type<typeof Claims.fields> {}

/** What was verified says, or why it does not hold. */
export type Verified<Claims> =
  | { readonly valid: true; readonly claims: Claims }
  | { readonly valid: false; readonly reason: string }

const decodeClaims = Schema.decodeUnknownResult(Claims, { onExcessProperty: "error" })

/** How long a receipt may be, in characters. */
const maximumLength = 64 * 1024

/** A public Ed25519 key (RFC 8037), as `secure-openai keys export` prints it. */
export type PublicJwk = { readonly kty?: unknown; readonly crv?: unknown; readonly x?: unknown }

/** The agent key that a JWK is; the failure says that it is none. */
export const agentKeyOf = (jwk: PublicJwk | null | undefined): Result.Result<PublicKey<"agent">, string> => {
  const { crv, kty, x } = jwk ?? {}
  return kty === "OKP" && crv === "Ed25519" && typeof x === "string"
    ? Result.succeed(publicKeyOf("agent", x))
    : Result.fail("the key is no public Ed25519 JWK")
}

/**
 * Verifies a receipt, a compact JWS, with the public key of the agent key that signed it and nothing else: no log, no network.
 * That the log holds the record is for a proof of its own to say, and whether the key was in use for {@link verifyInLog}.
 */
export const verify = (jws: string, jwk: PublicJwk): Verified<ReceiptClaims> => {
  const key = agentKeyOf(jwk)
  if (Result.isFailure(key)) return { valid: false, reason: key.failure }
  const read = Jws.read(jws, type, maximumLength)
  if (Result.isFailure(read)) return { valid: false, reason: `the receipt ${read.failure}` }
  const { kid, publicKey } = key.success
  const { claims, signature, signed } = read.success
  if (read.success.kid !== kid)
    return { valid: false, reason: `the receipt is by the key ${read.success.kid}, not ${kid}` }
  if (!verifySignature(publicKey, Buffer.from(signed), signature))
    return { valid: false, reason: "the receipt was not signed by this key" }
  const decoded = decodeClaims(claims)
  return Result.isFailure(decoded)
    ? { valid: false, reason: "the receipt lacks a claim, or has one of another form" }
    : { valid: true, claims: decoded.success }
}

/** The origin of the log that a receipt is of, as it says; nothing of it is verified. Undefined where it does not say so. */
export const namedOrigin = (jws: string): string | undefined => {
  const read = Jws.read(jws, type, maximumLength)
  const origin: unknown = Result.isSuccess(read) ? read.success.claims["log"] : undefined
  return typeof origin === "string" ? origin : undefined
}

/**
 * Verifies a receipt against the records of its log, oldest first: it is by the key that signed the call, which the log says
 * is in use at the record that the receipt names; and that record and the call's outcome say what the receipt says. Verify the
 * log itself first.
 */
export const verifyInLog = (jws: string, records: Iterable<ReadRecord>): Verified<ReceiptClaims> => {
  const read = Jws.read(jws, type, maximumLength)
  if (Result.isFailure(read)) return { valid: false, reason: `the receipt ${read.failure}` }
  const { kid } = read.success
  const { call, leaf: place } = read.success.claims
  const history = new KeyHistory()
  let record: ReadRecord | undefined
  let outcome: ReadRecord | undefined
  let origin: unknown
  for (const each of records) {
    history.take(each)
    if (each.kind === "log.open") origin ??= each["origin"]
    if (each.kind === "outcome" && each["call"] === call) outcome = each
    if (each.seq === place) record = each
  }
  const jwk = history.jwk(kid)
  if (jwk === undefined) return { valid: false, reason: `the log names no agent key ${kid}` }
  const verified = verify(jws, jwk)
  if (!verified.valid) return verified
  const { claims } = verified
  if (record === undefined) return { valid: false, reason: `the log has no record ${claims.leaf}` }
  const state = history.stateAt(kid, claims.leaf)
  if (state !== "active") return { valid: false, reason: `the key ${kid} is ${state} at record ${claims.leaf}` }
  const { id, iss, sub = id } = (record["principal"] ?? {}) as Readonly<Record<"id" | "iss" | "sub", unknown>>
  const said: ReadonlyArray<readonly [string, unknown, unknown]> = [
    ["log", claims.log, origin],
    ["leaf hash", claims.lh, base64url(leafHash(canonicalize(record)))],
    ["kind", "decision", record.kind],
    ["key", kid, record["kid"]],
    ["call", claims.call, record["call"]],
    ["tool", claims.tool, record["tool"]],
    ["verdict", claims.dec, record["verdict"]],
    ["requested", claims.req, record["requested"]],
    ["effective", claims.eff, record["effective"]],
    ["rule of digests", claims.digests, record["digests"]],
    ["inv", claims.inv, record["inv"]],
    ["principal", claims.sub, id],
    // A record that would be too long has lost some.
    ...(record["shortened"] === undefined
      ? ([
          ["user", textOf(claims.usr), claims.usr && textOf({ iss, sub })],
          ["list of changes", JSON.stringify(claims.chg), JSON.stringify(pathsOf(record["edits"]))]
        ] as const)
      : [])
  ]
  const other = said.find(([, receipt, log]) => receipt !== log)
  if (other !== undefined) return { valid: false, reason: `record ${claims.leaf} has another ${other[0]}` }
  const { out } = claims
  return out === undefined || (outcome !== undefined && canonicalize(out) === canonicalize(outOf(outcome)))
    ? verified
    : { valid: false, reason: `the log has another end of the call ${claims.call}` }
}

const textOf = (user: { readonly iss?: unknown; readonly sub?: unknown } | undefined): string | undefined =>
  user && JSON.stringify([user.iss, user.sub])

const pathsOf = (edits: unknown): ReadonlyArray<unknown> =>
  Array.isArray(edits) ? edits.map((edit: { readonly path?: unknown } | null) => edit?.path) : []

/** What an outcome says, as the claim `out` does. */
const outOf = ({ response, result, status, usage }: ReadRecord): object => ({ result, status, rdh: response, usage })
