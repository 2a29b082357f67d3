/** A user's program, as it is type-checked in each module format. */
import OpenAI from "openai"
import {
  type AgentClient,
  ConfigurationError,
  type Decision,
  IdentityError,
  PolicyDeniedError,
  SecureOpenAI,
  Workspace
} from "secure-openai"
import { mintToken, testClient, testIssuer } from "secure-openai/testing"

export const program = async (): Promise<void> => {
  const workspace: Workspace = await Workspace.open({ audit: "memory", issuers: testIssuer })
  const client = new SecureOpenAI({ appName: "my-app", workspace, apiKey: "unused" })
  const face: OpenAI = client
  const answer = await face.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] })
  const text: string | null | undefined = answer.choices[0]?.message.content
  const decision: Decision = await client.can("generate", { model: "gpt-4o" })
  const user = await client.asUser(mintToken())
  const agent: AgentClient = user.userClient
  try {
    await user.responses.create({ model: "gpt-4o", input: "Hello" })
  } catch (error) {
    if (error instanceof PolicyDeniedError) console.log(error.decision.violations[0]?.code, error.status)
    if (error instanceof IdentityError) console.log(error.reason)
    if (error instanceof OpenAI.PermissionDeniedError || error instanceof ConfigurationError) console.log(error.message)
  }
  console.log(text, decision.verdict, agent.agentId, testClient({ replies: ["Hi"] }).requests.length)
  // @ts-expect-error: no such option, so the types are there
  new SecureOpenAI({ appNam: "my-app" })
  // @ts-expect-error: a token is a text
  mintToken(1, 2, 3)
  // @ts-expect-error: a verdict is a word
  const verdict: number = decision.verdict
  console.log(verdict)
}
