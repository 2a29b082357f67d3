/** The pages on policies: their documents load, their tables come true, their programs and commands say what they show. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
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
import { Call } from "../src/call/Call.ts"
import { parseStrictObject } from "../src/base/CanonicalJson.ts"
import type { JsonObject } from "../src/base/Json.ts"
import { ViolationCode } from "../src/call/Decision.ts"
import { mapping, principal } from "../src/identity/Claims.ts"
import { PolicyDeniedError, SecureOpenAI } from "../src/index.ts"
import { Pipeline } from "../src/workspace/Pipeline.ts"
import { showDiagnostic } from "../src/policy/Diagnostic.ts"
import { lint } from "../src/policy/Lint.ts"
import type { Document } from "../src/policy/Mapl.ts"
import { Policy } from "../src/policy/Policy.ts"
import { load, type PolicySource } from "../src/policy/PolicySource.ts"
import { app, type Principal } from "../src/call/Principal.ts"
import { Models } from "../src/rewriting/Models.ts"
import { Rewriting } from "../src/rewriting/Rewriting.ts"
import { Invocation, mintToken, testClient, testIssuer } from "../src/testing/index.ts"
import { signed } from "./policy/states.ts"
import { runSync } from "./cli/Command.ts"

const root = Path.resolve(import.meta.dirname, "..")

// ---------------------------------------------------------------------------------------------------------------------
// What the page holds
// ---------------------------------------------------------------------------------------------------------------------

interface Block {
  readonly language: string
  /** The file that it is, where it is one. */
  readonly file: string | undefined
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

interface Page {
  readonly text: string
  readonly lines: ReadonlyArray<string>
  readonly blocks: ReadonlyArray<Block>
  /** Blocks of policies. */
  readonly documents: ReadonlyArray<Block>
  readonly rows: ReadonlyArray<Row>
}

const documentsIn = ({ text }: Block): PolicySource => JSON.parse(text) as Document | ReadonlyArray<Document>

const page = (name: string): Page => {
  const text = Fs.readFileSync(Path.join(root, name), "utf8")
  const lines = text.split("\n")
  const blocks = [...text.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)^```$/gmsu)].map((found) => ({
    language: found[1]!,
    file: found[2],
    line: text.slice(0, found.index).split("\n").length,
    text: found[3]!
  }))
  const documents = blocks.filter(
    ({ file, language }) =>
      language === "json" && (file === undefined || /^policies\/.*(?<!\.cases)\.json$/u.test(file))
  )
  const rows = lines.flatMap((header, at) => {
    if (header !== "| who | request | outcome |") return []
    const above = documents.findLast(({ line }) => line <= at)
    const end = lines.findIndex((line, i) => i > at && !line.startsWith("|"))
    return lines.slice(at + 2, end).map((row, i) => {
      const [who = "", request = "", outcome = ""] = row.slice(2, -2).split(" | ")
      return { line: at + 3 + i, who, request, outcome, documents: documentsIn(above!) }
    })
  })
  return { text, lines, blocks, documents, rows }
}

const pages = { "docs/policies.md": page("docs/policies.md"), "docs/mapl.md": page("docs/mapl.md") }
const guide = pages["docs/policies.md"]
const language = pages["docs/mapl.md"]

/** An answer of a model, and what comes of it under the documents above. */
interface AnswerRow {
  readonly line: number
  readonly answer: string
  readonly outcome: string
  readonly documents: PolicySource
}

const answersOf = ({ documents, lines }: Page): ReadonlyArray<AnswerRow> =>
  lines.flatMap((header, at) => {
    if (header !== "| answer | the caller gets |") return []
    const above = documents.findLast(({ line }) => line <= at)
    const end = lines.findIndex((line, i) => i > at && !line.startsWith("|"))
    return lines.slice(at + 2, end).map((row, i) => {
      const [answer = "", outcome = ""] = row.slice(2, -2).split(" | ")
      return { line: at + 3 + i, answer: answer.slice(1, -1), outcome, documents: documentsIn(above!) }
    })
  })

/** What a caller gets of an answer, streamed word by word; and that a plain one is refused likewise. */
const gotOf = async ({ answer, documents }: AnswerRow): Promise<string> => {
  const { client } = testClient({ policies: documents, appName: "my-app", replies: [answer] })
  const request = { model: "gpt-4o", messages: [] }
  let text = ""
  let code = ""
  try {
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true }))
      text += chunk.choices[0]?.delta.content ?? ""
  } catch (error) {
    if (!(error instanceof PolicyDeniedError)) throw error
    code = error.decision.violations[0]?.code ?? ""
  }
  const plain = await client.chat.completions.create(request).then(
    ({ choices }) => choices[0]?.message.content === answer,
    (error: unknown) => error instanceof PolicyDeniedError
  )
  assert.isTrue(plain)
  return [...(text === "" ? [] : [`\`${text}\``]), ...(code === "" ? [] : [code])].join(", ")
}

