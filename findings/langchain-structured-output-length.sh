#!/bin/sh
# An answer that reached its cap on tokens (finish_reason "length") reaches it again when it is asked for again. LangChain's structured
# output retries it all the same: the SDK's parse() throws LengthFinishReasonError, which has no status, so ChatOpenAI takes it for
# a fault that passes. With the default maxRetries (6) one invoke() sends seven requests, each a whole generation that is paid, and
# waits about a minute and a half in between. With the method "functionCalling" the same answer gives undefined and no error.
#
# Seen: @langchain/openai 1.6.0 with @langchain/core 1.4.0 and openai 7.59.0 on Node 24.21.0. Needs Node 22 or later on the PATH; takes
# about two minutes. Exits 1 if it behaves otherwise.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @langchain/openai@1.6.0 @langchain/core@1.4.0 openai@7.59.0 zod@4.6.7
cat >length.mjs <<'END'
import { ChatOpenAI } from "@langchain/openai"
import { z } from "zod"

let requests = 0
const truncated = async () => {
  requests++
  return Response.json({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "gpt-4o-mini",
    choices: [{ index: 0, message: { role: "assistant", content: '{"a":' }, finish_reason: "length", logprobs: null }],
    usage: { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 }
  })
}
const model = new ChatOpenAI({ model: "gpt-4o-mini", maxTokens: 3, apiKey: "none", configuration: { fetch: truncated } })
const seen = []
for (const method of ["jsonSchema", "functionCalling"]) {
  requests = 0
  const began = Date.now()
  const result = await model
    .withStructuredOutput(z.object({ a: z.number() }), { name: "answer", method })
    .invoke("Hello")
    .then(
      (value) => `gave ${JSON.stringify(value)}`,
      (error) => `rejected with ${error.constructor.name}`
    )
  seen.push(`${requests} ${result}`)
  console.log(`${method}: ${requests} requests in ${Math.round((Date.now() - began) / 1000)} s, then it ${result}`)
}
process.exitCode = seen.join() === "7 rejected with LengthFinishReasonError,1 gave undefined" ? 0 : 1
END
node length.mjs
