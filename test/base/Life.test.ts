import { describe, expect, it } from "vitest"
import { Life } from "../../src/base/Life.ts"

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

describe("a life that is drained", () => {
  it("takes nothing new, waits for what was begun, and ends for its reason", async () => {
    const life = new Life()
    const one = life.begin()!
    const two = life.begin()!
    const drained = life.drain(() => first, 60_000)
    expect([life.refusal, life.over, life.begin()]).toEqual([first, undefined, undefined])
    one.end()
    one.end()
    await Promise.resolve()
    expect(life.over).toBeUndefined()
    two.end()
    await drained
    expect([life.over, life.refusal]).toEqual([first, first])
  })

  it("ends at once where nothing was begun, and after its time where something never ends", async () => {
    const idle = new Life()
    await idle.drain(() => first, 60_000)
    expect(idle.over).toBe(first)
    const busy = new Life()
    const task = busy.begin()!
    await busy.drain(() => first, 5)
    expect([busy.over, task.over]).toEqual([first, false])
    task.end()
  })

  it("is ended by hand before", async () => {
    const life = new Life()
    life.begin()
    const drained = life.drain(() => first, 60_000)
    life.end(second)
    await drained
    await life.drain(() => first, 60_000)
    expect(life.over).toBe(second)
  })

  it("waits for what was begun under the lives that depend on it, and these take nothing new either", async () => {
    const service = new Life()
    const binding = new Life(service, new Life())
    const task = binding.begin()!
    const drained = service.drain(() => first, 60_000)
    expect([binding.refusal, binding.over]).toEqual([first, undefined])
    task.end()
    await drained
    expect([service.over, binding.over]).toEqual([first, first])
  })

  it("takes more in the course of what was begun, until that ends", async () => {
    const service = new Life()
    const binding = new Life(service)
    const other = new Life(service)
    const task = binding.begin()!
    void service.drain(() => first, 60_000)
    const told = await task.run(async () => {
      await Promise.resolve()
      const inner = binding.begin()!
      inner.end()
      return [service.refusal, binding.refusal, other.refusal, inner.run(() => binding.refusal)]
    })
    expect(told).toEqual([undefined, undefined, first, undefined])
    expect(binding.begin()).toBeUndefined()
    const later = task.run(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1))
      return binding.refusal
    })
    task.end()
    expect(await later).toBe(first)
  })
})
