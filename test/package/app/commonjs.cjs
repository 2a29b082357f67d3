"use strict"
const OpenAI = require("openai")
const library = require("secure-openai")
const testing = require("secure-openai/testing")
const { protectedCall } = require("./protectedCall.cjs")

protectedCall({ OpenAI, library, testing }).then(() => console.log("require: protected"))
