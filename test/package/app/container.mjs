/**
 * A service in a container: makes calls on the default log until its standard input ends, and prints each one's receipt.
 * `node container.mjs <import|require>`.
 */
import { once } from "node:events"
import { createRequire } from "node:module"
import process from "node:process"

const [, , format] = process.argv
const { SecureOpenAI } =
  format === "require" ? createRequire(import.meta.url)("secure-openai") : await import("secure-openai")

const choice = { index: 0, message: { role: "assistant", content: "Hi", refusal: null }, finish_reason: "stop" }
const answer = { id: "chatcmpl-1", object: "chat.completion", created: 1, model: "gpt-4o", choices: [choice] }
const client = new SecureOpenAI({
  apiKey: "unused",
  appName: "smoke",
  policies: [{ policy_id: "app:smoke", resources: ["tool:smoke/**"] }],
  fetch: async () => Response.json(answer)
})

let goesOn = true
const calls = async () => {
  while (goesOn) {
    const made = await client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "Hello" }]
    })
    process.stdout.write(`${SecureOpenAI.receipt(made).jws}\n`)
  }
}
const running = Promise.all([calls(), calls(), calls()])
process.stdin.resume()
await Promise.race([once(process.stdin, "end"), running])
goesOn = false
await running
await client.close()
await client.workspace.close()
