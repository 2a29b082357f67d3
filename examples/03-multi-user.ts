/**
 * Many users through one service: each call carries its user's verified identity, and that user's own limits apply.
 *
 *   node examples/03-multi-user.ts
 *
 * The policies are in examples/policies: company:Acme → team:Support → user:alice, and company:Acme → team:Finance →
 * user:bob. In an app, import from "secure-openai".
 */
import { AgentClient, IdentityError, SecureOpenAI, UnboundError } from "../src/index.ts"
// Real tokens from an issuer inside this process; they are verified as in production. In an app they come from your
// identity provider, and the option is issuers: { issuer: "https://login.example.com", audience: "https://assistant.example.com" }.
import { mintToken, testIssuer } from "../src/testing/index.ts"
import { startProvider } from "./support/Provider.ts"

await using provider = await startProvider()

// One service, made once. The claims of a token select the caller's policies.
await using service = new SecureOpenAI({
  appName: "assistant",
  policies: `${import.meta.dirname}/policies`,
  issuers: testIssuer,
  audit: "memory",
  apiKey: "none",
  baseURL: provider.url
})
const tokens = {
  alice: mintToken({ sub: "u-17", preferred_username: "alice", company: "Acme", team: "Support" }),
  bob: mintToken({ sub: "u-42", preferred_username: "bob", company: "Acme", team: "Finance" })
}

// 1. The short way, good for one web request: it registers the user, binds to it, and undoes both at the end of the block.
const handleRequest = async (token: string, question: string) => {
  await using user = await service.asUser(token)
  const answer = await user.chat.completions.create({
    model: "gpt-4o",
    max_tokens: 4000,
    messages: [{ role: "user", content: question }]
  })
  return { answer, receipt: SecureOpenAI.receipt(answer) }
}

console.log("Both ask for gpt-4o and 4000 tokens, at the same moment:\n")
const results = await Promise.all([
  handleRequest(tokens.alice, "Where is my order?"),
  handleRequest(tokens.bob, "How was the quarter?")
])
for (const [i, name] of (["alice", "bob"] as const).entries()) {
  console.log(`  ${name.padEnd(6)} "${results[i]?.answer.choices[0]?.message.content}"`)
  for (const { from, path, policy, to } of results[i]?.receipt?.changes ?? [])
    console.log(`         ${path}: ${from} → ${to}, by ${policy}`)
}

// 2. The long way, where a user stays for a while: the agent is registered once, and bound as often as you like.
const alice = new AgentClient({ userName: "alice", iamToken: tokens.alice, workspace: service.workspace })
await alice.register() // the token is verified here, and again at every call
const bound = service.bindToUser(alice)
await bound.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "And now?" }] })
console.log(`\nBound to ${bound.userClient.userName}: sent ${provider.received().at(-1)?.model}.`)

bound.unbind()
const after = await bound.models.list().catch((error: unknown) => error)
if (!(after instanceof UnboundError)) throw new Error("this should have been refused")
console.log(`After unbind():  ${after.message}`)
await alice.unregister()

// 3. A tampered token is refused.
const [header, payload, signature] = tokens.alice.split(".")
const claims = JSON.parse(Buffer.from(payload ?? "", "base64url").toString()) as object
const forgedPayload = Buffer.from(JSON.stringify({ ...claims, preferred_username: "bob" })).toString("base64url")
const forged = await service.asUser(`${header}.${forgedPayload}.${signature}`).catch((error: unknown) => error)
if (!(forged instanceof IdentityError)) throw new Error("a forged token was accepted")
console.log(`\nA forged token:  ${forged.status} ${forged.code} (${forged.reason}). ${forged.message}`)
