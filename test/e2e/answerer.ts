/**
 * A process that answers one call and is killed right behind its answer, as a function platform freezes one:
 * `node answerer.ts <kind> <flush|none>`, with `SECURE_OPENAI_HOME`. No socket; the log is a real one.
 */
import * as Layer from "effect/Layer"
import { Pipeline } from "../../src/workspace/Pipeline.ts"
import { SecureOpenAI } from "../../src/index.ts"
import { Invocation } from "../../src/testing/index.ts"
import { kinds } from "./answerKinds.ts"

const [kind = "", flush] = process.argv.slice(2)
const client = new SecureOpenAI({
  appName: "lab",
  apiKey: "k",
  layer: Pipeline.layer.pipe(Layer.provide(Invocation.layer(["Hello there"])))
})
await client.ready()
await kinds[kind]!(client)
if (flush === "flush") await client.flush()
process.kill(process.pid, "SIGKILL")
