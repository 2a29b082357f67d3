/** The stores of this package keep what a store of the log promises. */
import { systemClock } from "../../src/audit/Clock.ts"
import { open } from "../../src/audit/folder/FolderLog.ts"
import { openMemoryLog } from "../../src/audit/MemoryLog.ts"
import * as Effect from "effect/Effect"
import { conformance } from "./conformance.ts"
import { FaultyDisk } from "./FaultyDisk.ts"

conformance("a folder", () => {
  const disk = new FaultyDisk()
  return {
    open: (options) =>
      Effect.runPromise(
        open({ ...options, path: "/log", named: true, disk, retryDelay: 1, checkpointDelay: 5, segmentSize: 4000 })
      ),
    fail: () => disk.failAt(disk.asked.length, "EIO"),
    heal: () => disk.heal(),
    crash: () => disk.remove("/log/lock")
  }
})

conformance("memory", () => ({
  open: (options) => Effect.runPromise(openMemoryLog({ ...options, clock: systemClock }))
}))
