/**
 * Power cuts at every moment of a run: of what was not synced any part may be lost or torn. Whatever is left must open, hold
 * what was acknowledged, and go on.
 */
import { FaultyDisk } from "./FaultyDisk.ts"
import { type Acknowledged, assertWhole, begin, chanceOf, makeCall, pause, reopen, script } from "./faults.ts"

interface Cut {
  readonly disk: FaultyDisk
  readonly acknowledged: ReadonlyArray<Acknowledged>
  readonly what: string
}

/**
 * Runs a log and cuts the power `states` times: once before each operation, then again from the start with other chances. Every
 * third run has a fault that goes away, every second goes on from a cut one. Gives what went wrong.
 */
export const powerCuts = async (
  states: number,
  seed: number
): Promise<{ readonly wrong: ReadonlyArray<string>; readonly states: number }> => {
  const wrong: Array<string> = []
  let done = 0
  for (let run = 0; done < states; run++) {
    const chance = chanceOf(seed + run)
    const acknowledged: Array<Acknowledged> = []
    const cuts: Array<Cut> = []
    let disk = new FaultyDisk()
    const watch = (watched: FaultyDisk): void => {
      watched.before = (operation) =>
        void cuts.push({
          disk: watched.cut(chance),
          acknowledged: [...acknowledged],
          what: `seed ${seed + run}, before operation ${operation} (${watched.asked.at(-1)})`
        })
    }
    if (run % 2 === 1) {
      const log = begin(disk)
      await script(log, acknowledged, 2)
      disk = disk.cut(chance)
      await log.close()
      disk.remove("/log/lock")
    }
    watch(disk)
    if (run % 3 === 2) disk.failAt(40 + Math.floor(chance.next() * 40), chance.next() < 0.5 ? "EIO" : "ENOSPC")
    try {
      const log = begin(disk)
      await script(log, acknowledged)
      disk.heal()
      await pause()
      await makeCall(log, acknowledged)
      await log.close()
    } catch (error) {
      if (!disk.struck) throw error
    }
    disk.before = () => {}
    for (const cut of cuts)
      try {
        done++
        await reopen(cut.disk)
        assertWhole(cut.disk, cut.acknowledged)
      } catch (error) {
        wrong.push(`${cut.what}: ${error instanceof Error ? error.message : String(error)}`)
      }
  }
  return { wrong, states: done }
}
