/**
 * Whether records make sense in their order (audit format §7, check 5): a call is decided before it ends and ends once, a
 * stream is closed once, a process that did not close its log is recovered from by the next one.
 */
import type { ReadRecord } from "../Record.ts"

/** What does not make sense in a record. */
export interface Senseless {
  readonly code: "call_inconsistent" | "boot_inconsistent"
  readonly message: string
}

interface OpenCall {
  readonly decision: number
  readonly kind: "decision" | "passthrough"
  stream: "none" | "open" | "closed"
  received: number
  digest: string | undefined
}

/** Takes records in order, from the first one on. Kinds that it does not know pass. */
export class Sequence {
  readonly #origin: string | undefined
  readonly #open = new Map<string, OpenCall>()
  #boot: string | undefined
  #previous: string | undefined
  #state: "closed" | "unrecovered" | "running" = "closed"
  /** How many outcomes `unknown` must follow at once. */
  #recovering = 0

  /** `origin` is the one that the checkpoint names, where there is a checkpoint. */
  constructor(origin: string | undefined) {
    this.#origin = origin
  }

  /** How many calls have no outcome yet. */
  get open(): number {
    return this.#open.size
  }

  /** Takes the next record; says what is wrong with it, if anything is. */
  take(record: ReadRecord): Senseless | undefined {
    if (record.kind === "log.open") return this.#opened(record)
    if (this.#boot === undefined) return boot("the log does not begin with log.open")
    if (record.boot !== this.#boot)
      return boot(`the record is of boot ${record.boot}, and boot ${this.#boot} has the log open`)
    if (this.#state === "closed") return boot("a record follows log.close, and is not log.open")
    if (this.#state === "unrecovered") return this.#recovered(record)
    if (record.kind === "log.recovered") return boot("log.recovered does not follow the log.open after a crash")
    if (this.#recovering > 0) {
      this.#recovering--
      if (record.kind !== "outcome" || record["result"] !== "unknown")
        return boot("log.recovered is not followed by an outcome “unknown” for each open call")
    } else if (record.kind === "outcome" && record["result"] === "unknown") {
      return call("an outcome “unknown” outside of a recovery")
    }
    if (record.kind === "log.close") {
      this.#state = "closed"
      return this.#open.size === 0 ? undefined : call(`${this.#open.size} calls are open at log.close`)
    }
    return this.#aboutCall(record)
  }

  #opened(record: ReadRecord): Senseless | undefined {
    const first = this.#boot === undefined
    const again = record.boot === this.#boot
    this.#previous = this.#boot
    this.#boot = record.boot
    this.#state = first || this.#state === "closed" ? "running" : "unrecovered"
    this.#recovering = 0
    if (first && record.seq !== 0) return boot("log.open is not record 0")
    if (again) return boot("two log.open of one boot")
    return this.#origin === undefined || record["origin"] === this.#origin
      ? undefined
      : boot(`log.open names the origin ${String(record["origin"])}, and the checkpoint ${this.#origin}`)
  }

  #recovered(record: ReadRecord): Senseless | undefined {
    this.#state = "running"
    if (record.kind !== "log.recovered")
      return boot("the boot before did not close the log, and log.open is not followed by log.recovered")
    this.#recovering = this.#open.size
    if (record["previous"] !== this.#previous)
      return boot(`log.recovered names the boot ${String(record["previous"])}, and ${this.#previous} was before`)
    return record["open"] === this.#open.size
      ? undefined
      : boot(`log.recovered counts ${String(record["open"])} open calls, and ${this.#open.size} are open`)
  }

  #aboutCall(record: ReadRecord): Senseless | undefined {
    switch (record.kind) {
      case "decision":
      case "passthrough":
      case "refused":
      case "stream.open":
      case "stream.segment":
      case "stream.close":
      case "tool_call":
      case "outcome":
        break
      default:
        return undefined
    }
    const id = record["call"]
    if (typeof id !== "string") return call(`${record.kind} names no call`)
    const open = this.#open.get(id)
    if (record.kind === "refused") return open === undefined ? undefined : call(`the call ${id} was decided before`)
    if (record.kind === "decision" || record.kind === "passthrough") {
      if (open !== undefined) return call(`the call ${id} is decided twice`)
      this.#open.set(id, { decision: record.seq, kind: record.kind, stream: "none", received: 0, digest: undefined })
      return undefined
    }
    if (open === undefined) return call(`${record.kind} of the call ${id}, which is not open`)
    const fault = ofOpenCall(record, open)
    if (record.kind === "outcome") this.#open.delete(id)
    return fault === undefined ? undefined : call(`${record.kind} of the call ${id}: ${fault}`)
  }
}

const ofOpenCall = (record: ReadRecord, open: OpenCall): string | undefined => {
  switch (record.kind) {
    case "stream.open":
      if (open.stream !== "none") return "it has a stream already"
      open.stream = "open"
      if (open.kind !== "decision") return "it passes through, and has no stream"
      return wrongDecision(record, open)
    case "stream.segment": {
      if (open.stream !== "open") return "its stream is not open"
      const { count, digest, from } = record
      if (from !== open.received) return `it begins with chunk ${String(from)}, and ${open.received} were received`
      if (typeof count !== "number" || count < 1 || typeof digest !== "string") return "count or digest is wrong"
      open.received += count
      open.digest = digest
      return undefined
    }
    case "stream.close": {
      if (open.stream !== "open") return "its stream is not open"
      open.stream = "closed"
      const { chunks, digest, received } = record
      if (received !== open.received) return `it counts ${String(received)} chunks, and the segments ${open.received}`
      if (typeof chunks !== "number" || chunks < 0 || chunks > open.received) return "more was handed on than received"
      return open.digest === undefined || digest === open.digest ? undefined : "its digest is not the last segment's"
    }
    case "outcome":
      if (open.stream === "open" && record["result"] !== "unknown") return "its stream is not closed"
      return wrongDecision(record, open)
    default:
      return undefined
  }
}

const wrongDecision = (record: ReadRecord, open: OpenCall): string | undefined =>
  record["decision"] === open.decision
    ? undefined
    : `it names record ${String(record["decision"])}, and the call was opened by record ${open.decision}`

const call = (message: string): Senseless => ({ code: "call_inconsistent", message })

const boot = (message: string): Senseless => ({ code: "boot_inconsistent", message })
