import * as Fs from "node:fs"
import { describe, expect, it } from "vitest"
import { version } from "../../src/base/Version.ts"

const manifest = JSON.parse(Fs.readFileSync("package.json", "utf8")) as Readonly<Record<string, unknown>>
const sources = Fs.globSync("src/**/*.ts").map((file) => ({
  file,
  text: Fs.readFileSync(file, "utf8")
}))

describe("the version", () => {
  it("is the one of package.json", () => {
    expect(version).toBe(manifest["version"])
  })

  it("stands in no other file of src", () => {
    const literal = `["'\`/]${version.replaceAll(".", String.raw`\.`)}["'\`]`
    const found = sources.filter(({ text }) => new RegExp(literal, "u").test(text))
    expect(found.map(({ file }) => file)).toEqual(["src/base/Version.ts"])
  })

  it("is named by no docstring: which version first had an export stands in the changelog alone", () => {
    expect(sources.filter(({ text }) => /^\s*\* @since\b/mu.test(text)).map(({ file }) => file)).toEqual([])
  })
})
