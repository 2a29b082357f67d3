/**
 * The envelope: a compact JWS (RFC 7515) over what is asked, by whom, of whom and when. It binds one caller, one target,
 * one resource, one body and, for a user, one token, and it is good for a minute. A call that comes from another agent
 * carries that agent's envelope, its invocation; the next one names it as its parent.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Crypto from "node:crypto"
import { canonicalize } from "../base/CanonicalJson.ts"
import type { JsonObject } from "../base/Json.ts"
import type { Call } from "../call/Call.ts"
import type { IntentPolicy } from "../call/Lineage.ts"
import type { Content } from "../base/Content.ts"
import { type AnyKey, type SigningKey, verify as verifySignature } from "../keys/Keys.ts"
import type { Principal } from "../call/Principal.ts"
import { namesIn, type RequestQuery } from "../call/Query.ts"
import * as Jws from "../keys/Jws.ts"
import * as Prompt from "./Prompt.ts"

/** How long an envelope is good for, in seconds. */
export const lifetime = 60

/** How far in the future `iat` may be, in seconds. */
export const clockTolerance = 30

/** How long an envelope may be, in characters. */
export const maximumLength = 64 * 1024

/** How many agents may stand between the first caller and the last. */
export const maximumDepth = 8

/** Who acted for the subject, the latest first (RFC 8693 §4.1). */
export interface Actor {
  readonly sub: string
  readonly act?: Actor
}

/** How long all envelopes of a chain may be together, in characters. */
export const maximumChain = 64 * 1024

const Actor: Schema.Codec<Actor> = Schema.Struct({
  sub: Schema.String,
  act: Schema.optionalKey(Schema.suspend((): Schema.Codec<Actor> => Actor))
})

const Name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(512))
const Digest = Schema.String.check(Schema.isPattern(/^sha-256:[A-Za-z0-9_-]{43}$/))
const Hash = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{43}$/))
const Nonce = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{22}$/))

/**
 * What an envelope says. Times are in seconds since 1970; a digest is `sha-256:` and the base64url SHA-256.
 *
 * - `iss`, `aud`, `sub`: the agent that signed, the one that it is for, and the principal in whose name.
 * - `tool`, `htm`, `htu`: the resource, and where its provider is asked (RFC 9449 §4.2).
 * - `bdh`, `int`: digests of the body, and of each intent policy.
 * - `qry`: the query with which its provider is asked: the names in it, and the digest of its text. An invocation has none: its
 *   sender does not know how the service asks.
 * - `prm`: digests of the prompt, by its field: see {@link Prompt.digests}.
 * - `ath`: hash of the principal's token (RFC 9449 §4.2).
 * - `txn`, `prh`, `dep`: `jti` of the first envelope of the chain, hash of the parent's `header.payload`, and depth.
 */
export const EnvelopeClaims = Schema.Struct({
  iss: Name,
  aud: Name,
  sub: Name,
  act: Schema.optionalKey(Actor),
  iat: Schema.Int,
  exp: Schema.Int,
  jti: Nonce,
  tool: Name,
  htm: Schema.optionalKey(Schema.String),
  htu: Schema.optionalKey(Schema.String),
  bdh: Digest,
  qry: Schema.optionalKey(Schema.Struct({ names: Schema.Array(Schema.String), digest: Digest })),
  ath: Schema.optionalKey(Hash),
  txn: Nonce,
  prh: Schema.optionalKey(Hash),
  dep: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: maximumDepth })),
  int: Schema.optionalKey(Schema.Array(Digest)),
  prm: Schema.optionalKey(Schema.Record(Schema.String, Schema.Union([Digest, Schema.Array(Digest)])))
})
export interface EnvelopeClaims extends Schema.Struct.Type<typeof EnvelopeClaims.fields> {}

/** A signed envelope: `digest` is the base64url SHA-256 of `header.payload`. */
export interface Envelope {
  readonly jws: string
  readonly kid: string
  readonly digest: string
  readonly claims: EnvelopeClaims
}

