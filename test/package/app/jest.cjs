"use strict"
const OpenAI = require("openai")
const library = require("secure-openai")
const testing = require("secure-openai/testing")
const { protectedCall } = require("./protectedCall.cjs")

test("a protected call", () => protectedCall({ OpenAI, library, testing }))

test("client and errors are of the SDK that Jest gives a test", () => {
  const { client } = testing.testClient({ replies: ["Hi"] })
  expect(client).toBeInstanceOf(OpenAI)
  expect(client).toBeInstanceOf(library.SecureOpenAI)
})
