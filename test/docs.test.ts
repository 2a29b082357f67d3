/** docs/policies.md: its documents load, its tables come true, and its programs say what they are said to say. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Url from "node:url"
import * as Util from "node:util"
import { Call } from "../src/Call.ts"
import { type JsonObject, parseStrictObject } from "../src/CanonicalJson.ts"
import { ViolationCode } from "../src/Decision.ts"
import { principal } from "../src/identity/Claims.ts"
import type { Document } from "../src/policy/Mapl.ts"
import { Policy } from "../src/policy/Policy.ts"
import { load, type PolicySource } from "../src/policy/PolicyStore.ts"
import { app, type Principal } from "../src/Principal.ts"
import { Models } from "../src/rewriting/Models.ts"
import { Rewriting } from "../src/rewriting/Rewriting.ts"
import { testClient } from "../src/testing/index.ts"
import { signed } from "./policy/states.ts"

const root = Path.resolve(import.meta.dirname, "..")
const text = Fs.readFileSync(Path.join(root, "docs/policies.md"), "utf8")
const lines = text.split("\n")

// ---------------------------------------------------------------------------------------------------------------------
// What the page holds
// ---------------------------------------------------------------------------------------------------------------------

interface Block {
  readonly language: string
  readonly line: number
  readonly text: string
}

interface Row {
  readonly line: number
  readonly who: string
  readonly request: string
  readonly outcome: string
  /** The documents above the table. */
  readonly documents: PolicySource
}

const blocks: ReadonlyArray<Block> = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gmsu)].map((found) => ({
  language: found[1]!,
  line: text.slice(0, found.index).split("\n").length,
  text: found[2]!
}))

const documentsIn = ({ text }: Block): PolicySource => JSON.parse(text) as Document | ReadonlyArray<Document>

const documentBlocks = blocks.filter(({ language }) => language === "json")

const rows: ReadonlyArray<Row> = lines.flatMap((header, at) => {
  if (header !== "| who | request | outcome |") return []
  const above = documentBlocks.findLast(({ line }) => line <= at)
  const end = lines.findIndex((line, i) => i > at && !line.startsWith("|"))
  return lines.slice(at + 2, end).map((row, i) => {
    const [who = "", request = "", outcome = ""] = row.slice(2, -2).split(" | ")
    return { line: at + 3 + i, who, request, outcome, documents: documentsIn(above!) }
  })
})

/** `ann (team Lab, role guest, amr hwk)`: a user and the claims of the token; or `the app`. */
const callerOf = (who: string): Principal => {
  if (who === "the app") return app("my-app")
  const [, name = "", listed = ""] = /^(\w+)(?: \((.*)\))?$/u.exec(who) ?? []
  const pairs = listed === "" ? [] : listed.split(", ").map((claim) => claim.split(" ") as [string, string])
  const all = (claim: string) => pairs.filter(([key]) => key === claim).map(([, value]) => value)
  const claims = { sub: name, roles: all("role"), team: all("team"), amr: all("amr") }
  return principal(claims, {}, { issuer: "https://issuer.test", expiresAt: 0, tokenHash: "" })
}

const requestOf = (request: string) => {
  const [, operation, json = "", at = "2026-01-15T12:00:00Z"] = /^(\w+) `(.*)`(?: at (\S+))?$/u.exec(request) ?? []
  if (operation === undefined) throw new Error(`${request} is no request`)
  const params: JsonObject = Result.getOrThrow(parseStrictObject(json))
  return { call: Call.make(operation, params, { app: "my-app" }), now: Date.parse(at) }
}

/** What becomes of a request, in the words of the page. */
const judge = Effect.fnUntraced(function* ({ request, who }: Row) {
  const { call, now } = requestOf(request)
  yield* TestClock.setTime(now)
  const policy = yield* Policy
  const rewriting = yield* Rewriting
  return yield* policy.evaluate(signed(call, callerOf(who))).pipe(
    Effect.flatMap(rewriting.apply),
    Effect.map(({ edits }) => ["allow", ...edits.map(({ path, to }) => `${path} → ${String(to)}`)]),
    Effect.catch((error) =>
      "decision" in error
        ? Effect.succeed([error.decision.verdict, ...error.decision.violations.map(({ code }) => code)])
        : Effect.die(error)
    )
  )
})

const layerOf = (policies: PolicySource) =>
  Layer.merge(Policy.layer({ policies }), Rewriting.layer.pipe(Layer.provide(Models.layer)))

// ---------------------------------------------------------------------------------------------------------------------
// Tests
// ---------------------------------------------------------------------------------------------------------------------

