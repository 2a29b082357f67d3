/** Names: what is one, and that every door where names enter says no to what is none. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { AgentClient, ConfigurationError, IdentityError, SecureOpenAI, Workspace } from "../../src/index.ts"
import { isName, nameFault } from "../../src/call/Name.ts"
import { diagnose } from "../../src/policy/PolicySource.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import { visible, visibleLines } from "../../src/base/Text.ts"

/** Names that look like "bob", or like nothing, and what is wrong with them. */
const impostors: ReadonlyArray<readonly [string, RegExp]> = [
  ["bob\u200b", /holds U\+200B/],
  ["bo\u00adb", /holds U\+00AD/],
  ["bob\u2060", /holds U\+2060/],
  ["\ufeffbob", /holds U\+FEFF/],
  ["bob\ufe0f", /holds U\+FE0F/],
  ["bob\u{e0062}", /holds U\+E0062/],
  ["bob\u3164", /holds U\+3164/],
  ["bob\u202e", /holds U\+202E/],
  ["bob\u061c", /holds U\+061C/],
  ["bob\u0007", /holds U\+0007/],
  ["bob\u009b", /holds U\+009B/],
  ["bob\u2028", /holds U\+2028/],
  ["bob\ud800", /holds U\+D800/],
  ["bob\u115f", /holds U\+115F/],
  ["bob\u1160", /holds U\+1160/],
  ["bob\uffa0", /holds U\+FFA0/],
  ["bob\u2800", /holds U\+2800/],
  ["b\u{1d159}ob", /holds U\+1D159/],
  ["bob\ufffc", /holds U\+FFFC/],
  ["bob\ue000", /holds U\+E000/],
  ["bob\u{f0000}", /holds U\+F0000/],
  ["bob\u{10fffd}", /holds U\+10FFFD/],
  ["bob\ufdd0", /holds U\+FDD0/],
  ["\u0301bob", /begins with U\+0301/],
  ["bob ", /begins or ends with white space/],
  ["\u00a0bob", /begins or ends with white space/],
  ["bob\u3000", /begins or ends with white space/],
  ["", /is empty/],
  ["b".repeat(257), /longer than 256/]
]
const good = [
  "bob",
  "Bob Smith",
  "bob+test@acme.example",
  "auth0|5f7c8ec7c33c6c004bbafe82",
  "https://acme.example/#x?y=~z^`$<>",
  "R&D – Zürich (EU) §1",
  "ボブ",
  "山田　太郎",
  "e\u0301",
  "a/b:c",
  "🙂",
  "★ Café №5™",
  "b".repeat(256)
]

describe("a name", () => {
  it.each(good)("may be %s", (name) => assert.isTrue(isName(name)))
  it.each(impostors)("may not be %j", (name, fault) => {
    assert.isFalse(isName(name))
    assert.match(nameFault(name) ?? "", fault)
  })
  it.each([
    ["calls default-ignorable", /\p{Default_Ignorable_Code_Point}/u, 4000],
    ["leaves to private use", /\p{Co}/u, 130_000],
    ["has not assigned", /\p{Cn}/u, 100_000]
  ] as const)("holds no code point that Unicode %s", (_kind, kind, least) => {
    let found = 0
    for (let code = 0; code <= 0x10ffff; code++) {
      const character = String.fromCodePoint(code)
      if (!kind.test(character)) continue
      found++
      if (isName(`a${character}b`)) assert.fail(`U+${code.toString(16)} passes`)
    }
    assert.isAbove(found, least)
  })
})

describe("every door where names enter", () => {
  const workspace = () => new Workspace({ audit: "memory", issuers: testIssuer })
  const refusals: Readonly<Record<string, (name: string) => unknown>> = {
    "appName of a client": (appName) => new SecureOpenAI({ apiKey: "k", appName, workspace: workspace() }),
    "userName of a client": (userName) =>
      new SecureOpenAI({ apiKey: "k", userName, jwtToken: "t", workspace: workspace() }),
    "appName of an agent": (appName) => new AgentClient({ agentType: "agent", appName, workspace: workspace() }),
    "userName of an agent": (userName) => new AgentClient({ iamToken: "t", userName, workspace: workspace() }),
    "a tool's name": (name) =>
      new SecureOpenAI({ apiKey: "k", workspace: workspace() }).registerTool(name, () => "done")
  }
  it.each(Object.keys(refusals))("%s", (door) => {
    for (const [name, fault] of impostors)
      assert.throws(
        () => refusals[door]?.(name),
        ConfigurationError,
        new RegExp(`name is a name of 1 to 256 .*${fault.source}`, "i")
      )
    try {
      refusals[door]?.("bob\u200b")
      assert.fail("bob\u200b passes")
    } catch (error) {
      assert.include(String(error), String.raw`not "bob\u200b": it holds U+200B, which is not seen`)
    }
    for (const name of good) refusals[door]?.(name)
  })
  it.each(["preferred_username", "team", "company", "bu", "roles", "groups"])(
    "the claim %s of a token",
    async (claim) => {
      const shared = workspace()
      for (const [name, fault] of impostors) {
        // No token has half of a pair.
        if (!name.isWellFormed()) continue
        const value = claim === "roles" || claim === "groups" ? ["ok", name] : name
        const token = mintToken({ sub: "bob", [claim]: value })
        const error: unknown = await new AgentClient({ iamToken: token, workspace: shared }).register().catch((e) => e)
        assert.instanceOf(error, IdentityError)
        assert.match((error as Error).message, fault)
        assert.include((error as Error).message, `claim "${claim}"`)
      }
      await shared.close()
    }
  )
  it("the id of a policy", () => {
    const isGood = (policy_id: string) => Result.isSuccess(diagnose([{ policy_id }]))
    for (const [name] of [...impostors, [" bob"] as const])
      for (const id of [`user:${name}`, `${name}:bob`, name, `user: ${name}`])
        assert.isFalse(isGood(id), JSON.stringify(id))
    for (const name of good) assert.isTrue(isGood(`user:${name}`), name)
    assert.isTrue(isGood("base"))
  })
  it("the parent of a policy", () => {
    const parent = (id: string) => diagnose([{ policy_id: "user:bob", extends: id }, { policy_id: "team:a" }])
    assert.isTrue(Result.isSuccess(parent("team:a")))
    assert.match(JSON.stringify(parent("team: a")), /its name begins or ends with white space/)
  })
})

describe("a text that people read", () => {
  it("shows what is not seen", () => {
    assert.strictEqual(visible("bob\u200b\n\u{e0062}\u00a0x"), String.raw`bob\u200b\u000a\udb40\udc62\u00a0x`)
    assert.strictEqual(visibleLines("a\n\u009bb"), "a\n\\u009bb")
    assert.strictEqual(visible("a plain ボブ 🙂 é"), "a plain ボブ 🙂 é")
  })
  it("is another spelling of the same JSON", () => {
    const value = { "k\u202e": "\u0000\u009b31m\u2028\u{e0001}\u00ad\ud800 ok\n", n: [1, null] }
    for (const indent of [undefined, 2])
      assert.deepStrictEqual(JSON.parse(visibleLines(JSON.stringify(value, undefined, indent))), value)
  })
})
