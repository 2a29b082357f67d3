/**
 * The drop-in: change the import and the constructor, keep all other code.
 *
 *   node examples/01-drop-in.ts
 *
 * In an app, the imports are "secure-openai" and nothing of examples/support is needed.
 */
import { OpenAI } from "openai"
import { PolicyDeniedError, SecureOpenAI } from "../src/index.ts"
import { startProvider } from "./support/Provider.ts"

await using provider = await startProvider()

// Existing code without any knowledge of policies. It takes an OpenAI client, and gets one.
const ask = async (client: OpenAI, question: string, options: { max_tokens?: number; store?: boolean } = {}) => {
  const answer = await client.chat.completions.create({
    model: "gpt-4o",
    messages: [{ role: "user", content: question }],
    ...options
  })
  return answer
}

// Before:
//   const client = new OpenAI()
// After:
await using client = new SecureOpenAI({
  appName: "my-app",
  // Limits in MAPL, the policy language. A folder of JSON files works too: policies: "./policies".
  policies: {
    policy_id: "app:my-app",
    resources: ["tool:my-app/**"],
    constraints: {
      parameters: {
        "tool:my-app/generate": { model: ["gpt-4o-mini"], max_tokens: { max: 500 }, store: { allowed_values: [false] } }
      }
    }
  },
  audit: "memory", // without this line, the log is in .secure-openai/audit
  apiKey: "none", // without these two lines, the SDK's defaults apply: OPENAI_API_KEY and api.openai.com
  baseURL: provider.url
})
console.log(`Still an OpenAI client:  ${client instanceof OpenAI}`)

// Policy lowers a value over a limit to the limit. The caller gets an answer, and the receipt names each change and its policy.
const answer = await ask(client, "Hello!", { max_tokens: 4000 })
console.log(`\nThe answer:              ${answer.choices[0]?.message.content}`)
for (const { from, path, policy, to } of SecureOpenAI.receipt(answer)?.changes ?? [])
  console.log(`Changed by ${policy}:   ${path} from ${from} to ${to}`)

// If no rewrite can make a request comply, it is refused before anything is sent. The error is one of the SDK's own classes,
// so code that handles OpenAI's errors handles this one.
try {
  await ask(client, "Remember this for ever.", { store: true })
} catch (error) {
  if (!(error instanceof PolicyDeniedError)) throw error
  console.log(`\nRefused:                 ${error.status} ${error.code}, an OpenAI.PermissionDeniedError`)
  for (const { message } of error.decision.violations) console.log(`Because:                 ${message}`)
}

// Everything else of the SDK is there: streams, helpers, embeddings, models, files …
const { data } = await client.embeddings.create({ model: "text-embedding-3-small", input: "a sentence" })
console.log(`\nAn embedding:            ${data[0]?.embedding.length} numbers`)
console.log(`Chat completions sent:   ${provider.received().length} of 2, the refused one never left`)
