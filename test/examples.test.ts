/** Every example and the demo, run as a reader runs them: a process of its own, without a key, in an empty folder. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const examples = Path.resolve(import.meta.dirname, "../examples")

let folder: string
beforeAll(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-examples-"))
})
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

/** The environment without what would change an example's course. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(OPENAI_|SECURE_OPENAI_|FORCE_COLOR|NODE_OPTIONS)/.test(name))
)

const run = (file: string) =>
  new Promise<{ readonly code: number | null; readonly output: string; readonly errors: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      [Path.join(examples, file)],
      { cwd: folder, env: { ...environment, TMPDIR: folder }, timeout: 60_000 },
      (_error, output, errors) => resolve({ code: child.exitCode, output, errors })
    )
  })

const telling: Readonly<Record<string, string>> = {
  "01-drop-in.ts": "Changed by app:my-app:   max_tokens from 4000 to 500",
  "02-streaming.ts": "Refused before it began: n is 5, which is above the maximum 1",
  "03-multi-user.ts": "A forged token:  401 identity_invalid (signature)",
  "04-agent-to-agent.ts": "with max_tokens 50, where the call itself says so",
  "05-function-calling.ts": "wire_transfer of 20000 EUR runs for user:bob",
  "06-custom-pipeline.ts": "refused by custom:closed",
  "07-testing.ts": "All of it without a socket.",
  "08-real-api.ts": "Nothing was sent.",
  "09-policies-in-use.ts": "Still 90 tokens.",
  "10-langchain-and-ai-sdk.ts": "The AI SDK, mallory:      403. tool:assistant/generate was refused",
  "11-effect-ai.ts": "Sent: 4 requests, gpt-4o-mini with max_tokens 200.",
  "demo/main.ts": "All of it happened as it says"
}

describe("the examples", () => {
  it.each(Object.entries(telling))(
    "%s runs, says what it shows, and leaves nothing behind",
    async (file, line) => {
      const { code, errors, output } = await run(file)
      expect(errors).toBe("")
      expect(output).toContain(line)
      expect(output).not.toContain("\u001b")
      expect(code).toBe(0)
      expect(Fs.readdirSync(folder)).toEqual([])
    },
    60_000
  )

  it("are all of them tested, and in the table", () => {
    const files = Fs.readdirSync(examples).filter((name) => /^\d\d-.*\.ts$/.test(name))
    expect([...files, "demo/main.ts"]).toEqual(Object.keys(telling))
    const table = Fs.readFileSync(Path.join(examples, "README.md"), "utf8")
    for (const file of Object.keys(telling)) expect(table).toContain(`(${file})`)
  })
})
