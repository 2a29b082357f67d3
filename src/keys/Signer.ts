/**
 * Keys that somebody else holds: a KMS, an HSM, a signing server. A signer gives signatures and keeps the key; where it gives
 * none, or a wrong one, nothing is sent.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Configuration } from "../call/Errors.ts"
import type { KeyEnd } from "./KeyFolder.ts"
import { Keys, type KeyUse, publicKeyOf, type RemoteKey, SignerFailed, thumbprint, verify } from "./Keys.ts"

/** A key that is held elsewhere. */
export interface RemoteSigner {
  /** RFC 7638 SHA-256 thumbprint of `jwk`, base64url. */
  readonly kid: string
  /** Public Ed25519 key (RFC 8037). */
  readonly jwk: { readonly kty: "OKP"; readonly crv: "Ed25519"; readonly x: string }
  /** The Ed25519 signature (RFC 8032) of bytes, 64 bytes. Given up after 5 s. */
  readonly sign: (bytes: Uint8Array) => Effect.Effect<Uint8Array, unknown>
}

/** The signers by purpose. A purpose that has none keeps the key of this process. */
export interface Signers {
  readonly agent?: RemoteSigner | undefined
  readonly log?: RemoteSigner | undefined
  /** The log key that takes the place of `log` (of the home's, where there is no other): until then both sign. */
  readonly nextLog?: RemoteSigner | undefined
  /** Keys that were in use before, for the log to say that they are no more. */
  readonly ended?: ReadonlyArray<KeyEnd> | undefined
}

/**
 * Who signs.
 *
 * @category services
 */
export class Signer extends Context.Service<Signer, Signers>()("secure-openai/Signer") {
  /** Signers as they are given. @category layers */
  static readonly layer = (signers: Signers): Layer.Layer<Signer> => Layer.succeed(Signer, signers)

  /**
   * Keys with the signers in the place of those that they hold. Fails with {@link Configuration} where a signer's `kid` is
   * not its key's, one key has two purposes, or a key has ended.
   *
   * @category layers
   */
  static readonly keys = <E, R>(keys: Layer.Layer<Keys, E, R>): Layer.Layer<Keys, E | Configuration, R | Signer> =>
    Layer.effect(
      Keys,
      Effect.gen(function* () {
        const held = yield* Keys
        const signers = yield* Signer
        const agent = signers.agent === undefined ? held.agent : yield* remoteKey("agent", signers.agent)
        const log = signers.log === undefined ? held.log : yield* remoteKey("log", signers.log)
        const nextLog =
          signers.nextLog !== undefined
            ? yield* remoteKey("log", signers.nextLog)
            : signers.log === undefined
              ? held.nextLog
              : undefined
        const current = [agent, log, ...(nextLog === undefined ? [] : [nextLog])].map(({ kid }) => kid)
        if (new Set(current).size < current.length)
          return yield* new Configuration({
            message:
              "Two of the agent key, the log key and the next log key are one. A key has one purpose: give signers of different keys."
          })
        const ended = [...(held.ended ?? []), ...(signers.ended ?? [])]
        const back = ended.find(({ kid }) => current.includes(kid))
        if (back !== undefined)
          return yield* new Configuration({
            message: `The key ${back.kid} was ${back.state} before, and what ended does not come back. Give the signer of a newer one.`
          })
        return { ...held, agent, log, nextLog, ended }
      })
    ).pipe(Layer.provide(keys))
}

/** How long a signature may take. */
const patience = "5 seconds"

const noSignature = new Uint8Array()

/** What a signer gave, where it is an Effect; a promise is the likeliest mistake of those who write no TypeScript. */
const effectOf = (given: unknown): Effect.Effect<unknown, unknown> =>
  Effect.isEffect(given) ? (given as Effect.Effect<unknown, unknown>) : Effect.fail("no Effect")

const remoteKey = <Use extends KeyUse>(
  use: Use,
  { jwk, kid, sign }: RemoteSigner
): Effect.Effect<RemoteKey<Use>, Configuration> => {
  const key = publicKeyOf(use, jwk.x)
  if (jwk.kty !== "OKP" || jwk.crv !== "Ed25519" || key.publicKey.length !== 32 || thumbprint(jwk.x) !== kid)
    return Effect.fail(
      new Configuration({
        message: `The signer of the ${use} key must give an Ed25519 JWK, and its RFC 7638 thumbprint as kid; the thumbprint is ${thumbprint(jwk.x)}.`
      })
    )
  const failed = (why: string, cause?: unknown): SignerFailed =>
    new SignerFailed(
      `The signer of the ${use} key ${kid} ${why}. See that it runs and can be reached from here, then try again.`,
      { cause }
    )
  const signed = (bytes: Uint8Array): Effect.Effect<Uint8Array, SignerFailed> =>
    // A copy each way: what a signer does with its bytes later changes nothing here.
    Effect.suspend(() => effectOf(sign(Uint8Array.from(bytes)))).pipe(
      Effect.catchCause((cause) => Effect.fail(failed("did not sign, or gave no Effect", cause))),
      Effect.map((signature: unknown) => (signature instanceof Uint8Array ? Uint8Array.from(signature) : noSignature)),
      Effect.filterOrFail(
        (signature) => verify(key.publicKey, bytes, signature),
        () => failed("gave a signature that is not by its key")
      ),
      Effect.timeoutOrElse({
        duration: patience,
        orElse: () => Effect.fail(failed(`gave no signature within ${patience}`))
      })
    )
  return Effect.succeed({ ...key, signLater: (bytes) => Effect.runPromise(signed(bytes)) })
}
