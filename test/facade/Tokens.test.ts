import { inspect } from "node:util"
import { describe, expect, it } from "vitest"
import { makeTokens } from "../../src/facade/Tokens.ts"

describe("a token", () => {
  const secrets = makeTokens<{ readonly secret: string }>()
  const others = makeTokens<{ readonly secret: string }>()
  const value = { secret: "behind" }
  const token = secrets.standingFor(value)

  it("stands for its value to those who made it, wherever it is copied", () => {
    const options = { held: token }
    expect(secrets.behind({ ...options, more: 1 }.held)).toBe(value)
    expect(secrets.behind(secrets.standingFor(value))).toBe(value)
  })

  it("stands for nothing to anyone else, and nothing else is one", () => {
    expect(others.behind(token)).toBeUndefined()
    for (const forged of [undefined, null, 1, "token", {}, { ...token }, Object.create(token), new Proxy(token, {})])
      expect(secrets.behind(forged)).toBeUndefined()
  })

  it("shows nothing of its value, nor does what made it", () => {
    const { constructor } = token as { readonly constructor: new (value: unknown) => object }
    const shown = [token, constructor, constructor.prototype, Object.getOwnPropertyDescriptors(constructor)]
    expect(inspect(shown, { depth: Infinity, showHidden: true })).not.toContain("behind")
    expect(Reflect.ownKeys(token)).toEqual([])
  })
})
