/**
 * What a pending call waits for (mapl §6): which approvals, from whom, and the digest that each is bound to.
 */
import * as Crypto from "node:crypto"
import { spell } from "../base/Content.ts"
import { canonicalize } from "../base/CanonicalJson.ts"
import type { JsonObject } from "../base/Json.ts"
import type { Approval } from "../call/Decision.ts"
import { policyId, type Principal } from "../call/Principal.ts"
import type { NeededAttestation } from "./Finding.ts"

/** The approval of one request: of its very params where it serves once, of the resource where it serves longer. */
export const approvalOf = (
  needed: NeededAttestation,
  request: { readonly principal: Principal; readonly params: JsonObject },
  resource: string
): Approval => {
  const { approver = "", description, key, max_uses, one_time, policy, time_to_live, timeout } = needed
  const { issuer, subject } = request.principal
  const about = {
    principal: policyId(request.principal),
    ...(issuer !== undefined && { issuer }),
    ...(subject !== undefined && { subject }),
    resource
  }
  return {
    key,
    policy,
    approver,
    digest: digestOf(one_time ? { ...about, params: request.params } : about),
    oneTime: one_time,
    ...(timeout !== undefined && { timeout }),
    ...(time_to_live !== undefined && { timeToLive: time_to_live }),
    ...(max_uses !== undefined && { maxUses: max_uses }),
    ...(description !== undefined && { description })
  }
}

/** The digest of what JSON says of a request: that is what an approver is shown, and what is sent. */
const digestOf = (bound: JsonObject): string => {
  const said: unknown = JSON.parse(JSON.stringify(bound))
  return spell(Crypto.createHash("sha256").update(canonicalize(said)).digest())
}
