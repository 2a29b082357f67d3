import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { watching } from "../../src/policy/Watch.ts"

let folder = ""
beforeEach(() => {
  folder = Fs.realpathSync(Fs.mkdtempSync(Path.join(Os.tmpdir(), "watch-")))
})
afterEach(() => Fs.rmSync(folder, { recursive: true, force: true }))

const at = (name: string): string => Path.join(folder, name)

const write = (name: string, text = String(Math.random())): void => {
  Fs.mkdirSync(Path.dirname(at(name)), { recursive: true })
  Fs.writeFileSync(at(name), text)
}

/** What editors and deployments do: the new file, link or folder takes the old one's place by its name. */
const replace = (name: string, make: (at: string) => void): void => {
  make(at("new"))
  Fs.renameSync(at("new"), at(name))
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Does one thing after the other; each must be noticed before the next, and nothing may be noticed before the first. */
const noticed = async (path: string, acts: ReadonlyArray<() => void>): Promise<void> => {
  let count = 0
  const scope = Scope.makeUnsafe()
  const changes = await Effect.runPromise(Scope.provide(watching(path), scope))
  const fiber = Effect.runFork(Stream.runForEach(changes, () => Effect.sync(() => void count++)))
  await pause(300)
  assert.strictEqual(count, 0, "something was noticed before anything changed")
  for (const [index, act] of acts.entries()) {
    const before = count
    act()
    for (let tries = 0; count === before && tries < 100; tries++) await pause(50)
    assert.isAbove(count, before, `act ${index} was not noticed`)
  }
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await Effect.runPromise(Fiber.await(fiber))
}

describe("changes", () => {
  it("of a folder: a file that is written, replaced, added, removed, and the folder itself", async () => {
    write("p/a.json")
    write("p/sub/b.json")
    await noticed(at("p"), [
      () => write("p/a.json"),
      () => replace("p/sub/b.json", (path) => Fs.writeFileSync(path, "1")),
      () => write("p/sub/c.json"),
      () => Fs.rmSync(at("p/a.json")),
      () => Fs.rmSync(at("p"), { recursive: true }),
      () => write("p/a.json"),
      () => write("p/a.json")
    ])
  })

  it("of a file: one that is written, replaced, removed and made again", async () => {
    write("a.json")
    await noticed(at("a.json"), [
      () => write("a.json"),
      () => replace("a.json", (path) => Fs.writeFileSync(path, "1")),
      () => replace("a.json", (path) => Fs.writeFileSync(path, "2")),
      () => Fs.rmSync(at("a.json")),
      () => write("a.json")
    ])
  })

  it("of a mounted configuration map, whose hidden link is swapped", async () => {
    write("p/..v1/a.json")
    Fs.symlinkSync("..v1", at("p/..data"))
    Fs.symlinkSync("..data/a.json", at("p/a.json"))
    const swap = (version: number) => () => {
      write(`p/..v${version}/a.json`)
      replace("p/..data", (path) => Fs.symlinkSync(`..v${version}`, path))
      Fs.rmSync(at(`p/..v${version - 1}`), { recursive: true })
    }
    await noticed(at("p"), [swap(2), swap(3)])
  })

  it("of a link to the current folder", async () => {
    write("v1/a.json")
    write("v2/a.json")
    Fs.symlinkSync("v1", at("current"))
    await noticed(at("current"), [
      () => write("v1/a.json"),
      () => replace("current", (path) => Fs.symlinkSync("v2", path)),
      () => write("v2/a.json")
    ])
  })
})
