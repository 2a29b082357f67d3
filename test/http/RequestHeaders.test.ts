/** The headers that the SDK sets itself are those of the installed SDK's source. */
import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { isOpen, telemetryHeaders } from "../../src/http/RequestHeaders.ts"

const sdk = Path.resolve(import.meta.dirname, "../../node_modules/openai")

/** The names that the SDK's modules spell. */
const spelled = (): ReadonlySet<string> =>
  new Set(
    Fs.readdirSync(sdk, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".mjs") && !file.includes("node_modules"))
      .flatMap((file) => Fs.readFileSync(Path.join(sdk, file), "utf8").match(/x-stainless-[\w-]*/giu) ?? [])
      .map((name) => name.toLowerCase())
  )

describe("a header of the SDK's own", () => {
  it("is one that the installed SDK sets", () => {
    assert.deepStrictEqual([...spelled()].toSorted(), [...telemetryHeaders].toSorted())
  })
  it("is not any that is named like it", () => {
    for (const name of telemetryHeaders) assert.isTrue(isOpen(name), name)
    for (const name of ["x-stainless-", "x-stainless-route", "x-stainless-lang-2", "x-stainless"])
      assert.isFalse(isOpen(name), name)
  })
})
