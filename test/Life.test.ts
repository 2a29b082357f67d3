import { describe, expect, it } from "vitest"
import { Life } from "../src/Life.ts"

const first = new Error("first")
const second = new Error("second")

describe("a life", () => {
  it("ends once, with the first reason, and tells those who listen", () => {
    const life = new Life()
    const heard: Array<Error> = []
    life.onEnd((reason) => heard.push(reason))
    const give = life.onEnd(() => heard.push(new Error("given up")))
    give()
    expect(life.over).toBeUndefined()
    life.end(first)
    life.end(second)
    expect([life.over, heard]).toEqual([first, [first]])
  })

  it("tells a listener that comes late at once", () => {
    const life = new Life()
    life.end(first)
    const heard: Array<Error> = []
    life.onEnd((reason) => heard.push(reason))()
    expect(heard).toEqual([first])
  })

  it("ends with any of those it depends on, and ends none of them", () => {
    const service = new Life()
    const user = new Life()
    const both = new Life(service, user)
    const call = new Life(both)
    both.end(first)
    expect([service.over, user.over, call.over]).toEqual([undefined, undefined, first])
    const again = new Life(service, user)
    user.end(second)
    expect([again.over, service.over, both.over]).toEqual([second, undefined, first])
  })

  it("is over from the start where one that it depends on is", () => {
    const user = new Life()
    user.end(first)
    const late = new Life(new Life(), user)
    late.end(second)
    expect(late.over).toBe(first)
  })

  it("tells its own listeners before it ends what depends on it, and once even where one of them ends it again", () => {
    const life = new Life()
    const order: Array<string> = []
    const dependent = new Life(life)
    dependent.onEnd(() => order.push("dependent"))
    life.onEnd(() => {
      order.push("own")
      life.end(second)
    })
    life.end(first)
    expect([order, dependent.over]).toEqual([["own", "dependent"], first])
  })
})
