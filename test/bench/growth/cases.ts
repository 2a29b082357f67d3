/** All cases of the benchmark of growth. */
import { answers } from "./answers.ts"
import type { Case } from "./Case.ts"
import { requests } from "./requests.ts"

export const cases: ReadonlyArray<Case<never>> = [
  ...requests,
  ...answers.map((one) => ({ ...one, from: 1000, isCall: false }) as unknown as Case<never>)
]
