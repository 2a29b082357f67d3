import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import { canonicalize } from "../../src/base/CanonicalJson.ts"
import type { JsonObject } from "../../src/base/Json.ts"
import type { Approval } from "../../src/call/Decision.ts"
import { decide } from "../../src/policy/Evaluate.ts"
import type { Document } from "../../src/policy/Mapl.ts"
import { makeFind } from "../../src/policy/Participants.ts"
import { load } from "../../src/policy/PolicySource.ts"
import type { Principal } from "../../src/call/Principal.ts"
import { user } from "./states.ts"

type Metadata = NonNullable<NonNullable<Document["constraints"]>["attestations"]>[string]

const approvals = (
  metadata: Metadata,
  params: JsonObject,
  principal: Principal = user("ana")
): ReadonlyArray<Approval> => {
  const document: Document = {
    policy_id: `user:${principal.id}`,
    resources: ["tool:**"],
    attestations: ["boss"],
    constraints: { attestations: { boss: { approval_criteria: "role:manager", ...metadata } } }
  }
  const find = makeFind(Result.getOrThrow(load([document])))
  const rules = find({ principal, app: "my-app", intents: [] }).rules("tool:my-app/pay")
  return decide(rules, { params, principal, now: 0 }, "").approvals ?? []
}

const digest = (bound: object): string =>
  `sha-256:${Crypto.createHash("sha256").update(canonicalize(bound)).digest("base64url")}`

describe("an approval that a call waits for", () => {
  it("is bound to principal, resource and params where it serves once", () => {
    const [approval] = approvals({}, { b: 1, a: [2] })
    assert.deepStrictEqual(approval, {
      key: "boss",
      policy: "user:ana",
      approver: "role:manager",
      oneTime: true,
      digest: digest({ principal: "user:ana", resource: "tool:my-app/pay", params: { a: [2], b: 1 } })
    })
    assert.strictEqual(approvals({}, { a: [2], b: 1 })[0]?.digest, approval?.digest)
    assert.notStrictEqual(approvals({}, { a: [3], b: 1 })[0]?.digest, approval?.digest)
    assert.notStrictEqual(approvals({}, { a: [2], b: 1 }, user("ben"))[0]?.digest, approval?.digest)
  })

  it("is bound to one user, whoever else has that name", () => {
    const digests = [
      {},
      { issuer: "a", subject: "1" },
      { issuer: "b", subject: "1" },
      { issuer: "a", subject: "2" }
    ].map((is) => approvals({}, {}, { ...user("ana"), ...is })[0]?.digest)
    assert.strictEqual(new Set(digests).size, 4)
  })

  it("is bound to principal and resource alone where it serves longer, and says on which terms", () => {
    const terms = { one_time: false, timeout: 60, time_to_live: 3600, max_uses: 5, description: "Payments" }
    assert.deepStrictEqual(approvals(terms, { amount: 1 }), [
      {
        key: "boss",
        policy: "user:ana",
        approver: "role:manager",
        oneTime: false,
        timeout: 60,
        timeToLive: 3600,
        maxUses: 5,
        description: "Payments",
        digest: digest({ principal: "user:ana", resource: "tool:my-app/pay" })
      }
    ])
  })
})
