/**
 * A log on a disk that is really full, and then is not: a small tmpfs where this process may mount one, and a log in memory
 * whose disk fails otherwise.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { Audit } from "../../src/audit/Audit.ts"
import { Disk } from "../../src/audit/folder/Disk.ts"
import type { EnforcementUnavailable } from "../../src/call/Errors.ts"
import { answer, chat, kinds, runCall, withLayer } from "./calls.ts"
import { FaultyDisk } from "./FaultyDisk.ts"
import { check, temporaryFolder } from "./logs.ts"

const mounted = (size: string): string | undefined => {
  const folder = temporaryFolder()
  const { status } = ChildProcess.spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder])
  if (status === 0) return folder
  Fs.rmSync(folder, { recursive: true })
  return undefined
}

const refused = <A, R>(run: Effect.Effect<A, unknown, R>) =>
  Effect.map(Effect.flip(run), (error) => error as EnforcementUnavailable)

const wait = (ms: number) => Effect.promise(() => new Promise((resolve) => setTimeout(resolve, ms)))

describe("a full disk", () => {
  const folder = mounted("128k")
  it.skipIf(folder === undefined)(
    "refuses calls, and takes them again in the same process once there is space",
    async () => {
      const home = folder ?? ""
      const path = Path.join(home, "audit")
      const filler = Path.join(home, "filler")
      try {
        await Effect.runPromise(
          withLayer(Audit.layer({ path, named: true }), (audit) =>
            Effect.gen(function* () {
              yield* runCall(audit, chat())
              Fs.writeFileSync(filler, Buffer.alloc(4096))
              try {
                for (;;) Fs.appendFileSync(filler, Buffer.alloc(1024))
              } catch {
                // It is full.
              }
              let refusal: EnforcementUnavailable | undefined
              for (let i = 0; i < 500 && refusal === undefined; i++) {
                const exit = yield* Effect.exit(runCall(audit, chat()))
                if (Exit.isFailure(exit)) refusal = yield* refused(exit)
              }
              assert.strictEqual(refusal?._tag, "EnforcementUnavailable")
              assert.match(refusal?.message ?? "", /ENOSPC.*Make space on its disk/)
              Fs.rmSync(filler)
              // Not at once: it is left alone for a second.
              yield* refused(runCall(audit, chat()))
              yield* wait(1100)
              yield* runCall(audit, chat())
              assert.include(kinds(yield* audit.records), "log.recovered")
            })
          )
        )
        assert.deepInclude(await check({ path }), { ok: true, open: 0, unsigned: 0, torn: 0 })
      } finally {
        ChildProcess.spawnSync("umount", [home])
        Fs.rmSync(home, { recursive: true, force: true })
      }
    }
  )
})

describe("a disk that is nearly full", () => {
  const folder = mounted("1m")
  it.skipIf(folder === undefined)("is told as low while calls go on", async () => {
    const home = folder ?? ""
    try {
      Fs.writeFileSync(Path.join(home, "filler"), Buffer.alloc(1000 * 1024))
      await Effect.runPromise(
        withLayer(Audit.layer({ path: Path.join(home, "audit"), named: true }), (audit) =>
          Effect.gen(function* () {
            yield* runCall(audit, chat())
            let status = yield* audit.status
            for (let i = 0; i < 100 && status.disk === undefined; i++) {
              yield* wait(20)
              status = yield* audit.status
            }
            assert.isUndefined(status.refusal)
            assert.deepInclude(status.disk, { total: 1024 * 1024, low: true })
            assert.isBelow(status.disk?.free ?? Infinity, 24 * 1024 + 1)
            yield* runCall(audit, chat())
          })
        )
      )
    } finally {
      ChildProcess.spawnSync("umount", [home])
      Fs.rmSync(home, { recursive: true, force: true })
    }
  })
})

describe("a call under way when the log fails", () => {
  const failing = (test: (audit: Audit["Service"], disk: FaultyDisk) => Effect.Effect<void, unknown>) => {
    const disk = new FaultyDisk()
    const layer = Audit.layer({ path: "/log", named: true }).pipe(Layer.provide(Layer.succeed(Disk, disk)))
    return Effect.runPromise(withLayer(layer, (audit) => test(audit, disk)))
  }

  it("is refused its answer, ends as unknown, and says nothing to the boot after", () =>
    failing((audit, disk) =>
      Effect.gen(function* () {
        let reply: (value: ReturnType<typeof answer>) => void = () => {}
        const begun = Promise.withResolvers<void>()
        const first = chat()
        const late = chat()
        const running = yield* Effect.forkChild(
          runCall(
            audit,
            first,
            Effect.callback((resume) => {
              reply = (value) => resume(Effect.succeed(value))
              begun.resolve()
            })
          )
        )
        yield* Effect.promise(() => begun.promise)
        disk.failAt(disk.asked.length, "ENOSPC")
        const refusal = yield* refused(runCall(audit, late))
        assert.include(refusal.message, "ENOSPC")
        disk.heal()
        yield* wait(1050)
        yield* runCall(audit, chat())
        reply(answer())
        // Its answer came after the log had gone on: its end is recorded already.
        const error = yield* refused(Fiber.join(running))
        assert.strictEqual(error._tag, "EnforcementUnavailable")
        const records = yield* audit.records
        const of = (call: string) => records.filter((record) => record["call"] === call)
        assert.deepStrictEqual(
          of(first.id).map((record) => [record.kind, record["result"]]),
          [
            ["decision", undefined],
            ["outcome", "unknown"]
          ]
        )
        assert.notInclude(
          of(late.id).map((record) => record["result"]),
          "complete"
        )
      })
    ))
})
