/**
 * Who calls: an application, a user or an agent, as a verified credential told.
 *
 * @since 0.1.0
 */

/**
 * A verified caller. `id` is the name that policies know: `alice` of `user:alice`.
 *
 * - `documents`: the policy ids that verified claims name besides the caller's own (`company:Acme`, `team:Lab`,
 *   `role:analyst`, `group:eu`), the widest first.
 * - `attestations`: proofs that the login itself gave, such as `phishing_resistant`.
 * - `expiresAt`: when the credential ends, in seconds since 1970; absent for an application.
 */
export interface Principal {
  readonly kind: "app" | "user" | "agent"
  readonly id: string
  readonly issuer?: string
  readonly roles: ReadonlyArray<string>
  readonly groups: ReadonlyArray<string>
  readonly documents: ReadonlyArray<string>
  readonly attestations: ReadonlyArray<string>
  readonly claims: Readonly<Record<string, unknown>>
  readonly expiresAt?: number
  /** When calls end, in seconds since 1970: `expiresAt` and the issuer's clock tolerance. */
  readonly validUntil?: number
  /** base64url SHA-256 of the token as received (RFC 9449 `ath`); absent for an application. */
  readonly tokenHash?: string
  /** True where the issuer could not be reached and its key counted by grace alone. */
  readonly degraded?: true
}

/** An application that calls in its own name. */
export const app = (id: string): Principal => unclaimed("app", id)

/** An agent that is known by its key in the directory. */
export const agent = (id: string): Principal => unclaimed("agent", id)

const unclaimed = (kind: Principal["kind"], id: string): Principal => ({
  kind,
  id,
  roles: [],
  groups: [],
  documents: [],
  attestations: [],
  claims: {}
})

/** `user:alice`: the id of the policy that is the principal's own, and how messages name it. */
export const policyId = (principal: Principal): string => `${principal.kind}:${principal.id}`
