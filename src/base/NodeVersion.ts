/**
 * Refuses a Node that is too old, as the first thing that an import of this package does: otherwise the first call would fail
 * with the name of a function that the old one does not have. Bun and Deno say by themselves what they can do.
 */
import process from "node:process"

/** The oldest Node, as in package.json's `engines`. */
export const oldestNode = "22.19.0"

const numbersOf = (version: string): ReadonlyArray<number> => version.split(".").map(Number)

const isOlder = ([major = 0, minor = 0]: ReadonlyArray<number>, [least = 0, leastMinor = 0]: ReadonlyArray<number>) =>
  major < least || (major === least && minor < leastMinor)

const { bun, deno, node } = process.versions
if (bun === undefined && deno === undefined && isOlder(numbersOf(node), numbersOf(oldestNode)))
  throw new Error(
    `secure-openai needs Node ${oldestNode} or later, and this is Node ${node}. Update Node (https://nodejs.org), or choose another with your version manager.`
  )
