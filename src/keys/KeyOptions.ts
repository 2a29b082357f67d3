/**
 * Where a workspace's own keys are kept, when that is not its home: a folder that is only read, or values that somebody gives
 * by an environment variable or by code.
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Crypto from "node:crypto"
import process from "node:process"
import { Configuration } from "../call/Errors.ts"
import { ConfigurationError } from "../call/SdkErrors.ts"
import { type GivenKeys, publicPart, saltOf } from "./KeyFolder.ts"
import { requireKnownOptions } from "../call/UnknownOption.ts"

/** A secret as text; best given as `Redacted`, which no log prints. */
export type Secret = string | Redacted.Redacted<string>

/** Keys by their places. What is left out is in the folder or, without one, in the home. */
export interface KeyOptions {
  /** A folder with `agent.pem`, `log.pem` and `salt`, which is only read. */
  readonly folder?: string | undefined
  /** A private Ed25519 key as the JSON of a JWK (RFC 8037): `{"kty":"OKP","crv":"Ed25519","x":…,"d":…}`. */
  readonly agent?: Secret | undefined
  /** As `agent`; another key. */
  readonly log?: Secret | undefined
  /** 32 bytes, base64url. */
  readonly salt?: Secret | undefined
}

const names: ReadonlySet<string> = new Set(["folder", "agent", "log", "salt"])

/** Throws a `ConfigurationError` for an option `keys` of another form. What is in it is checked when it is used. */
export const requireKeyOptions = (keys: string | KeyOptions | undefined): void => {
  if (keys === undefined || (typeof keys === "string" && keys !== "")) return
  if (typeof keys !== "object" || keys === null)
    throw new ConfigurationError("The option keys names a folder, or is { folder, agent, log, salt }.")
  requireKnownOptions(keys, "keys", names)
  const { folder, ...secrets } = keys
  if (folder !== undefined && (typeof folder !== "string" || folder === ""))
    throw new ConfigurationError("keys.folder names a folder.")
  for (const [name, secret] of Object.entries(secrets))
    if (secret !== undefined && typeof secret !== "string" && !Redacted.isRedacted(secret))
      throw new ConfigurationError(`keys.${name} is text, or Redacted.make(text).`)
}

/**
 * What the environment says: `SECURE_OPENAI_KEYS` (a folder), `SECURE_OPENAI_AGENT_JWK`, `SECURE_OPENAI_LOG_JWK` and
 * `SECURE_OPENAI_SALT`. Undefined where it says nothing.
 */
export const keysOfEnvironment = (): KeyOptions | undefined => {
  const env = (name: string): string | undefined => process.env[`SECURE_OPENAI_${name}`] || undefined
  const secret = (name: string) => {
    const value = env(name)
    return value === undefined ? undefined : Redacted.make(value)
  }
  const keys = { folder: env("KEYS"), agent: secret("AGENT_JWK"), log: secret("LOG_JWK"), salt: secret("SALT") }
  return Object.values(keys).some((value) => value !== undefined) ? keys : undefined
}

/** The keys that are given by their values. Throws {@link Configuration}, whose message holds nothing of them. */
export const givenKeys = ({ agent, log, salt }: KeyOptions): GivenKeys => ({
  agent: agent === undefined ? undefined : keyOf(valueOf(agent), "keys.agent (SECURE_OPENAI_AGENT_JWK)"),
  log: log === undefined ? undefined : keyOf(valueOf(log), "keys.log (SECURE_OPENAI_LOG_JWK)"),
  salt: salt === undefined ? undefined : saltOf(valueOf(salt), "keys.salt (SECURE_OPENAI_SALT) is not")
})

const valueOf = (secret: Secret): string => (typeof secret === "string" ? secret : Redacted.value(secret))

const PrivateJwk = Schema.fromJsonString(
  Schema.Struct({
    kty: Schema.Literal("OKP"),
    crv: Schema.Literal("Ed25519"),
    x: Schema.String,
    d: Schema.String
  })
)
const decode = Schema.decodeUnknownResult(PrivateJwk)

const keyOf = (text: string, name: string): Crypto.KeyObject => {
  const jwk = Result.getOrUndefined(decode(text))
  const key = jwk && Result.getOrUndefined(Result.try(() => Crypto.createPrivateKey({ key: jwk, format: "jwk" })))
  if (jwk === undefined || key === undefined)
    throw new Configuration({
      message: `${name} is not the JSON of a private Ed25519 JWK: {"kty":"OKP","crv":"Ed25519","x":"…","d":"…"}.`
    })
  // Node takes any x beside d.
  if (publicPart(key) !== jwk.x)
    throw new Configuration({ message: `${name} has a public part (x) that is not that of its private part (d).` })
  return key
}
