import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import { promisify } from "node:util"
import { oldestNode } from "../../src/base/NodeVersion.ts"

const exec = promisify(execFile)

/** What an import says on a Node, or another runtime, that tells these versions. */
const imported = async (entry: string, versions: object): Promise<string> => {
  const script = `
    Object.defineProperty(process, "versions", { value: ${JSON.stringify(versions)} })
    await import(${JSON.stringify(new URL(`../../src/${entry}`, import.meta.url).href)}).then(
      () => console.log("loaded"),
      (error) => console.log(error.message)
    )`
  return (await exec(process.execPath, ["--input-type=module", "-e", script])).stdout.trim()
}

describe("the version of Node", () => {
  it("is that of package.json", () => {
    const { engines } = JSON.parse(Fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
      readonly engines: { readonly node: string }
    }
    assert.strictEqual(engines.node, `>=${oldestNode}`)
  })

  it.each(["index.ts", "testing/index.ts", "ai/index.ts", "cli/main.ts"])(
    "is told by %s where it is too old",
    async (entry) =>
      assert.match(
        await imported(entry, { node: "20.20.2" }),
        /^secure-openai needs Node 22\.19\.0 or later, and this is Node 20\.20\.2\./
      )
  )

  it("is old enough from 22.19, and on Bun and Deno", async () => {
    for (const versions of [
      { node: "22.19.0" },
      { node: "24.0.0" },
      { node: "20.0.0", bun: "1.4.0" },
      { node: "20.0.0", deno: "2.9.0" }
    ])
      assert.strictEqual(await imported("base/NodeVersion.ts", versions), "loaded")
  })
})
