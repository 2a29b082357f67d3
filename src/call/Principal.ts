/**
 * Who calls: an application, a user or an agent, as a verified credential told.
 */

/**
 * A verified caller. `id` is the name that policies know: `alice` of `user:alice`. Two users may have one name, where several
 * issuers are trusted: {@link identityOf} tells them apart.
 *
 * - `issuer`, `subject`: the `iss` and `sub` of a user's token; absent for an application and an agent.
 * - `documents`: the policy ids that verified claims name besides the caller's own (`company:Acme`, `team:Lab`,
 *   `role:analyst`, `group:eu`), the widest first.
 * - `attestations`: proofs that the login itself gave, such as `phishing_resistant`.
 * - `expiresAt`: when the credential ends, in seconds since 1970; absent for an application.
 */
export interface Principal {
  readonly kind: "app" | "user" | "agent"
  readonly id: string
  readonly issuer?: string
  readonly subject?: string
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

/**
 * Who a principal is, whatever its name: an issuer never gives one `sub` to two users (OpenID Connect Core 1.0 §2), but two
 * issuers may. All that is kept for one caller (rate limits, whose agent may act for whom) is kept by this text. Applications
 * and agents are known by their names.
 */
export const identityOf = ({
  id,
  issuer,
  kind,
  subject
}: Pick<Principal, "id" | "issuer" | "kind" | "subject">): string =>
  JSON.stringify(issuer === undefined ? [kind, id] : [kind, issuer, subject ?? id])

/** True where both are one caller under one name. */
export const isSame = (a: Principal, b: Principal): boolean => a.id === b.id && identityOf(a) === identityOf(b)

/** How messages tell a principal from another of that name: `user:alice of https://login.example`. */
export const fullName = (principal: Principal): string =>
  principal.issuer === undefined ? policyId(principal) : `${policyId(principal)} of ${principal.issuer}`

/** `user:alice`: the id of the policy that is the principal's own, and how messages name it. */
export const policyId = (principal: Principal): string => `${principal.kind}:${principal.id}`
