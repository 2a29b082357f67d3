import { assert, describe, it } from "@effect/vitest"
import type { JsonObject } from "../../src/base/Json.ts"
import { IdentityInvalid } from "../../src/call/Errors.ts"
import * as Claims from "../../src/identity/Claims.ts"

const credential = { issuer: "https://id.example", expiresAt: 100, tokenHash: "hash" }
const principal = (claims: JsonObject, names: Claims.ClaimOptions = {}) =>
  Claims.principal({ sub: "s-1", ...claims }, Claims.mapping(names), credential)

describe("Claims.principal", () => {
  it("names the user by preferred_username, else by sub", () => {
    assert.strictEqual(principal({ preferred_username: "alice" }).id, "alice")
    assert.strictEqual(principal({}).id, "s-1")
  })

  it("names the user by another claim where one is mapped, and by no other", () => {
    assert.strictEqual(
      principal({ preferred_username: "alice", email: "a@x.example" }, { user: "email" }).id,
      "a@x.example"
    )
    assert.throws(() => principal({ preferred_username: "alice" }, { user: "email" }), IdentityInvalid, /"email"/)
  })

  it("turns company, bu, team, roles and groups into documents", () => {
    const found = principal({
      company: "Acme",
      bu: "Analytics",
      team: ["Lab", "Risk"],
      roles: ["analyst", "analyst"],
      groups: "eu"
    })
    assert.deepStrictEqual(found.documents, [
      "company:Acme",
      "bu:Analytics",
      "team:Lab",
      "team:Risk",
      "role:analyst",
      "group:eu"
    ])
    assert.deepStrictEqual(found.roles, ["analyst"])
    assert.deepStrictEqual(found.groups, ["eu"])
  })

  it("takes mapped claim names literally", () => {
    const roles = "https://acme.example/roles"
    assert.deepStrictEqual(principal({ [roles]: ["boss"] }, { roles }).roles, ["boss"])
    assert.deepStrictEqual(principal({ realm: { roles: ["boss"] } }, { roles: "realm.roles" }).roles, [])
    assert.deepStrictEqual(principal({}, { roles: "constructor" }).roles, [])
  })

  it.each(["fido", "FIDO2", "hwk", "ngcmfa", "phr", "PhrH"])("attests phishing resistance for amr %s", (method) => {
    assert.deepStrictEqual(principal({ amr: ["pwd", method] }).attestations, ["phishing_resistant"])
    assert.deepStrictEqual(principal({ amr: method }).attestations, ["phishing_resistant"])
  })

  it.each([[["pwd", "otp"]], [[]], [null], [7], [{ fido: true }]])("attests nothing for amr %j", (amr) => {
    assert.deepStrictEqual(principal({ amr }).attestations, [])
  })

  it.each([
    ["empty", ""],
    ["longer than 256 characters", "a".repeat(257)],
    ["with a line end", "alice\nbob"],
    ["with NUL", "alice\0"],
    ["with C1", "alice\u0085"],
    ["with a right-to-left override", "alice\u202e"],
    ["with a right-to-left mark", "alice\u200f"],
    ["with an isolate", "alice\u2066"],
    ["with a line separator", "alice\u2028"],
    ["with a lone surrogate", "alice\ud800"],
    ["a number", 7],
    ["an object", { name: "alice" }],
    ["null", null]
  ])("refuses a name that is %s, wherever it stands", (_, name) => {
    for (const claims of [
      { sub: name },
      { preferred_username: name },
      { roles: [name] },
      { team: name },
      { groups: ["a", name] }
    ]) {
      const error = refusalOf(claims)
      assert.strictEqual(error.reason, "claim")
      assert.notInclude(error.message, "alice")
    }
  })

  it("accepts a name of 256 characters and keeps its bytes", () => {
    assert.strictEqual(principal({ sub: "é".repeat(256) }).id, "é".repeat(256))
    assert.notStrictEqual(principal({ sub: "é" }).id, principal({ sub: "e\u0301" }).id)
    assert.strictEqual(principal({ sub: "Alice  B" }).id, "Alice  B")
  })

  it("refuses a claim that the token only points to", () => {
    assert.strictEqual(refusalOf({ _claim_names: { groups: "src1" } }).reason, "claim")
    assert.strictEqual(refusalOf({ _claim_names: { preferred_username: "src1" } }).reason, "claim")
    assert.strictEqual(refusalOf({ hasgroups: true }).reason, "claim")
    assert.deepStrictEqual(principal({ hasgroups: true, groups: ["eu"] }).groups, ["eu"])
    assert.deepStrictEqual(principal({ _claim_names: { address: "src1" } }).groups, [])
  })

  it("gives what nobody can change", () => {
    const found = principal({ roles: ["analyst"], nested: { a: [1] } })
    assert.isTrue(Object.isFrozen(found) && Object.isFrozen(found.roles) && Object.isFrozen(found.documents))
    assert.isTrue(Object.isFrozen(found.claims["nested"]))
  })
})

const refusalOf = (claims: JsonObject): IdentityInvalid => {
  try {
    principal(claims)
  } catch (error) {
    if (error instanceof IdentityInvalid) return error
  }
  return assert.fail("was accepted")
}
