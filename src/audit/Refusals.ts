/**
 * Refusals of callers of whom nothing is known: no signature of their token was verified. Anybody can cause these, as fast as
 * the network brings them, so they are counted, and one record (`refused.many`) tells of all that came within a moment. Nobody
 * waits for it. What is kept meanwhile, and what is written, is bounded whatever the tokens say.
 */
import { now as present } from "../base/EventLoop.ts"
import type { Body, Kinds, RecordClaimed } from "./Record.ts"

/** A refusal to count: why, and what the token says of itself, which no verified signature covers. */
export interface Unverified {
  /** The reason, of a closed list: an `IdentityReason`, an `UnavailableReason`, or the code of a refusal. */
  readonly code: string
  readonly issuer?: string | undefined
  readonly kid?: string | undefined
}

/** How long a refusal may wait for others, in ms: with its write and its sync it is on the disk within a second. */
const window = 900

/** How many different pairs of issuer and key id a record shows. */
const maximumSamples = 5

/** How long an issuer or a key id of a record may be, in bytes of JSON. */
const longestClaim = 100

type Many = { -readonly [K in keyof Kinds["refused.many"]]: Kinds["refused.many"][K] }

/** Counts refusals, and writes what it counted soon after the first. */
export class Refusals {
  readonly #append: (body: Body) => boolean
  readonly #now: () => number
  #pending: (Omit<Many, "codes"> & { readonly codes: Map<string, number> }) | undefined
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  /** `append` takes a record in, or gives false where the log takes none now: it is offered again, with what came since. */
  constructor(append: (body: Body) => boolean, now: () => number = present) {
    this.#append = append
    this.#now = now
  }

  /** Counts a refusal. */
  add({ code, issuer, kid }: Unverified): void {
    if (this.#isOver) return
    const at = this.#now()
    const many = (this.#pending ??= { from: at, to: at, count: 0, codes: new Map(), samples: [] })
    many.from = Math.min(many.from, at)
    many.to = Math.max(many.to, at)
    many.count++
    many.codes.set(code, (many.codes.get(code) ?? 0) + 1)
    if (many.samples.length < maximumSamples) many.samples = sampled(many.samples, issuer, kid)
    this.#timer ??= setTimeout(() => this.write(), window).unref()
  }

  /** Has what was counted so far taken in, where anything was. */
  write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#pending === undefined) return
    const { codes, ...many } = this.#pending
    const counts = [...codes].map(([code, count]) => ({ code, count }))
    if (this.#append({ kind: "refused.many", ...many, codes: counts })) this.#pending = undefined
    else if (!this.#isOver) this.#timer = setTimeout(() => this.write(), window).unref()
  }

  /** Writes what was counted, and counts no more. */
  end(): void {
    this.#isOver = true
    this.write()
  }
}

/** The samples with one more, unless it is there, or says nothing. */
const sampled = (
  samples: ReadonlyArray<RecordClaimed>,
  issuer: string | undefined,
  kid: string | undefined
): ReadonlyArray<RecordClaimed> => {
  if (issuer === undefined && kid === undefined) return samples
  const sample: RecordClaimed = { iss: issuer && shortened(issuer), kid: kid && shortened(kid) }
  return samples.some(({ iss, kid }) => iss === sample.iss && kid === sample.kid) ? samples : [...samples, sample]
}

/** The beginning of a text, of at most {@link longestClaim} bytes once it is JSON. */
const shortened = (text: string): string => {
  let bytes = 0
  let taken = ""
  for (const character of text) {
    bytes += Buffer.byteLength(JSON.stringify(character)) - 2
    if (bytes > longestClaim) return `${taken}…`
    taken += character
  }
  return taken
}
