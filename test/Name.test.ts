/** Names: what is one, and that every door where names enter says no to what is none. */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { AgentClient, ConfigurationError, IdentityError, SecureOpenAI, Workspace } from "../src/index.ts"
import { isName, nameFault } from "../src/Name.ts"
import { diagnose } from "../src/policy/PolicyStore.ts"
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { visible, visibleLines } from "../src/Text.ts"

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
  ["bob ", /begins or ends with white space/],
  ["\u00a0bob", /begins or ends with white space/],
  ["bob\u3000", /begins or ends with white space/],
  ["", /is empty/],
  ["b".repeat(257), /longer than 256/]
]
const good = ["bob", "Bob Smith", "bob@acme.example", "ボブ", "e\u0301", "a/b:c", "🙂", "b".repeat(256)]

describe("a name", () => {
  it.each(good)("may be %s", (name) => assert.isTrue(isName(name)))
  it.each(impostors)("may not be %j", (name, fault) => {
    assert.isFalse(isName(name))
    assert.match(nameFault(name) ?? "", fault)
  })
  it("holds no code point that Unicode calls default-ignorable", () => {
    let found = 0
    for (let code = 0; code <= 0x10ffff; code++) {
      const character = String.fromCodePoint(code)
      if (!/\p{Default_Ignorable_Code_Point}/u.test(character)) continue
      found++
      if (isName(`a${character}b`)) assert.fail(`U+${code.toString(16)} passes`)
    }
    assert.isAbove(found, 4000)
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
    for (const [name] of impostors)
      if (name !== "" && name.length < 257 && !name.startsWith("\u00a0"))
        assert.isTrue(Result.isFailure(diagnose([{ policy_id: `user:${name}` }])), JSON.stringify(name))
    for (const name of good) assert.isTrue(Result.isSuccess(diagnose([{ policy_id: `user:${name}` }])))
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
