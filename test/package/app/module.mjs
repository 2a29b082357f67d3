import OpenAI from "openai"
import * as library from "secure-openai"
import * as testing from "secure-openai/testing"
import { protectedCall } from "./protectedCall.cjs"

await protectedCall({ OpenAI, library, testing })
console.log("import: protected")
