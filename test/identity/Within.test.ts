import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type { JsonObject } from "../../src/base/Json.ts"
import { IdentityInvalid } from "../../src/call/Errors.ts"
import * as Claims from "../../src/identity/Claims.ts"
import { Identity } from "../../src/identity/Identity.ts"
import { type IssuerOptions, issuers, warnings } from "../../src/identity/Issuer.ts"
import {
  collisions,
  type ClaimField,
  fields,
  place,
  type IssuerBounds,
  type WithinOptions
} from "../../src/identity/Within.ts"
import { makeIssuer } from "../../src/testing/Tokens.ts"

const option = (name: string, within?: WithinOptions): IssuerOptions => ({
  ...makeIssuer(`https://${name}.example`).options,
  ...(within !== undefined && { within })
})
const configured = (...entries: ReadonlyArray<WithinOptions | undefined>) =>
  [...issuers(entries.map((within, i) => option("abcd"[i]!, within))).values()].map(({ claims }) => claims)
/** The names of each field, or why the token is refused. */
const names = (
  claims: JsonObject,
  mapping: Claims.Mapping
): Readonly<Partial<Record<ClaimField, unknown>>> | string => {
  try {
    return Object.fromEntries(Claims.map(claims, mapping).map(({ field, values }) => [field, values]))
  } catch (error) {
    assert.instanceOf(error, IdentityInvalid)
    return error.message
  }
}
const placeOf = (within: WithinOptions): IssuerBounds => {
  const found = place(within)
  return typeof found === "string" ? assert.fail(found) : found
}

const token = {
  sub: "1",
  preferred_username: "alice",
  company: "Acme",
  bu: "EMEA",
  team: "Lab",
  roles: ["admin"],
  groups: ["eu"]
}

describe("the option within of an issuer", () => {
  it.each<readonly [WithinOptions, object]>([
    [
      "company:Beta",
      {
        company: ["Beta"],
        bu: ["Beta/EMEA"],
        team: ["Beta/Lab"],
        user: ["Beta/alice"],
        roles: ["Beta/admin"],
        groups: ["Beta/eu"]
      }
    ],
    ["team:R&D: Lab", { company: ["R&D: Lab/Acme"], team: ["R&D: Lab"], user: ["R&D: Lab/alice"] }],
    [
      { company: "Beta", roles: [] },
      { company: ["Beta"], user: ["alice"], roles: [], groups: ["eu"] }
    ],
    [
      { user: "batch", bu: ["A", "B", "A"] },
      { user: ["batch"], bu: ["A", "B"], company: ["Acme"] }
    ],
    [
      { prefix: { user: "b:", roles: "b-" }, groups: "partners" },
      { user: ["b:alice"], roles: ["b-admin"], groups: ["partners"], company: ["Acme"], team: ["Lab"] }
    ],
    [{}, { user: ["alice"], company: ["Acme"] }]
  ])("%j", (within, expected) => {
    const [mapping] = configured(within)
    const found = names(token, mapping!)
    assert.isObject(found)
    assert.deepInclude(found, expected)
  })

  it("reads no claim of a field that it pins, and says what it did not take over", () => {
    const [mapping] = configured({ company: "Beta", user: "batch" })
    const claims = { ...token, company: ["Acme", "Beta", 7], preferred_username: 7 }
    const [company] = Claims.map(claims, mapping!)
    assert.deepStrictEqual(company, { field: "company", values: ["Beta"], from: [], dropped: ["Acme"], pinned: true })
    assert.strictEqual(Claims.principal(claims, mapping!, { issuer: "", expiresAt: 0, tokenHash: "" }).subject, "1")
  })

  it("drops roles by allowedRoles before it puts a prefix before them", () => {
    const [issuer] = issuers([
      { ...option("a", { prefix: { roles: "b/" } }), claims: { allowedRoles: ["admin"] } }
    ]).values()
    const roles = Claims.map({ ...token, roles: ["admin", "b/admin"] }, issuer!.claims)[4]
    assert.deepStrictEqual(roles, {
      field: "roles",
      from: [["roles"]],
      values: ["b/admin"],
      dropped: ["b/admin"],
      prefix: "b/"
    })
  })

  it.each<readonly [unknown, RegExp]>([
    ["Beta", /"company:NAME"/],
    ["role:admin", /"company:NAME"/],
    ["company:", /"company:NAME"/],
    ["company:Beta ", /white space/],
    [{ company: "" }, /pins company to a name that is empty/],
    [{ roles: ["a", "b\u200b"] }, /pins roles .* not seen/],
    [{ prefix: "beta" }, /ends with a character other than a letter or digit/],
    [{ prefix: "" }, /such as "beta\/"/],
    [{ prefix: "β" }, /ends with/],
    [{ prefix: { user: "2" } }, /prefix of user/],
    [{ company: "Beta", prefix: { company: "b/" } }, /pins company and gives it a prefix/],
    [{ user: ["a", "b"] }, /within/],
    [{ role: "admin" }, /within/],
    [7, /within/]
  ])("refuses %j", (within, message) => {
    assert.throws(() => issuers([{ ...option("a"), within } as unknown as IssuerOptions]), message)
  })

  it.each<readonly [string, WithinOptions | undefined, WithinOptions | undefined, JsonObject, RegExp | undefined]>([
    [
      "a name with another issuer's prefix",
      undefined,
      "company:Beta",
      { sub: "Beta/alice" },
      /only issuer https:\/\/b/
    ],
    ["a role with another issuer's prefix", undefined, "company:Beta", { sub: "x", roles: ["Beta/admin"] }, /only/],
    ["a company that another is pinned to", undefined, "company:Beta", { sub: "x", company: "Beta" }, /only/],
    ["such a company by a prefix", { prefix: { company: "A/" } }, "company:A/B", { sub: "x", company: "B" }, /only/],
    ["a longer prefix of another", { prefix: "a/" }, { prefix: "a/b/" }, { sub: "b/alice" }, /only/],
    ["a shorter prefix of another", { prefix: "a/b/" }, { prefix: "a/" }, { sub: "alice" }, undefined],
    ["a name that only begins like it", undefined, { prefix: "b/" }, { sub: "bob" }, undefined],
    ["a company that both are pinned to", "company:Beta", { company: "Beta" }, { sub: "x" }, undefined],
    ["a role that another is pinned to", undefined, { roles: "staff" }, { sub: "x", roles: ["staff"] }, undefined],
    ["a name that its prefix makes too long", "company:Beta", undefined, { sub: "x".repeat(255) }, /together/]
  ])("of two issuers, with %s", (_, mine, others, claims, message) => {
    const [mapping] = configured(mine, others)
    const found = names(claims, mapping!)
    if (message === undefined) assert.isObject(found)
    else assert.match(String(found), message)
  })
})

