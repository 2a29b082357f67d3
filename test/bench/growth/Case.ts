/** A case of the benchmark of growth: what is measured, on an input that doubles. */
import type { OpenAI } from "openai"

/**
 * - `make`: the input of size `n`; what it costs is not counted.
 * - `run`: what is measured. A case with `isCall` is run by the bare SDK too, beside a secure client; any other needs no client.
 * - `from`: the smallest `n`; it is doubled five times.
 */
export interface Case<Input = never> {
  readonly name: string
  readonly from: number
  readonly isCall: boolean
  readonly make: (n: number) => Input
  readonly run: (input: Input, client: OpenAI) => unknown
}
