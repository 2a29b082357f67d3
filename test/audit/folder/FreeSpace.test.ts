import { beforeEach, describe, expect, it } from "vitest"
import type { FileSystem, Space } from "../../../src/audit/folder/Disk.ts"
import { memoryFileSystem } from "../../../src/audit/folder/Disk.ts"
import { lowBelow, SpaceWatch } from "../../../src/audit/folder/FreeSpace.ts"

const mebibyte = 2 ** 20
let time = 0
beforeEach(() => void (time = 0))

/** A watch over a file system that answers at once, or when it is let. */
const watchOf = (room: () => Space | Error, held?: Array<() => void>) => {
  const warned: Array<number> = []
  let asked = 0
  const disk: FileSystem = {
    ...memoryFileSystem(),
    space: (_path, done) => {
      asked++
      const told = room()
      const tell = () => (told instanceof Error ? done(told) : done(null, told))
      if (held === undefined) tell()
      else held.push(tell)
    }
  }
  const becameLow = ({ free }: Space): void => void warned.push(free / mebibyte)
  const watch = new SpaceWatch(disk, "/log", becameLow, () => time)
  return { watch, warned, asked: () => asked }
}

describe("a disk is low", () => {
  it.each([
    ["a large disk, below 256 MiB", 1_000_000, 256],
    ["a small one, below a twentieth", 1000, 50]
  ])("%s", (_what, total, threshold) => {
    expect(lowBelow(total * mebibyte)).toBe(threshold * mebibyte)
  })

  it("once an episode, which is over once a quarter more is free", () => {
    let free = 256
    const { warned, watch } = watchOf(() => ({ free: free * mebibyte, total: 1_000_000 * mebibyte }))
    const steps = [
      [256, false, 0],
      [255, true, 1],
      [0, true, 1],
      [319, true, 1],
      [320, false, 1],
      [256, false, 1],
      [255, true, 2]
    ] as const
    for (const [next, low, warnings] of steps) {
      free = next
      time += 1000
      watch.look()
      expect(watch.known).toEqual({ free: free * mebibyte, total: 1_000_000 * mebibyte, low })
      expect(warned).toHaveLength(warnings)
    }
  })
})

describe("the file system is asked", () => {
  it("at most once a second, and not while it has not answered", () => {
    const held: Array<() => void> = []
    const { asked, watch } = watchOf(() => ({ free: 1, total: 1 }), held)
    const look = (after: number): number => {
      time += after
      watch.look()
      return asked()
    }
    expect(watch.known).toBeUndefined()
    expect([look(0), look(5000)]).toEqual([1, 1])
    held.pop()?.()
    expect(watch.known).toEqual({ free: 1, total: 1, low: false })
    expect([look(0), look(1)]).toEqual([2, 2])
    held.pop()?.()
    expect([look(998), look(1)]).toEqual([2, 3])
  })

  it("again where it could not tell; what it told last stays", () => {
    let room: Space | Error = { free: 7, total: 100 }
    const { asked, watch } = watchOf(() => room)
    watch.look()
    room = new Error("EIO")
    time += 1000
    watch.look()
    expect(watch.known).toEqual({ free: 7, total: 100, low: false })
    time += 1000
    watch.look()
    expect(asked()).toBe(3)
  })

  it("at once where a write has found the disk full: neither what was told before nor a late answer stays", () => {
    const held: Array<() => void> = []
    let free = 900 * mebibyte
    const { asked, warned, watch } = watchOf(() => ({ free, total: 1_000_000 * mebibyte }), held)
    watch.look()
    held.pop()?.()
    expect(watch.known).toMatchObject({ free })
    time += 1000
    watch.look()
    const late = held.pop()
    free = 0
    watch.lookAnew()
    expect([watch.known, asked()]).toEqual([undefined, 3])
    late?.()
    expect(watch.known).toBeUndefined()
    held.pop()?.()
    expect(watch.known).toMatchObject({ free: 0, low: true })
    watch.lookAnew()
    held.pop()?.()
    expect(warned).toEqual([0])
  })
})
