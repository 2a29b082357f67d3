/**
 * How much a test tries. `npm test` takes a part of what the deep tests take: `vitest.deep.config.ts` runs the files that ask
 * here too, whole.
 */
const inDepth = process.env["DEPTH"] === "whole"

/** The first in each run of `npm test`, the second in the deep tests. */
export const depth = (often: number, deep: number): number => (inDepth ? deep : often)

/** One of so many of these, or all of them in the deep tests. */
export function* oneIn<A>(step: number, all: Iterable<A>): Generator<A> {
  let index = 0
  for (const one of all) if (index++ % depth(step, 1) === 0) yield one
}
