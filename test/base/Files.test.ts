import { expect, it } from "vitest"
import * as Vm from "node:vm"
import { errorCode, orMissing } from "../../src/base/Files.ts"

it("a missing file is missing too where code runs in a context of its own, as in Jest", () => {
  const foreign: unknown = Vm.runInNewContext(`Object.assign(new Error("no such file"), { code: "ENOENT" })`)
  expect(foreign).not.toBeInstanceOf(Error)
  expect(errorCode(foreign)).toBe("ENOENT")
  const missing = orMissing(() => {
    throw foreign
  })
  expect(missing).toBeUndefined()
})