describe("docs/policies.md", () => {
  it("keeps to its size", () => {
    assert.isBelow(lines.length, 351)
    assert.deepStrictEqual(
      lines.filter((line) => line.length > 120),
      []
    )
  })

  it("has no block that is not tested", () => {
    assert.deepStrictEqual(
      blocks.filter(({ language }) => language !== "json").map(({ language }) => language),
      ["ts"]
    )
    assert.isAtLeast(documentBlocks.length, 10)
    assert.isAtLeast(rows.length, 30)
  })

  describe("loads", () => {
    it.each(documentBlocks)("the documents at line $line", (block) => {
      assert.isTrue(Result.isSuccess(load(documentsIn(block))))
    })
  })

  describe("judges", () => {
    for (const row of rows)
      it.effect(`as line ${row.line} says: ${row.who}, ${row.request}`, () =>
        judge(row).pipe(
          Effect.map((outcome) => assert.sameMembers(outcome, row.outcome.split(", "))),
          Effect.provide(layerOf(row.documents))
        )
      )
  })

  it("has a first program that says what its comments say", async () => {
    const [policies] = documentBlocks
    const program = blocks.find(({ language }) => language === "ts")!.text
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-docs-"))
    try {
      Fs.writeFileSync(Path.join(folder, "policies.json"), policies!.text)
      Fs.writeFileSync(
        Path.join(folder, "try.mts"),
        program.replaceAll(/"secure-openai(\/testing)?"/gu, (_, testing: string = "") =>
          JSON.stringify(Url.pathToFileURL(Path.join(root, "src", testing, "index.ts")).href)
        )
      )
      const { stdout } = await Util.promisify(execFile)(process.execPath, ["try.mts"], { cwd: folder })
      const said = [...program.matchAll(/ \/\/ (.*)$/gmu)].map(([, comment]) => comment)
      assert.deepStrictEqual(stdout.trimEnd().split("\n"), said)
    } finally {
      Fs.rmSync(folder, { recursive: true, force: true })
    }
  })

  it("names every code of a violation, and no other", () => {
    const table = /\n\| code \| what it means \|\n(.*?)\n\n/su.exec(text)?.[1] ?? ""
    const named = table.split("\n").flatMap((row) => [...row.split(" | ")[0]!.matchAll(/`(\w+)`/gu)].map(([, c]) => c))
    assert.sameMembers(named, [...ViolationCode.literals])
  })

  it("lets no pass-through family but its own through for a user, and opens the Responses API with **", async () => {
    const family = async (resources: ReadonlyArray<string>, user: boolean, denied: ReadonlyArray<string> = []) => {
      const { client } = testClient({
        policies: [user ? "user:una" : "app:my-app"].map((policy_id) => ({
          policy_id,
          resources,
          denied_resources: denied
        })),
        appName: "my-app",
        ...(user && { user: "una" })
      })
      // Nobody listens there: what policy lets through fails to connect.
      const here = client.withOptions({ baseURL: "http://127.0.0.1:9/v1", maxRetries: 0 })
      return here.responses.create({ model: "o1", input: "Hello" }).then(
        () => "answered",
        (error: { readonly code?: string }) => error.code ?? "sent"
      )
    }
    assert.strictEqual(await family(["tool:**"], true), "policy_denied")
    assert.strictEqual(await family(["**"], true), "sent")
    assert.strictEqual(await family(["tool:**"], false), "sent")
    assert.strictEqual(await family(["tool:**"], false, ["api:*/responses"]), "policy_denied")
  })

  it("counts a call for which no model is left, and none that policy refuses", async () => {
    const { client } = testClient({
      appName: "my-app",
      user: "una",
      policies: {
        policy_id: "user:una",
        resources: ["tool:my-app/generate"],
        constraints: { rate_limit: 1, parameters: { "tool:*/generate": { model: ["gpt-4"], n: { type: "integer" } } } }
      }
    })
    const ask = (more: object) =>
      client.chat.completions.create({ model: "gpt-4", messages: [], ...more }, { maxRetries: 0 }).then(
        () => "answered",
        (error: { readonly code?: string }) => error.code
      )
    assert.strictEqual(await ask({ n: "1" }), "policy_denied")
    assert.strictEqual(await ask({ model: "gpt-3.5-turbo" }), "policy_denied")
    assert.strictEqual(await ask({}), "policy_rate_limit")
  })

  it("needs an attestation whose condition says nothing of a chat", async () => {
    const { client } = testClient({
      appName: "my-app",
      user: "una",
      policies: { policy_id: "user:una", resources: ["tool:**"], attestations: ["key::{params.amount > 100}"] }
    })
    const error = await client.chat.completions.create({ model: "gpt-4", messages: [] }).catch((e: unknown) => e)
    assert.include(String(error), "needs the attestation key where params.amount > 100")
  })

  describe("names load errors as they are", () => {
    const table = /\n\| message \| what to do \|\n\|---\|---\|\n(.*?)\n\n/su.exec(text)?.[1] ?? ""
    const phrases = table
      .split("\n")
      .flatMap((row) => [...row.split(" | ")[0]!.matchAll(/`([^`]+)`/gu)].map(([, p]) => p!))
    const spec = (parameters: object) => ({
      policy_id: "user:a",
      constraints: { parameters: { "tool:*/x": parameters } }
    })
    const user = (more: object) => ({ policy_id: "user:a", ...more })
    const wrong: ReadonlyArray<unknown> = [
      { resources: [] },
      user({ resource: [] }),
      spec({ max_tokens: 500 }),
      spec({ "tools[0].name": ["a"] }),
      user({ extends: "team:T" }),
      user({ extends: "user:a" }),
      user({ attestations: ["key::params.a > 1"] }),
      user({ attestations: ["key::{amount > 1}"] }),
      spec({ a: { pattern: "(?=a)" } }),
      user({ validity: { not_after: "2026-01-10T09:00:00" } }),
      user({ constraints: { rate_limit: 0 } }),
      user({ constraints: { output: { "**": {} } } }),
      "it is not JSON",
      [user({}), user({})]
    ]
    it("each of them", () => {
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-docs-"))
      const file = Path.join(folder, "a.json")
      Fs.writeFileSync(file, `{ "policy_id": "user:a", }`)
      const failures = wrong.map((value) =>
        Result.match(load((typeof value === "string" ? file : value) as Document), {
          onFailure: ({ message }) => message,
          onSuccess: () => "it loads"
        })
      )
      Fs.rmSync(folder, { recursive: true })
      assert.strictEqual(failures.length, phrases.length)
      failures.forEach((message, i) => assert.include(message, phrases[i]!))
    })
  })
})