/** What an envelope is made of. */
export interface Statement {
  readonly key: AnyKey<"agent">
  /** Agent id of the signer. */
  readonly iss: string
  /** Agent id of the target; for a provider, the origin of its URL. */
  readonly aud: string
  /** The principal's id. */
  readonly sub: string
  /** `tool:<app>/<operation>`. */
  readonly tool: string
  /** The body. */
  readonly content: Content
  /** Time of signing, in ms since 1970. */
  readonly now: number
  /** Method and URL, `POST https://host/path`. */
  readonly endpoint?: string | undefined
  /** The query that goes with it. */
  readonly query?: RequestQuery | undefined
  /** The principal's `tokenHash`. */
  readonly tokenHash?: string | undefined
  readonly intents?: ReadonlyArray<IntentPolicy> | undefined
  /** The prompt, by the parameters that hold it. */
  readonly prompts?: JsonObject | undefined
  /** The verified envelope that this one was made because of. */
  readonly parent?: Link | undefined
}

/** An envelope as the next one names it. */
export type Link = Pick<Envelope, "claims" | "digest">

/** Signs an envelope. Throws where the key does, or where an intent policy is not JSON; a remote key gives a promise. */
export function sign(statement: Statement & { readonly key: SigningKey<"agent"> }): Envelope
export function sign(statement: Statement): Envelope | Promise<Envelope>
export function sign(statement: Statement): Envelope | Promise<Envelope> {
  const { key } = statement
  const claims = claimsOf(statement)
  const whole = ({ digest, jws }: Jws.SignedJws): Envelope => ({ jws, kid: key.kid, digest, claims })
  const signed = Jws.sign(key, type, JSON.stringify(claims))
  return signed instanceof Promise ? signed.then(whole) : whole(signed)
}

/**
 * An agent's invocation: the envelope with which it makes a call of a service in its workspace, a compact JWS. `parent` is the
 * envelope of the call that it is made because of. `now` is in ms since 1970, the present by default.
 */
export const signInvocation = (invocation: {
  readonly key: SigningKey<"agent">
  readonly agentId: string
  readonly principal: Principal
  readonly call: Call
  readonly parent?: Link | undefined
  readonly now?: number | undefined
}): string => {
  const { agentId, call, key, now = Date.now(), parent, principal } = invocation
  return sign({ ...ofCall(call, principal), key, iss: agentId, aud: call.server, parent, now }).jws
}

/** What every envelope over a call says, and its receiver expects of it. */
export const ofCall = (
  call: Call,
  principal: Principal
): Omit<Expectation, "publicKey" | "aud" | "now"> & Pick<Statement, "prompts" | "query"> => ({
  sub: principal.id,
  tool: call.resource,
  content: call.content,
  endpoint: call.endpoint,
  query: call.query,
  tokenHash: principal.tokenHash,
  intents: call.intents,
  prompts: Prompt.ofCall(call)
})

const claimsOf = (statement: Statement): EnvelopeClaims => {
  const { aud, content, endpoint, intents = [], iss, parent, prompts, query, sub, tokenHash, tool } = statement
  const iat = Math.floor(statement.now / 1000)
  const jti = nonce()
  const target = endpoint === undefined ? undefined : httpTarget(endpoint)
  return {
    iss,
    aud,
    sub,
    ...(parent !== undefined && { act: actorOf(parent.claims) }),
    iat,
    exp: parent === undefined ? iat + lifetime : Math.min(iat + lifetime, parent.claims.exp),
    jti,
    tool,
    ...target,
    bdh: content.spelledDigest,
    ...(query !== undefined && { qry: { names: namesIn(query), digest: Prompt.digest(query.text) } }),
    ...(tokenHash !== undefined && { ath: tokenHash }),
    txn: parent === undefined ? jti : parent.claims.txn,
    ...(parent !== undefined && { prh: parent.digest }),
    dep: parent === undefined ? 0 : parent.claims.dep + 1,
    ...(intents.length > 0 && { int: intents.map(intentDigest) }),
    ...(prompts !== undefined && { prm: Prompt.digestsIn(content, prompts) })
  }
}

const actorOf = ({ act, iss }: EnvelopeClaims): Actor => (act === undefined ? { sub: iss } : { sub: iss, act })