describe("two issuers", () => {
  const withins: ReadonlyArray<WithinOptions | undefined> = [
    undefined,
    "company:Beta",
    "company:a",
    "bu:a",
    { prefix: "a/" },
    { prefix: "a/b/" },
    { prefix: { user: "a/" } },
    { company: "Beta" },
    { company: ["Beta", "a/x"] },
    { user: "a/x", company: "a/b/x" }
  ]
  const said = ["x", "b/x", "a/x", "a/b/x", "Beta", "Beta/x", "a"]

  it("never give one name to policies, but where they are warned of or pinned to it", () => {
    let compared = 0
    for (const one of withins)
      for (const two of withins) {
        const [first, second] = configured(one, two)
        const warned = collisions([
          { issuer: "one", place: first!.within!.place },
          { issuer: "two", place: second!.within!.place }
        ]).flatMap(({ fields }) => fields)
        for (const left of said)
          for (const right of said) {
            const [a, b] = [left, right].map((name, i) =>
              names({ sub: name, company: name, bu: name, team: name }, [first!, second!][i]!)
            )
            if (typeof a !== "object" || typeof b !== "object") continue
            for (const field of ["company", "bu", "team", "user"] as const) {
              compared++
              if (warned.includes(field)) continue
              const [ours = [], theirs = []] = [first, second].map((mapping) => mapping!.within!.place.pinned[field])
              for (const name of a[field] as ReadonlyArray<string>)
                assert.isTrue(
                  (ours.includes(name) && theirs.includes(name)) || !(b[field] as ReadonlyArray<string>).includes(name),
                  `${field} ${name}`
                )
            }
          }
      }
    assert.isAbove(compared, 1000)
  })

  it.each<readonly [ReadonlyArray<WithinOptions | undefined>, ReadonlyArray<readonly [string, string]>]>([
    [[undefined], []],
    [[undefined, "company:Beta"], []],
    [["company:Beta", "company:Acme"], []],
    [[undefined, undefined], [["a b", fields.join()]]],
    [[undefined, {}], []],
    [[undefined, { company: "Beta" }], [["a b", "bu,team,user,roles,groups"]]],
    [["company:Beta", "company:Beta"], [["a b", "bu,team,user,roles,groups"]]],
    [[{ prefix: { user: "b/" }, roles: [] }, undefined], [["a b", "company,bu,team,groups"]]],
    [
      [undefined, undefined, { prefix: { user: "b/" } }],
      [
        ["a b c", "company,bu,team,roles,groups"],
        ["a b", "user"]
      ]
    ]
  ])("%j are warned of what may collide", (entries, expected) => {
    const places = entries.map((within, i) => ({
      issuer: "abcd"[i]!,
      place: within === undefined ? { pinned: {}, prefix: {} } : placeOf(within)
    }))
    assert.deepStrictEqual(
      collisions(places).map(({ fields, issuers }) => [issuers.join(" "), fields.join()] as const),
      expected
    )
    assert.lengthOf(warnings(issuers(entries.map((within, i) => option("abcd"[i]!, within)))), expected.length)
  })

  const logged = (...entries: ReadonlyArray<WithinOptions | undefined>) =>
    Effect.gen(function* () {
      const told: Array<unknown> = []
      const logger = Logger.make(({ message }) => void told.push(message))
      const layer = Identity.layer({ issuers: entries.map((within, i) => option("abcd"[i]!, within)) })
      yield* Effect.provide(Effect.void, Layer.provide(layer, Logger.layer([logger])))
      return told
    })

  it.effect("are warned of when they are opened, and not where within tells them apart", () =>
    Effect.gen(function* () {
      const [told, ...more] = yield* logged(undefined, undefined)
      assert.lengthOf(more, 0)
      assert.match(String(told), /https:\/\/a\.example and https:\/\/b\.example may give the same names/)
      assert.match(String(told), /user:alice of one is user:alice of the others/)
      assert.deepStrictEqual(yield* logged(undefined, "company:Beta"), [])
    })
  )
})
