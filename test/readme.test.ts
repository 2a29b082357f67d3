/** README.md: its programs run, and print what it shows. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { runSync } from "./cli/Command.ts"

const root = Path.resolve(import.meta.dirname, "..")
const text = Fs.readFileSync(Path.join(root, "README.md"), "utf8")
const policies = /^```json policies\.json\n(.*?)^```$/msu.exec(text)?.[1] ?? expect.fail("no policies")
const programs = [...text.matchAll(/^```ts (\S+)\n(.*?)^```\n```text\n(.*?)^```$/gmsu)].map(
  ([, name = "", program = "", output = ""]) => ({ name, program, output })
)

let folder = ""
const home = () => Path.join(folder, ".secure-openai")
beforeAll(() => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-readme-"))
  Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(folder, "node_modules"))
  Fs.writeFileSync(Path.join(folder, "package.json"), '{ "type": "module" }')
  Fs.writeFileSync(Path.join(folder, "policies.json"), policies)
})
afterAll(() => Fs.rmSync(folder, { recursive: true }))

const source = (entry: string) => JSON.stringify(pathToFileURL(Path.join(root, "src", entry)).href)

describe("the README", () => {
  it("has four programs with their output", () => {
    expect(programs.map(({ name }) => name)).toEqual(["users.ts", "refusal.ts", "stream.ts", "tools.ts"])
  })

  it.each(programs)("shows what $name prints", async ({ name, output, program }) => {
    vi.stubEnv("SECURE_OPENAI_HOME", home())
    Fs.writeFileSync(
      Path.join(folder, name),
      program
        .replaceAll('"secure-openai/testing"', source("testing/index.ts"))
        .replaceAll('"secure-openai"', source("index.ts"))
        .replaceAll('"policies.json"', JSON.stringify(Path.join(folder, "policies.json")))
    )
    const lines: Array<string> = []
    const log = vi.spyOn(console, "log").mockImplementation((...said) => void lines.push(said.join(" ")))
    try {
      await import(pathToFileURL(Path.join(folder, name)).href)
    } finally {
      log.mockRestore()
      vi.unstubAllEnvs()
    }
    expect(`${lines.join("\n")}\n`).toBe(output)
  })

  it("shows what the verification of a log prints, before and after a change", async () => {
    const [intact = "", changed = ""] = [...text.matchAll(/^```text\n(\/home\/you\/shop\/.*?)^```$/gmsu)].map(
      ([, shown]) => shown
    )
    const log = Path.join(home(), "audit")
    const shape = (shown: string) =>
      shown
        .replaceAll(log, "/home/you/shop/.secure-openai/audit")
        .replaceAll(/\d{4}-\d\d-\d\d [\d:.]+Z/gu, "TIME")
        .replaceAll(/root \S+,/gu, "root ROOT,")
        .replaceAll(/secure-openai\/[0-9a-f]{16}/gu, "ORIGIN")
        .replaceAll(/\d+ records|the first \d+/gu, "COUNT")
    const verified = runSync(["audit", "verify", log])
    expect([verified.status, shape(verified.stdout)]).toEqual([0, shape(intact)])
    const [segment = ""] = Fs.readdirSync(Path.join(log, "journal"))
    const journal = Path.join(log, "journal", segment)
    Fs.writeFileSync(journal, Fs.readFileSync(journal, "utf8").replace('"verdict":"allow"', '"verdict":"Allow"'))
    const found = runSync(["audit", "verify", log])
    expect(found.status).toBe(1)
    for (const line of shape(changed).trimEnd().split("\n"))
      expect(shape(found.stdout).replaceAll(/record \d+/gu, "record N")).toContain(
        line.replaceAll(/record \d+/gu, "record N")
      )
  })
})
