/**
 * What open logs do when the process exits: one listener serves them all, and is there only while a log is open.
 */
import process from "node:process"

const exits = new Set<() => void>()

const exitAll = (): void => {
  for (const exit of exits) exit()
}

/** Has `exit` called when the process exits. It must be synchronous. */
export const addExit = (exit: () => void): void => {
  if (exits.size === 0) process.on("exit", exitAll)
  exits.add(exit)
}

/** Takes back what {@link addExit} did. */
export const removeExit = (exit: () => void): void => {
  exits.delete(exit)
  if (exits.size === 0) process.off("exit", exitAll)
}
