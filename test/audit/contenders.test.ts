/**
 * One home, and several containers: no record that was acknowledged is lost or overwritten, whoever opens, closes, is stopped
 * or is killed.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Arena, assertKept, contend, noNamespaces, until } from "./contenders.ts"

const arena = new Arena()
afterAll(() => arena.end())

const rhythm = { beat: 40, old: 400, still: 200 }

describe.skipIf(noNamespaces !== undefined)(
  `containers on one home${noNamespaces === undefined ? "" : ` (skipped: ${noNamespaces})`}`,
  () => {
    it("lose nothing, in twenty rounds of two and of four", { timeout: 120_000 }, async () => {
      const report = await contend(arena, 20, 1)
      assert.isAbove(report.kills, 1)
      assert.isAbove(report.acknowledged, 100)
    })

    it("give a log only to one that asks its stopped holder for nothing, and goes on beside it", async () => {
      const home = Path.join(arena.home, "stopped")
      const [holder, other] = arena.contenders(2)
      if (holder === undefined || other === undefined) throw new Error("there are two")
      const open = {
        do: "open",
        path: Path.join(home, "audit"),
        named: false,
        hasSocket: true,
        rhythm,
        holderDelay: 600
      } as const
      holder.acknowledged.length = other.acknowledged.length = 0
      await holder.ask(open)
      await until("it writes", () => holder.acknowledged.length > 0)
      holder.signal("SIGSTOP")
      // Longer than a heartbeat may be late: the kernel still says that it is there.
      await other.ask(open)
      await until("the other has a log", () => other.path !== undefined)
      assert.strictEqual(other.path, `${open.path}-2`)
      holder.signal("SIGCONT")
      const { length } = holder.acknowledged
      await until("it goes on", () => holder.acknowledged.length > length)
      await Promise.all([holder.close(), other.close()])
      assert.deepStrictEqual(
        holder.said.filter((line) => line.startsWith("no ")),
        []
      )
      await assertKept(home, [holder, other])
    })

    it("take a log over from a holder whose heart stood still, which then refuses, and takes it again", async () => {
      const home = Path.join(arena.home, "still")
      const [holder, other] = arena.contenders(2)
      if (holder === undefined || other === undefined) throw new Error("there are two")
      const open = {
        do: "open",
        path: Path.join(home, "audit"),
        named: true,
        hasSocket: false,
        rhythm,
        holderDelay: 2000
      } as const
      holder.acknowledged.length = other.acknowledged.length = 0
      await holder.ask(open)
      await until("it writes", () => holder.acknowledged.length > 0)
      // Its heart beats: it is waited for, and then the path is refused, with a word about whose it is.
      await other.ask({ ...open, holderDelay: 500 })
      await until("the other is refused", () =>
        other.refused(/open in process 1 of another container on this machine \(host name /)
      )
      holder.signal("SIGSTOP")
      await other.ask(open)
      await until("the other writes", () => other.acknowledged.length > 0)
      holder.signal("SIGCONT")
      await until("it is refused", () => holder.refused(/was taken over by process 1 of another container/))
      const { length } = holder.acknowledged
      await new Promise((resolve) => setTimeout(resolve, 100))
      assert.strictEqual(holder.acknowledged.length, length)
      await other.close()
      await until("it has the log again", () => holder.acknowledged.length > length)
      await holder.close()
      assert.deepStrictEqual(await assertKept(home, [holder, other]), ["audit"])
    })

    it("are told who has a path that was named, at once where it says that it stays", async () => {
      const home = Path.join(arena.home, "named")
      const [holder, other] = arena.contenders(2)
      if (holder === undefined || other === undefined) throw new Error("there are two")
      const open = { do: "open", path: Path.join(home, "audit"), named: true, hasSocket: true } as const
      holder.acknowledged.length = other.acknowledged.length = 0
      await holder.ask(open)
      await until("it writes", () => holder.acknowledged.length > 0)
      const { mode } = Fs.lstatSync(Path.join(open.path, "lock.sock"))
      assert.strictEqual((mode & 0o777).toString(8), "600")
      await other.ask(open)
      await until("the other is refused", () =>
        other.refused(/another container on this machine \(host name .*, kernel boot [-0-9a-f]{36}\)/)
      )
      await holder.close()
      await assertKept(home, [holder])
    })
  }
)
