/**
 * The issuer that the environment names, for apps and commands alike.
 */
import process from "node:process"
import { ConfigurationError } from "../call/SdkErrors.ts"
import type { ClaimOptions } from "./Claims.ts"
import type { IssuerOptions } from "./Issuer.ts"

/**
 * The issuer that `SECURE_OPENAI_ISSUER`, `_AUDIENCE`, `_JWKS_URI` and `_CLAIMS` (a preset's name, or a mapping as JSON)
 * describe. Throws a `ConfigurationError`.
 */
export const issuerFromEnvironment = (): IssuerOptions | undefined => {
  const env = (name: string): string | undefined => process.env[`SECURE_OPENAI_${name}`] || undefined
  const issuer = env("ISSUER")
  const audience = env("AUDIENCE")
  const jwksUri = env("JWKS_URI")
  const claims = env("CLAIMS")
  if ((issuer === undefined) !== (audience === undefined))
    throw new ConfigurationError("SECURE_OPENAI_ISSUER and SECURE_OPENAI_AUDIENCE go together; set both or neither.")
  if (issuer === undefined || audience === undefined) return undefined
  return {
    issuer,
    audience,
    ...(jwksUri !== undefined && { jwksUri }),
    ...(claims !== undefined && { claims: claimsIn(claims, "SECURE_OPENAI_CLAIMS") })
  }
}

/** The option `claims` as text: a preset's name, or a mapping as JSON. Throws a `ConfigurationError` with `name` in it. */
export const claimsIn = (text: string, name: string): ClaimOptions => {
  try {
    // What is neither a preset nor a mapping is refused with the option.
    return JSON.parse(text.startsWith("{") ? text : JSON.stringify(text))
  } catch {
    throw new ConfigurationError(`${name} is neither the name of a preset nor JSON.`)
  }
}
