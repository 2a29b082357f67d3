/**
 * Against the real API: one short question to a small model.
 *
 *   OPENAI_API_KEY=sk-… node examples/08-real-api.ts
 *
 * Without a key it prints what it needs, and sends nothing. In an app, import from "secure-openai".
 */
import { SecureOpenAI } from "../src/index.ts"

if (!process.env["OPENAI_API_KEY"]) {
  console.log("This example talks to the real API and needs a key. Nothing was sent.")
  console.log("  OPENAI_API_KEY=sk-… node examples/08-real-api.ts")
  console.log("It asks one question, of gpt-4o-mini, with at most 60 tokens: a fraction of a cent.")
  process.exit(0)
}

// The SDK reads the key, and OPENAI_BASE_URL if it is set, as always.
await using client = new SecureOpenAI({
  appName: "my-app",
  intentPolicy: {
    constraints: { parameters: { "tool:my-app/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 60 } } } }
  },
  audit: "memory"
})

const stream = await client.chat.completions.create({
  model: "gpt-4o",
  messages: [{ role: "user", content: "Say in one sentence why a log should be verifiable by an outsider." }],
  stream: true
})
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "")

const receipt = SecureOpenAI.receipt(stream)
console.log(`\n\nRecord ${receipt?.index} of the log has call ${receipt?.call}.`)
for (const { from, path, to } of receipt?.changes ?? []) console.log(`  ${path}: ${from ?? "none"} → ${to}`)
