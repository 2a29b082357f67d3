/**
 * Both copies of the library in one process, as where an app requires it and a package of the app's imports it: one log, one
 * set of limits, each with the errors of its own copy of the SDK, and objects of the other refused with their name.
 */
import assert from "node:assert/strict"
import Fs from "node:fs"
import { createRequire } from "node:module"
import Os from "node:os"
import Path from "node:path"
import process from "node:process"
import OpenAI from "openai"
import * as imported from "secure-openai"
import * as testing from "secure-openai/testing"
import { layer } from "secure-openai/ai"

const require = createRequire(import.meta.url)
const required = require("secure-openai")
const RequiredOpenAI = require("openai")
assert.notEqual(required.SecureOpenAI, imported.SecureOpenAI)

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-both-"))
const home = Path.join(folder, "home")
const policies = Path.join(folder, "policies.json")
Fs.writeFileSync(
  policies,
  JSON.stringify({ policy_id: "app:smoke", resources: ["tool:smoke/**"], constraints: { rate_limit: 2 } })
)
Object.assign(process.env, { SECURE_OPENAI_HOME: home, SECURE_OPENAI_POLICIES: policies })

const choice = { index: 0, message: { role: "assistant", content: "Hi", refusal: null }, finish_reason: "stop" }
const answer = { id: "chatcmpl-1", object: "chat.completion", created: 1, model: "gpt-4o", choices: [choice] }
const fetch = async () => Response.json(answer)
const body = { model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] }
const make = ({ SecureOpenAI }) => new SecureOpenAI({ apiKey: "unused", appName: "smoke", fetch })
const thrown = (run) => {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error("it was let through")
}

const [first, second] = [make(imported), make(required)]
try {
  const answered = await first.chat.completions.create(body)
  await second.chat.completions.create(body)
  assert.equal(required.SecureOpenAI.receipt(answered).verdict, "allow")
  for (const [client, SDK] of [
    [first, OpenAI],
    [second, RequiredOpenAI]
  ]) {
    assert.ok(client instanceof SDK)
    const refused = await client.chat.completions.create(body).catch((error) => error)
    assert.equal(refused.code, "policy_rate_limit")
    assert.ok(refused instanceof SDK.RateLimitError)
    assert.ok(refused instanceof imported.PolicyRateLimitError && refused instanceof required.PolicyRateLimitError)
  }
  const records = await second.workspace.records()
  assert.deepEqual(records, await first.workspace.records())
  assert.equal(records.filter(({ kind }) => kind === "log.open").length, 1)
  assert.deepEqual(
    Fs.readdirSync(home).filter((name) => name.startsWith("audit")),
    ["audit"]
  )

  const workspace = await imported.Workspace.open({ audit: "memory", issuers: testing.testIssuer })
  const agent = await new imported.AgentClient({ iamToken: testing.mintToken(), workspace }).register()
  for (const given of [
    () => new required.SecureOpenAI({ workspace }),
    () => new required.AgentClient({ workspace }),
    () => second.bindToUser(agent),
    () => required.secureFetch(first)
  ])
    assert.match(thrown(given).message, /made by the ES module copy of secure-openai in .*this is the CommonJS copy/)
  assert.match(thrown(() => layer({ client: second, model: "gpt-4o" })).message, /made by the CommonJS copy/)
  assert.match(thrown(() => required.secure(OpenAI)).message, /the copy of openai that this library has/)
  await workspace.close()
} finally {
  await first.workspace.close()
  await second.workspace.close()
  Fs.rmSync(folder, { recursive: true, force: true })
}
console.log("both: one log, one set of limits")
