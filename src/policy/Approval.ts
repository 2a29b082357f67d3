/**
 * What a pending call waits for (mapl §6): which approvals, from whom, and the digest that each is bound to.
 *
 * @since 0.2.0
 */
import * as Crypto from "node:crypto"
import { canonicalize, type JsonObject } from "../CanonicalJson.ts"
import type { Approval } from "../Decision.ts"

/** How an approval is obtained, as a document's `constraints.attestations` says it. */
export interface Terms {
  readonly key: string
  readonly policy: string
  readonly approver: string
  readonly oneTime: boolean
  readonly timeout?: number
  readonly timeToLive?: number
  readonly maxUses?: number
  readonly description?: string
}

/** The approval of one request: of its very params where it serves once, of the resource where it serves longer. */
export const approvalOf = (
  terms: Terms,
  request: { readonly principal: string; readonly resource: string; readonly params: JsonObject }
): Approval => {
  const { params, principal, resource } = request
  return { ...terms, digest: digestOf(terms.oneTime ? { params, principal, resource } : { principal, resource }) }
}

const digestOf = (bound: JsonObject): string =>
  `sha-256:${Crypto.createHash("sha256").update(canonicalize(bound)).digest("base64url")}`