/** What the receiver of an invocation knows without it. */
export interface Expectation {
  /** The registered public key of that agent and id, 32 bytes. */
  readonly publicKey: (agentId: string, kid: string) => Uint8Array | undefined
  readonly aud: string
  readonly sub: string
  readonly tool: string
  readonly content: Content
  readonly endpoint: string
  readonly tokenHash: string | undefined
  readonly intents: ReadonlyArray<IntentPolicy>
  /** Ms since 1970. */
  readonly now: number
}

/**
 * Verifies an invocation in the order of the checks: size, form, claims, signer and signature, audience, time, what is asked
 * (resource, endpoint, body), token and principal, intents, place in its chain. The failure is a clause that says what is
 * wrong. Whether its chain holds is for {@link verifyChain} to say, and whether it was used before for {@link Replay}.
 */
export const verify = (jws: string, expected: Expectation): Result.Result<Envelope, string> => {
  const read = open(jws, expected.publicKey)
  if (Result.isFailure(read)) return read
  const { claims } = read.success
  if (claims.aud !== expected.aud) return Result.fail("is for another agent")
  const fault = timeFault(claims, Math.floor(expected.now / 1000))
  if (fault !== undefined) return Result.fail(fault)
  if (claims.tool !== expected.tool) return Result.fail("is for another resource")
  const target = httpTarget(expected.endpoint)
  if (claims.htm !== target?.htm || claims.htu !== target?.htu) return Result.fail("is for another endpoint")
  if (claims.bdh !== expected.content.spelledDigest) return Result.fail("is for other params")
  if (claims.ath !== expected.tokenHash) return Result.fail("is for another token")
  if (claims.sub !== expected.sub) return Result.fail("is for another principal")
  if (!takePart(claims, expected.intents)) return Result.fail("declares an intent policy that does not take part")
  if ((claims.dep === 0) !== isRoot(claims)) return Result.fail("does not say where in its chain it stands")
  return read
}

/** Reads an envelope, by whomever it is, and verifies its signature with the key that `publicKey` gives. */
export const open = (jws: string, publicKey: Expectation["publicKey"]): Result.Result<Envelope, string> => {
  const read = Jws.read(jws, type, maximumLength)
  if (Result.isFailure(read)) return Result.fail(read.failure)
  const { digest, kid, signature, signed } = read.success
  const decoded = decodeClaims(read.success.claims)
  if (Result.isFailure(decoded)) return Result.fail("lacks a claim, or has one of another form")
  const claims = decoded.success
  const key = publicKey(claims.iss, kid)
  if (key === undefined) return Result.fail("is not by an agent that is registered with this key")
  if (!verifySignature(key, Buffer.from(signed, "latin1"), signature)) return Result.fail("was not signed by its agent")
  return Result.succeed({ jws, kid, digest, claims })
}

/** What the receiver of a chain knows without it. */
export interface ChainExpectation extends Pick<Expectation, "publicKey" | "intents" | "now"> {
  /** True where the signer of `child` may make a call because of `parent`. */
  readonly mayFollow: (child: EnvelopeClaims, parent: EnvelopeClaims) => boolean
}

/**
 * Verifies the chain that a verified envelope names as its parents, root first, each a compact JWS: every one is signed and
 * good now, names the one before it, is one deeper, of the same root, subject and token, and outlives no parent; and every
 * intent that one of them declares takes part. Gives them; the failure is a clause about the last envelope.
 */