/** `ann (team Lab, role guest, amr hwk)`: a user and the claims of the token; or `the app`. */
const callerOf = (who: string): Principal => {
  if (who === "the app") return app("my-app")
  const [, name = "", listed = ""] = /^(\w+)(?: \((.*)\))?$/u.exec(who) ?? []
  const pairs = listed === "" ? [] : listed.split(", ").map((claim) => claim.split(" ") as [string, string])
  const all = (claim: string) => pairs.filter(([key]) => key === claim).map(([, value]) => value)
  const claims = { sub: name, roles: all("role"), team: all("team"), amr: all("amr") }
  return principal(claims, mapping(), { issuer: "https://issuer.test", expiresAt: 0, tokenHash: "" })
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

for (const [name, { blocks, documents, lines, rows }] of Object.entries(pages))
  describe(`${name}`, () => {
    it("keeps to its size", () => {
      assert.isBelow(lines.length, 451)
      assert.deepStrictEqual(
        lines.filter((line) => line.length > 120),
        []
      )
    })

    it("has no block that is not tested", () => {
      assert.deepStrictEqual(
        blocks.filter(({ language }) => !["json", "ts", "console"].includes(language)),
        []
      )
      assert.isAtLeast(documents.length, 3)
      assert.isAtLeast(rows.length, 15)
    })

    describe("loads", () => {
      const alone = documents.filter(({ file }) => file === undefined)
      it.each(alone)("the documents at line $line", (block) => {
        assert.isTrue(Result.isSuccess(load(documentsIn(block))))
      })

      it.each(alone)("the documents at line $line, and a linter has nothing against them", (block) => {
        const set = Result.getOrThrow(load(documentsIn(block)))
        const found = lint(set, Date.parse("2026-01-15T12:00:00Z"))
        // Whoever is shown a part of a tree is not told what goes beside it.
        assert.deepStrictEqual(
          found.filter(({ code, severity }) => severity !== "note" && code !== "models_open").map(showDiagnostic),
          []
        )
      })
    })

    describe("judges answers", () => {
      it.each(answersOf({ text: "", lines, blocks, documents, rows }))("as line $line says", async (row) => {
        assert.strictEqual(await gotOf(row), row.outcome)
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
  })

// Decisions are records of their day: a file that one names may be gone since.
const named = Fs.globSync(["*.md", "docs/*.md", "docs/api/*.md", "examples/**/*.md"], { cwd: root })
  .filter((file) => file !== "CHANGELOG.md")
  .sort()

describe("the pages name what is there", () => {
  it.each(named)("%s", (file) => {
    const text = Fs.readFileSync(Path.join(root, file), "utf8")
    const isThere = (path: string) => Fs.existsSync(Path.join(root, path))
    const paths = [...text.matchAll(/`((?:src|test|build|docs|examples)\/[^\s`*…]+)`/gu)].map(([, path]) => path!)
    const links = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)\s#]+)/gu)].map(([, path]) =>
      Path.join(Path.dirname(file), path!)
    )
    const scripts = [...text.matchAll(/`npm run ([\w:]+)/gu)].map(([, script]) => script!)
    const { scripts: known } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")) as {
      readonly scripts: Readonly<Record<string, string>>
    }
    assert.deepStrictEqual(
      [...[...paths, ...links].filter((path) => !isThere(path)), ...scripts.filter((script) => !(script in known))],
      []
    )
  })
})

describe("docs/policies.md", () => {
  let folder = ""
  beforeAll(async () => {
    folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-docs-"))
    for (const { file, text } of guide.blocks)
      if (file !== undefined) {
        Fs.mkdirSync(Path.dirname(Path.join(folder, file)), { recursive: true })
        Fs.writeFileSync(Path.join(folder, file), text)
      }
    await observe(folder)
  })
  afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

  it("has a program that says what its comments say", async () => {
    const program = guide.blocks.find(({ language }) => language === "ts")!.text
    Fs.writeFileSync(
      Path.join(folder, "try.mts"),
      program.replaceAll(/"secure-openai(\/testing)?"/gu, (_, testing: string = "") =>
        JSON.stringify(Url.pathToFileURL(Path.join(root, "src", testing, "index.ts")).href)
      )
    )
    const { stdout } = await Util.promisify(execFile)(process.execPath, ["try.mts"], { cwd: folder })
    const said = [...program.matchAll(/(?<!^)\s\/\/ (.*)$/gmu)].map(([, comment]) => comment)
    assert.deepStrictEqual(stdout.trimEnd().split("\n"), said)
  })

  it("shows what its commands print", () => {
    const env = { ...process.env, NO_COLOR: "1", SECURE_OPENAI_HOME: "", SECURE_OPENAI_POLICIES: "" }
    const commands = guide.blocks
      .filter(({ language }) => language === "console")
      .flatMap(({ text }) => text.split(/^\$ /mu).slice(1))
    assert.isAtLeast(commands.length, 6)
    for (const shown of commands) {
      const [command = "", ...expected] = shown.trimEnd().split("\n")
      const [, said = "", file] = /^npx secure-openai ([^'"|<>]+?)(?: > (\S+))?$/u.exec(command) ?? assert.fail(command)
      const { stdout } = runSync(said.split(" "), { cwd: folder, env })
      if (file !== undefined) Fs.writeFileSync(Path.join(folder, file), stdout)
      const printed = file === undefined ? stdout.trimEnd().split("\n") : [""]
      assert.strictEqual(printed.length, expected.join("\n") === "" ? 1 : expected.length, stdout)
      expected.forEach((line, i) => {
        const parts = line.split("…").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/gu, String.raw`\$&`))
        assert.match(printed[i]!, new RegExp(`^${parts.join(".*")}$`, "u"), command)
      })
    }
  })
})

/** A week of an app that observes the policies of a folder: its log is where commands look for one. */
const observe = async (folder: string): Promise<void> => {
  const client = new SecureOpenAI({
    appName: "my-app",
    apiKey: "test",
    policies: Path.join(folder, "policies"),
    policyMode: "observe",
    issuers: testIssuer,
    audit: { path: Path.join(folder, ".secure-openai/audit") },
    layer: Pipeline.layer.pipe(Layer.provide(Invocation.layer(["ok"])))
  })
  const [alice, mallory] = [
    await client.asUser(mintToken({ sub: "alice" })),
    await client.asUser(mintToken({ sub: "mallory" }))
  ]
  const ask = (user: SecureOpenAI, max_tokens: number) =>
    user.chat.completions.create({ model: "gpt-4o-mini", max_tokens, messages: [] })
  for (const max_tokens of [3000, 3000, 100]) await ask(alice, max_tokens)
  await ask(mallory, 50)
  await client.close()
}

describe("docs/mapl.md", () => {
  it("names every code of a violation, and no other", () => {
    const table = /\n\| code \| what it means \|\n(.*?)\n\n/su.exec(language.text)?.[1] ?? ""
    const named = table.split("\n").flatMap((row) => [...row.split(" | ")[0]!.matchAll(/`(\w+)`/gu)].map(([, c]) => c))
    assert.sameMembers(named, [...ViolationCode.literals])
  })

  it("lets no pass-through family but its own through for a user, and opens stored responses with **", async () => {
    const family = async (resources: ReadonlyArray<string>, user: boolean, denied: ReadonlyArray<string> = []) => {
      const { client, token } = testClient({
        policies: [user ? "user:una" : "app:my-app"].map((policy_id) => ({
          policy_id,
          resources,
          denied_resources: denied
        })),
        appName: "my-app"
      })
      // Nobody listens there: what policy lets through fails to connect.
      const here = client.withOptions({ baseURL: "http://127.0.0.1:9/v1", maxRetries: 0 })
      return (user ? await here.asUser(token("una")) : here).responses.retrieve("resp_1").then(
        () => "answered",
        (error: { readonly code?: string }) => error.code ?? "sent"
      )
    }
    assert.strictEqual(await family(["tool:**"], true), "policy_denied")
    assert.strictEqual(await family(["**"], true), "sent")
    assert.strictEqual(await family(["tool:**"], false), "sent")
    assert.strictEqual(await family(["tool:**"], false, ["api:*/responses"]), "policy_denied")
  })

  it("counts no call that is refused, not even where it is that no model is left", async () => {
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
    assert.strictEqual(await ask({}), "answered")
    assert.strictEqual(await ask({}), "policy_rate_limit")
  })

  it("names every code of the linter, and no other", () => {
    const table = /\n\| code \| what it warns of \|\n(.*?)\n$/su.exec(language.text)?.[1] ?? ""
    const named = table.split("\n").flatMap((row) => [...row.split(" | ")[0]!.matchAll(/`(\w+)`/gu)].map(([, c]) => c))
    const source = Fs.readFileSync(Path.join(root, "src/policy/lint/Warning.ts"), "utf8")
    const codes = [...(/type LintCode =(.*?)\n\n/su.exec(source)?.[1] ?? "").matchAll(/"(\w+)"/gu)].map(([, c]) => c)
    assert.sameMembers(named, codes)
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
    const table = /\n\| message \| what to do \|\n\|---\|---\|\n(.*?)\n\n/su.exec(language.text)?.[1] ?? ""
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
      user({ attestations: [{ key: "key::{params.amount > 1}" }] }),
      user({ attestations: [{ key: "key", resources: [] }] }),
      spec({ a: { pattern: "(?=a)" } }),
      user({ validity: { not_after: "2026-01-10T09:00:00" } }),
      user({ constraints: { rate_limit: 0 } }),
      user({ constraints: { output: { "**": { denied: [{ pattern: "a" }] } } } }),
      user({ constraints: { output: { "**": { denied: ["x".repeat(5000)] } } } }),
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
