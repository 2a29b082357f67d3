/**
 * What a user gets: packs the library, installs the tarball with its peers into an empty project, type-checks a program there
 * without `skipLibCheck`, and runs it, the command and a `require()`. `npm run check:package`.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-package-"))
const run = (command: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(command, args, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] })

const program = `
import { Effect } from "effect"
import { LanguageModel } from "effect/ai"
import OpenAI from "openai"
import { AgentClient, type Limits, Pipeline, PolicyDeniedError, SecureOpenAI, secureFetch, Workspace } from "secure-openai"
import { layer, refusalOf } from "secure-openai/ai"
import { testClient } from "secure-openai/testing"

const { client, requests } = testClient({ replies: ["Hi"], intentPolicy: { constraints: { parameters: { "tool:test-app/generate": { max_tokens: { max: 7 } } } } } })
const face: OpenAI = client
const answer = await face.chat.completions.create({ model: "gpt-4", messages: [{ role: "user", content: "Hello" }] })
console.log(answer.choices[0]?.message.content, requests[0]?.params["max_tokens"], SecureOpenAI.receipt(answer)?.verdict)
const limits: Limits = await client.limits()
console.log((await client.can("generate", { model: "gpt-4", max_tokens: 9 })).edits.length, limits.maxOutputTokens)
console.log([AgentClient, Pipeline, PolicyDeniedError, Workspace, refusalOf].map((f) => typeof f).join())
const model = layer({ client, model: "gpt-4" })
console.log(await Effect.runPromise(Effect.provide(Effect.map(LanguageModel.generateText({ prompt: "Hello" }), (a) => a.text), model)))
const other = new OpenAI({ apiKey: "unused", fetch: secureFetch(client) })
const through = await other.chat.completions.create({ model: "gpt-4", messages: [{ role: "user", content: "Hello" }] })
console.log(through.choices[0]?.message.content, SecureOpenAI.receipt(through)?.verdict)
`
const expected = ["Hi 7 rewrite", "1 7", "function,function,function,function,function", "Hi", "Hi undefined"]

try {
  const { devDependencies } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")) as {
    readonly devDependencies: Readonly<Record<string, string>>
  }
  const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", project], { cwd: root, encoding: "utf8" })
  const tarball = /"filename": "([^"]+)"/.exec(packed)?.[1]
  if (tarball === undefined) throw new Error(`npm pack gave no tarball: ${packed}`)
  Fs.writeFileSync(Path.join(project, "package.json"), JSON.stringify({ name: "empty", private: true, type: "module" }))
  const peers = ["effect", "openai", "typescript", "@types/node"].map(
    (name) => `${name}@${devDependencies[name] ?? ""}`
  )
  run("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", `./${tarball}`, ...peers)
  Fs.writeFileSync(Path.join(project, "program.ts"), program)
  const strict = ["--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "false", "--noEmit", "--types", "node"]
  run("npx", "tsc", ...strict, "--module", "nodenext", "--target", "es2024", "program.ts")
  const lines = run(process.execPath, "program.ts").trim().split("\n")
  if (lines.join("\n") !== expected.join("\n")) throw new Error(`the program printed ${JSON.stringify(lines)}`)
  Fs.writeFileSync(Path.join(project, "old.cjs"), 'console.log(typeof require("secure-openai").SecureOpenAI)')
  if (run(process.execPath, "old.cjs").trim() !== "function") throw new Error("require() does not reach it")
  if (!run("npx", "secure-openai", "audit", "--help").includes("verify")) throw new Error("the command does not run")
  const $schema = "../node_modules/secure-openai/mapl.schema.json"
  Fs.mkdirSync(Path.join(project, "policies"))
  Fs.writeFileSync(
    Path.join(project, "policies/app.json"),
    JSON.stringify({ $schema, policy_id: "app:my-app", resources: ["tool:my-app/**"] })
  )
  if (!Fs.existsSync(Path.join(project, "policies", $schema))) throw new Error("the schema is not where editors look")
  if (!run("npx", "secure-openai", "policy", "lint").startsWith("0 errors")) throw new Error("the linter does not run")
  console.log("The tarball installs, type-checks and runs in an empty project.")
} finally {
  Fs.rmSync(project, { recursive: true, force: true })
}
