/**
 * Key material by purpose: an agent key for envelopes and receipts, a log key for checkpoints, a secret salt for the digests
 * in the log. Purposes never mix.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Configuration } from "./Errors.ts"
import { createFile, makeFolders } from "./Files.ts"

/** An Ed25519 key that signs. The private part stays inside. */
export interface SigningKey {
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly kid: string
  /** Public key as a JWK (RFC 8037). */
  readonly jwk: { readonly kty: "OKP"; readonly crv: "Ed25519"; readonly x: string }
  /** Public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Ed25519 signature (RFC 8032), 64 bytes. */
  readonly sign: (bytes: Uint8Array) => Uint8Array
}

/**
 * The keys of a home.
 *
 * @category services
 */
export class Keys extends Context.Service<
  Keys,
  {
    readonly agent: SigningKey
    readonly log: SigningKey
    /** 32 random bytes. */
    readonly salt: Redacted.Redacted<Uint8Array>
  }
>()("secure-openai/Keys") {
  /** Keys that live as long as the process. */
  static readonly layerMemory = Layer.sync(Keys, () => ({
    agent: generate(),
    log: generate(),
    salt: Redacted.make(Uint8Array.from(Crypto.randomBytes(32)))
  }))

  /** Keys in a folder, made where they are missing; refused where others can read them. */
  static readonly layerDirectory = (directory: string): Layer.Layer<Keys, Configuration> =>
    Layer.effect(
      Keys,
      Effect.try({
        try: () => {
          openDirectory(directory)
          return {
            agent: signingKey(load(Path.join(directory, "agent.pem"), newPem)),
            log: signingKey(load(Path.join(directory, "log.pem"), newPem)),
            salt: Redacted.make(readSalt(Path.join(directory, "salt")))
          }
        },
        catch: (cause) =>
          cause instanceof Configuration
            ? cause
            : new Configuration({
                message: `The keys in ${directory} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}. Set SECURE_OPENAI_HOME to a folder that this process may write, or use audit: "memory".`,
                cause
              })
      })
    )
}

/** A new key that lives as long as the process. */
export const generate = (): SigningKey => fromPrivateKey(Crypto.generateKeyPairSync("ed25519").privateKey)

/** Verifies an Ed25519 signature (RFC 8032) by a 32-byte public key. */
export const verify = (publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean =>
  publicKey.length === 32 &&
  signature.length === 64 &&
  Crypto.verify(null, bytes, publicKeyObject(publicKey), signature)

/** RFC 7638 SHA-256 thumbprint of an Ed25519 public key, base64url. */
export const thumbprint = (x: string): string =>
  Crypto.createHash("sha256").update(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`).digest("base64url")

const publicKeyObject = (publicKey: Uint8Array): Crypto.KeyObject =>
  Crypto.createPublicKey({
    format: "jwk",
    key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(publicKey).toString("base64url") }
  })

const fromPrivateKey = (privateKey: Crypto.KeyObject): SigningKey => {
  const { x } = Crypto.createPublicKey(privateKey).export({ format: "jwk" })
  if (privateKey.asymmetricKeyType !== "ed25519" || x === undefined)
    throw new Configuration({ message: "A signing key must be an Ed25519 private key in PKCS#8 PEM." })
  return {
    kid: thumbprint(x),
    jwk: { kty: "OKP", crv: "Ed25519", x },
    publicKey: Uint8Array.from(Buffer.from(x, "base64url")),
    sign: (bytes) => Crypto.sign(null, bytes, privateKey)
  }
}

const signingKey = (pem: string): SigningKey => fromPrivateKey(Crypto.createPrivateKey(pem))

const newPem = (): string =>
  Crypto.generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }).toString()

const readSalt = (path: string): Uint8Array => {
  const salt = Buffer.from(load(path, () => `${Crypto.randomBytes(32).toString("base64url")}\n`).trim(), "base64url")
  if (salt.length !== 32) throw new Configuration({ message: `${path} does not hold 32 bytes in base64url.` })
  return Uint8Array.from(salt)
}

/** The file's text; made with mode 0600 where it is missing. */
const load = (path: string, make: () => string): string => {
  if (!Fs.existsSync(path)) createFile(path, make())
  requirePrivate(path, "600")
  return Fs.readFileSync(path, "utf8")
}

const openDirectory = (directory: string): void => {
  makeFolders(directory)
  requirePrivate(directory, "700")
}

const requirePrivate = (path: string, mode: string): void => {
  if (process.platform === "win32") return
  if ((Fs.statSync(path).mode & 0o077) !== 0)
    throw new Configuration({ message: `${path} can be read by others; run: chmod ${mode} ${path}` })
}
