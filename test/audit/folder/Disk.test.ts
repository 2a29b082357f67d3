import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { expect, it, vi } from "vitest"
import { nodeFileSystem } from "../../../src/audit/folder/Disk.ts"

vi.mock(import("node:fs"), async (original) => {
  const node = await original()
  const quiet = (from: Fs.PathLike, to: Fs.PathLike, done: (error?: Error) => void): void =>
    node.rename(from, to, (error) => (error === null ? done() : done(error)))
  return { ...node, rename: quiet as typeof node.rename }
})

it("a rename that tells of its success with nothing, as Deno's does, went well", async () => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-disk-"))
  const at = (name: string): string => Path.join(folder, name)
  const rename = (from: string, to: string): Promise<Error | null> =>
    new Promise((resolve) => nodeFileSystem.rename(at(from), at(to), resolve))
  try {
    Fs.writeFileSync(at("draft"), "text")
    expect(await rename("draft", "file")).toBeNull()
    expect(Fs.readFileSync(at("file"), "utf8")).toBe("text")
    expect(await rename("draft", "file")).toMatchObject({ code: "ENOENT" })
  } finally {
    Fs.rmSync(folder, { recursive: true })
  }
})
