/**
 * Key material by purpose: an agent key for envelopes and receipts, a log key for checkpoints, a secret salt for the digests
 * in the log. Purposes never mix: a key knows its own, and signs nothing else.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import { Configuration } from "../call/Errors.ts"
import type { KeyEnd } from "./KeyFolder.ts"
import * as KeyFolder from "./KeyFolder.ts"
import * as KeyOptions from "./KeyOptions.ts"

/** What a key signs. */
export type KeyUse = "agent" | "log"

/** What is signed, by its type, and the key that it is signed by. */
export const useOf = {
  "soai-invoke+jwt": "agent",
  "soai-receipt+jwt": "agent",
  checkpoint: "log"
} as const

/** The types of {@link useOf}. */
export type SignedType = keyof typeof useOf
/** Those that are JWS. */
export type JwsType = Exclude<SignedType, "checkpoint">
/** The use of the key that signs something of a type; all of the union, for any of its types. */
export type UseOf = { readonly [T in SignedType]: (typeof useOf)[T] }

/** The public part of an Ed25519 key. */
export interface PublicKey<Use extends KeyUse = KeyUse> {
  readonly use: Use
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly kid: string
  /** Public key as a JWK (RFC 8037). */
  readonly jwk: { readonly kty: "OKP"; readonly crv: "Ed25519"; readonly x: string }
  /** Public key, 32 bytes. */
  readonly publicKey: Uint8Array
}

/** An Ed25519 key of this process. The private part stays inside. */
export interface SigningKey<Use extends KeyUse = KeyUse> extends PublicKey<Use> {
  /** Ed25519 signature (RFC 8032), 64 bytes. */
  readonly sign: (bytes: Uint8Array) => Uint8Array
}

/** An Ed25519 key that somebody else holds, a KMS for instance. The promise rejects with {@link SignerFailed}. */
export interface RemoteKey<Use extends KeyUse = KeyUse> extends PublicKey<Use> {
  readonly signLater: (bytes: Uint8Array) => Promise<Uint8Array>
}

/** A key that signs, here or elsewhere. */
export type AnyKey<Use extends KeyUse = KeyUse> = SigningKey<Use> | RemoteKey<Use>

/** A signer gave no signature. */
export class SignerFailed extends Error {}

/** Signs something of a type. Throws `TypeError` where the key is for another purpose, whatever its type says. */
export const signAs = <T extends SignedType>(
  key: AnyKey<UseOf[T]>,
  type: T,
  bytes: Uint8Array
): Uint8Array | Promise<Uint8Array> => {
  if (key.use !== useOf[type]) throw new TypeError(`a key for ${key.use} signs no ${type}`)
  return "signLater" in key ? key.signLater(bytes) : key.sign(bytes)
}

/**
 * The keys of a home.
 *
 * @category services
 */
export class Keys extends Context.Service<
  Keys,
  {
    readonly agent: AnyKey<"agent">
    readonly log: AnyKey<"log">
    /** The log key that takes the place of `log`: until then both sign. */
    readonly nextLog?: AnyKey<"log"> | undefined
    /** 32 random bytes. */
    readonly salt: Redacted.Redacted<Uint8Array>
    /** Keys that were in use before, for the log to say so. */
    readonly ended?: ReadonlyArray<KeyEnd>
  }
>()("secure-openai/Keys") {
  /** Keys that live as long as the process. */
  static readonly layerMemory = Layer.sync(Keys, () => ({
    agent: generate("agent"),
    log: generate("log"),
    salt: Redacted.make(Uint8Array.from(Crypto.randomBytes(32)))
  }))

  /**
   * Keys in a folder, made where they are missing; refused where others can read them. A rotation that was prepared is taken
   * up.
   */
  static readonly layerDirectory = (directory: string): Layer.Layer<Keys, Configuration> =>
    Keys.layerKept({}, directory)

  /**
   * Keys where they are kept: given by value, in a folder that is only read, or else in a home's folder `directory`; without
   * that, what is not given lives as long as the process.
   */
  static readonly layerKept = (
    options: KeyOptions.KeyOptions,
    directory: string | undefined
  ): Layer.Layer<Keys, Configuration> =>
    Layer.effect(
      Keys,
      Effect.try({
        try: () => {
          const given = KeyOptions.givenKeys(options)
          const { agent, ended, log, nextLog, salt } =
            options.folder === undefined
              ? KeyFolder.openWith(directory, given)
              : KeyFolder.openMounted(options.folder, given)
          return {
            agent: signingKey("agent", agent),
            log: signingKey("log", log),
            nextLog: nextLog && signingKey("log", nextLog),
            salt: Redacted.make(salt),
            ended
          }
        },
        catch: (cause) =>
          cause instanceof Configuration
            ? cause
            : new Configuration({
                message: `The keys in ${options.folder ?? directory} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}. ${options.folder === undefined ? "Set SECURE_OPENAI_HOME to a folder that this process may write, or keys (SECURE_OPENAI_KEYS) to one with keys in it" : "Set keys (SECURE_OPENAI_KEYS) to a folder with agent.pem, log.pem and salt in it"}, or use audit: "memory".`,
                cause
              })
      })
    )
}

/** A new key that lives as long as the process. */
export const generate = <Use extends KeyUse = "agent">(use: Use = "agent" as Use): SigningKey<Use> =>
  signingKey(use, Crypto.generateKeyPairSync("ed25519").privateKey)

/** RFC 7638 SHA-256 thumbprint of an Ed25519 public key, base64url. */
export const thumbprint = KeyFolder.thumbprint

/** Verifies an Ed25519 signature (RFC 8032) by a 32-byte public key. */
export const verify = (publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean =>
  publicKey.length === 32 &&
  signature.length === 64 &&
  Crypto.verify(null, bytes, publicKeyObject(publicKey), signature)

const publicKeyObject = (publicKey: Uint8Array): Crypto.KeyObject =>
  Crypto.createPublicKey({
    format: "jwk",
    key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(publicKey).toString("base64url") }
  })

const signingKey = <Use extends KeyUse>(use: Use, privateKey: Crypto.KeyObject): SigningKey<Use> => ({
  ...publicKeyOf(use, KeyFolder.publicPart(privateKey)),
  sign: (bytes) => Crypto.sign(null, bytes, privateKey)
})

/** The public key of a purpose, from the `x` of its JWK. */
export const publicKeyOf = <Use extends KeyUse>(use: Use, x: string): PublicKey<Use> => ({
  use,
  kid: thumbprint(x),
  jwk: { kty: "OKP", crv: "Ed25519", x },
  publicKey: Uint8Array.from(Buffer.from(x, "base64url"))
})