export const verifyChain = (
  last: Envelope,
  chain: ReadonlyArray<string>,
  expected: ChainExpectation
): Result.Result<ReadonlyArray<Envelope>, string> => {
  if (chain.length !== last.claims.dep)
    return Result.fail(`stands at depth ${last.claims.dep}, and ${chain.length} envelopes came with it`)
  if (chain.reduce((sum, jws) => sum + jws.length, last.jws.length) > maximumChain)
    return Result.fail(`comes with a chain of more than ${maximumChain} characters`)
  const links: Array<Envelope> = []
  for (const jws of chain) {
    const link = open(jws, expected.publicKey)
    if (Result.isFailure(link)) return Result.fail(`comes with a chain of which one ${link.failure}`)
    links.push(link.success)
  }
  const now = Math.floor(expected.now / 1000)
  for (const [dep, { claims }] of [...links, last].entries()) {
    const parent = links[dep - 1]
    const fault = timeFault(claims, now) ?? linkFault(claims, dep, parent, expected.mayFollow)
    if (fault !== undefined) return Result.fail(`comes with a chain of which one ${fault}`)
    if (!takePart(claims, expected.intents))
      return Result.fail("comes with a chain that declares an intent policy that does not take part")
  }
  return Result.succeed(links)
}

const linkFault = (
  claims: EnvelopeClaims,
  dep: number,
  parent: Envelope | undefined,
  mayFollow: ChainExpectation["mayFollow"]
): string | undefined => {
  if (claims.dep !== dep) return "stands at another depth"
  if (parent === undefined) return isRoot(claims) ? undefined : "is no root and has no parent"
  if (claims.prh !== parent.digest) return "names another parent"
  if (claims.txn !== parent.claims.txn) return "is of another root"
  if (claims.sub !== parent.claims.sub) return "is for another principal than its parent"
  if (claims.ath !== parent.claims.ath) return "is for another token than its parent"
  if (claims.exp > parent.claims.exp) return "outlives its parent"
  if (claims.act === undefined || canonicalize(claims.act) !== canonicalize(actorOf(parent.claims)))
    return "names others as those who acted"
  return mayFollow(claims, parent.claims) ? undefined : "is by an agent that its parent was not for"
}

const isRoot = ({ act, jti, prh, txn }: EnvelopeClaims): boolean =>
  prh === undefined && act === undefined && txn === jti

const takePart = ({ int }: EnvelopeClaims, intents: ReadonlyArray<IntentPolicy>): boolean => {
  if (int === undefined) return true
  const takingPart = new Set(intents.map(intentDigest))
  return int.every((intent) => takingPart.has(intent))
}

/** An envelope as a link, of one that this process signed itself; undefined for what is none. */
export const linkOf = (jws: string): Link | undefined => {
  const read = Result.getOrUndefined(Jws.read(jws, type, maximumLength))
  const claims = read && Result.getOrUndefined(decodeClaims(read.claims))
  return read === undefined || claims === undefined ? undefined : { claims, digest: read.digest }
}

const timeFault = ({ exp, iat }: EnvelopeClaims, now: number): string | undefined => {
  if (exp <= iat || exp - iat > lifetime) return `must be good for 1 to ${lifetime} seconds`
  if (iat > now + clockTolerance) return "is from the future"
  return exp <= now ? "has expired" : undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// Parts
// ---------------------------------------------------------------------------------------------------------------------

const type = "soai-invoke+jwt"

const decodeClaims = Schema.decodeUnknownResult(EnvelopeClaims, { onExcessProperty: "error" })

const intents = new WeakMap<IntentPolicy, string>()

/** Digest of an intent policy's canonical JSON; taken once an object, for intents are kept by reference. */
const intentDigest = (intent: IntentPolicy): string => {
  const known = intents.get(intent)
  if (known !== undefined) return known
  const taken = Prompt.digest(canonicalize(intent))
  intents.set(intent, taken)
  return taken
}

/** Method and URL, where the endpoint is one of HTTP. */
const httpTarget = (endpoint: string): { readonly htm: string; readonly htu: string } | undefined => {
  const space = endpoint.indexOf(" ")
  const htu = endpoint.slice(space + 1)
  return /^https?:\/\//.test(htu) ? { htm: endpoint.slice(0, space), htu } : undefined
}

const nonceBytes = 16
const pool = Buffer.alloc(256 * nonceBytes)
let drawn = pool.length

/** 16 random bytes, base64url; drawn from the system 256 at a time. */
const nonce = (): string => {
  if (drawn === pool.length) {
    Crypto.randomFillSync(pool)
    drawn = 0
  }
  drawn += nonceBytes
  return pool.toString("base64url", drawn - nonceBytes, drawn)
}
