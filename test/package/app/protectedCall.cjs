"use strict"
/**
 * One protected call over a real socket, one that policy refuses and one with a forged token, by whatever copy of the library
 * and the SDK a program has: what a user's first minutes with it are. Throws where something is not as it should be.
 */
const assert = require("node:assert/strict")
const { once } = require("node:events")
const Fs = require("node:fs")
const Http = require("node:http")
const Os = require("node:os")
const Path = require("node:path")

/** A provider on the loopback interface: its base URL, the models that it was asked for, and its end. */
const provide = async () => {
  const models = []
  const server = Http.createServer((request, response) => {
    let text = ""
    request.setEncoding("utf8")
    request.on("data", (part) => (text += part))
    request.on("end", () => {
      const { model } = JSON.parse(text)
      models.push(model)
      const message = { role: "assistant", content: "Hi", refusal: null }
      const choices = [{ index: 0, message, logprobs: null, finish_reason: "stop" }]
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify({ id: "chatcmpl-1", object: "chat.completion", created: 1, model, choices }))
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { baseURL: `http://127.0.0.1:${server.address().port}/v1`, models, close }
}

const policies = [
  {
    policy_id: "user:alice",
    resources: ["tool:smoke/generate"]
  }
]

const rejected = async (promise) => {
  const value = await promise.then(
    (answer) => ({ answer }),
    (error) => ({ error })
  )
  assert.ok("error" in value, "the call was let through")
  return value.error
}

/**
 * `OpenAI` is the SDK's client as the program got it; `library` and `testing` are what `secure-openai` and
 * `secure-openai/testing` export.
 */
exports.protectedCall = async ({ OpenAI, library, testing }) => {
  const { IdentityError, PolicyDeniedError, SecureOpenAI, Workspace } = library
  const home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-smoke-"))
  const provider = await provide()
  const workspace = await Workspace.open({ home, policies, issuers: testing.testIssuer })
  const client = new SecureOpenAI({ apiKey: "unused", baseURL: provider.baseURL, appName: "smoke", workspace })
  try {
    assert.ok(client instanceof OpenAI, "the client is no OpenAI")
    const user = await client.asUser(testing.mintToken({ sub: "alice" }))
    const answer = await user.chat.completions.create({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: "Hello" }]
    })
    assert.equal(answer.choices[0].message.content, "Hi")
    assert.equal(SecureOpenAI.receipt(answer).verdict, "allow")
    const denied = await rejected(user.embeddings.create({ model: "text-embedding-3-small", input: "Hello" }))
    assert.ok(denied instanceof OpenAI.PermissionDeniedError, "the refusal is no PermissionDeniedError of the SDK")
    assert.ok(denied instanceof PolicyDeniedError)
    assert.equal(denied.code, "policy_denied")
    const forged = await rejected(client.asUser("no.jwt.token"))
    assert.ok(forged instanceof OpenAI.AuthenticationError, "the refusal is no AuthenticationError of the SDK")
    assert.ok(forged instanceof IdentityError)
    await user.close()
    assert.deepEqual(provider.models, ["gpt-4o-mini"])
    const kinds = (await workspace.records()).map(({ kind }) => kind)
    assert.deepEqual(
      kinds.filter((kind) => kind === "decision" || kind.startsWith("refused")),
      ["decision", "refused", "refused.many"]
    )
  } finally {
    await client.close()
    await workspace.close()
    provider.close()
    Fs.rmSync(home, { recursive: true, force: true })
  }
}
