/**
 * Policies in use: observed first, then enforced; what a user may do, for a user interface; a change while the app runs.
 *
 *   node examples/09-policies-in-use.ts
 *
 * In an app, import from "secure-openai". docs/policies.md shows the effect of policies on single requests, with the commands
 * that lint, explain and test them.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { SecureOpenAI, type SecureOptions } from "../src/index.ts"
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { startProvider } from "./support/Provider.ts"

await using provider = await startProvider()

const policies = Fs.mkdtempSync(Path.join(Os.tmpdir(), "policies-"))
const writePolicy = (max: number): void =>
  Fs.writeFileSync(
    Path.join(policies, "alice.json"),
    JSON.stringify({
      policy_id: "user:alice",
      resources: ["tool:assistant/generate"],
      denied_resources: ["api:*/batches", "api:*/assistants", "api:*/threads"],
      constraints: { parameters: { "tool:assistant/generate": { model: ["gpt-4o-mini"], max_tokens: { max } } } }
    })
  )
writePolicy(500)

const start = (options: SecureOptions = {}) =>
  new SecureOpenAI({
    appName: "assistant",
    policies,
    issuers: testIssuer,
    audit: "memory",
    apiKey: "none",
    baseURL: provider.url,
    ...options
  })
const token = mintToken({ sub: "alice" })
const question = { model: "gpt-4o", max_tokens: 4000, messages: [{ role: "user" as const, content: "Hello" }] }

// 1. Observed: nothing is refused or changed, and the log records what policies would have done. `policy report` sums it up.
{
  await using service = start({ policyMode: "observe" })
  await using alice = await service.asUser(token)
  await alice.chat.completions.create(question)
  const sent = provider.received().at(-1)
  const decision = (await service.workspace.records()).findLast(({ kind }) => kind === "decision")
  const observed = decision?.["observed"] as { readonly verdict: string; readonly edits: Array<object> } | undefined
  console.log(
    `Observed:  sent ${sent?.model}, as asked. Policy would ${observed?.verdict} it: ${observed?.edits.length} edits.`
  )
}

// 2. Enforced. `can` and `limits` return what is allowed before anything is sent; they count and log nothing.
await using service = start()
await using alice = await service.asUser(token)
const { maxOutputTokens, models } = await alice.limits()
console.log(`Limits:    ${models?.join(", ")}; ${maxOutputTokens} tokens.`)
const { edits } = await alice.can("generate", question)
console.log(`Can she?   Yes, as ${edits.map(({ path, to }) => `${path} ${to}`).join(" and ")}.`)
const embed = await alice.can("embed", { model: "text-embedding-3-small", input: "Hello" })
console.log(`           Embeddings: ${embed.verdict}, ${embed.violations[0]?.message}.`)

// 3. A folder is watched: a change is read whole and comes into force in one step.
writePolicy(90)
while ((await alice.limits()).maxOutputTokens !== 90) await new Promise((resolve) => setTimeout(resolve, 20))
await alice.chat.completions.create(question)
console.log(`Changed:   sent with ${provider.received().at(-1)?.max_tokens} tokens, and nobody restarted anything.`)

// 4. A change that does not load has no effect: the old policies stay in force, and the error gives the reason.
Fs.writeFileSync(Path.join(policies, "alice.json"), `{ "policy_id": "user:alice", "resorces": ["**"] }`)
const broken = await service.workspace.reload().catch((error: unknown) => error)
writePolicy(90)
if (!(broken instanceof Error)) throw new Error("that should not have loaded")
console.log(`Broken:    ${broken.message.split("\n")[1]?.trim().replace(policies, "policies")}`)
console.log(`           Still ${(await alice.limits()).maxOutputTokens} tokens.`)

Fs.rmSync(policies, { recursive: true })
