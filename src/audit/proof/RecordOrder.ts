/**
 * Whether records make sense in their order (audit format, "The order, precisely"): a call is decided before it ends and ends
 * once, a stream is closed once, every record belongs to a boot that is open, and a boot that does not close is recovered from.
 * Boots may overlap.
 */
import type { ReadRecord } from "../Record.ts"

/** What does not make sense in a record. */
export interface Inconsistency {
  readonly code: "call_inconsistent" | "boot_inconsistent"
  readonly message: string
}

/** A boot from its `log.open` until it closes or is recovered from. */
interface OpenBoot {
  /** How many open calls it has: those that it decided, and those that it has to end for another boot. */
  calls: number
  /** How many outcomes `unknown` it must write next. */
  due: number
  /** The boot that its next record, a `log.recovered`, must name. */
  unrecovered: string | undefined
}

interface OpenCall {
  readonly decision: number
  readonly kind: "decision" | "passthrough"
  /** The boot that must end it. */
  boot: string
  stream: "none" | "open" | "closed"
  received: number
  digest: string | undefined
}

/** Takes records in order, from the first one on. Kinds that it does not know pass. */
export class RecordOrder {
  readonly #origin: string | undefined
  readonly #calls = new Map<string, OpenCall>()
  /** The open boots, in the order in which they were opened. */
  readonly #boots = new Map<string, OpenBoot>()
  /** Every boot that was ever opened. */
  readonly #known = new Set<string>()

  /** `origin` is the one that the checkpoint names, where there is a checkpoint. */
  constructor(origin: string | undefined) {
    this.#origin = origin
  }

  /** How many calls have no outcome yet. */
  get open(): number {
    return this.#calls.size
  }

  /** Takes the next record; returns what is wrong with it, if anything is. */
  take(record: ReadRecord): Inconsistency | undefined {
    if (record.kind === "log.open") return this.#opened(record)
    if (this.#known.size === 0) return boot("the log does not begin with log.open")
    const own = this.#boots.get(record.boot)
    if (own === undefined) return boot(`the record is of boot ${record.boot}, which is not open`)
    if (own.unrecovered !== undefined) return this.#recoveredAtOpening(record, own, own.unrecovered)
    if (own.due > 0) {
      own.due--
      if (record.kind !== "outcome" || record["result"] !== "unknown")
        return boot("log.recovered is not followed by an outcome “unknown” for each open call")
    } else if (record.kind === "log.recovered") {
      return this.#recovered(record, own)
    } else if (record.kind === "outcome" && record["result"] === "unknown" && !this.#passesThrough(record)) {
      return call("an outcome “unknown” outside of a recovery")
    }
    if (record.kind === "log.close") return this.#closed(record, own)
    return this.#aboutCall(record, own)
  }

  /** True for a record of an open call that passes through: how a WebSocket ends is not known to the process that opened it. */
  #passesThrough({ call: id }: ReadRecord): boolean {
    return typeof id === "string" && this.#calls.get(id)?.kind === "passthrough"
  }

  #opened(record: ReadRecord): Inconsistency | undefined {
    const isFirst = this.#known.size === 0
    const isAgain = this.#known.has(record.boot)
    const others = [...this.#boots.keys()].filter((other) => other !== record.boot)
    const isBeside = record["beside"] !== undefined && record["beside"] !== 0
    const own: OpenBoot = { calls: 0, due: 0, unrecovered: isBeside ? undefined : others.at(-1) }
    // A boot that stands alone takes over from all that are open.
    for (const other of isBeside ? [record.boot] : [...this.#boots.keys()]) this.#handOver(other, record.boot, own)
    this.#known.add(record.boot)
    this.#boots.set(record.boot, own)
    if (isFirst && record.seq !== 0) return boot("log.open is not record 0")
    if (isAgain) return boot("two log.open of one boot")
    if (isBeside && record["beside"] !== others.length) return boot(besideFault(record, others.length))
    return this.#origin === undefined || record["origin"] === this.#origin
      ? undefined
      : boot(`log.open names the origin ${String(record["origin"])}, and the checkpoint ${this.#origin}`)
  }

  /** The record after a `log.open` that found another boot open, and stands alone. */
  #recoveredAtOpening(record: ReadRecord, own: OpenBoot, previous: string): Inconsistency | undefined {
    own.unrecovered = undefined
    if (record.kind !== "log.recovered")
      return boot("the boot before did not close the log, and log.open is not followed by log.recovered")
    own.due = own.calls
    if (record["previous"] !== previous)
      return boot(`log.recovered names the boot ${String(record["previous"])}, and ${previous} was before`)
    return miscounted(record, own.due) ?? this.#besideFaultOf(record)
  }

  /** A boot that runs ends another one, whose process is gone. */
  #recovered(record: ReadRecord, own: OpenBoot): Inconsistency | undefined {
    const { previous } = record
    if (typeof previous !== "string" || previous === record.boot || !this.#boots.has(previous))
      return boot(`log.recovered names the boot ${String(previous)}, and no other boot of that name is open`)
    own.due = this.#handOver(previous, record.boot, own)
    return miscounted(record, own.due) ?? this.#besideFaultOf(record)
  }

  #closed(record: ReadRecord, own: OpenBoot): Inconsistency | undefined {
    this.#boots.delete(record.boot)
    return (
      (own.calls === 0 ? undefined : call(`${own.calls} calls are open at log.close`)) ??
      this.#besideFaultOf(record, this.#boots.size)
    )
  }

  #besideFaultOf(record: ReadRecord, others = this.#boots.size - 1): Inconsistency | undefined {
    return (record["beside"] ?? 0) === others ? undefined : boot(besideFault(record, others))
  }

  /** Ends a boot: the calls that it leaves are another one's. Returns how many they are. */
  #handOver(from: string, to: string, heir: OpenBoot): number {
    const left = this.#boots.get(from)?.calls ?? 0
    this.#boots.delete(from)
    if (left > 0) for (const open of this.#calls.values()) if (open.boot === from) open.boot = to
    heir.calls += left
    return left
  }

  #aboutCall(record: ReadRecord, own: OpenBoot): Inconsistency | undefined {
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
    const open = this.#calls.get(id)
    if (record.kind === "refused") return open === undefined ? undefined : call(`the call ${id} was decided before`)
    if (record.kind === "decision" || record.kind === "passthrough") {
      if (open !== undefined) return call(`the call ${id} is decided twice`)
      const { boot, kind, seq } = record
      this.#calls.set(id, { decision: seq, kind, boot, stream: "none", received: 0, digest: undefined })
      own.calls++
      return undefined
    }
    if (open === undefined) return call(`${record.kind} of the call ${id}, which is not open`)
    if (open.boot !== record.boot) return call(`${record.kind} of the call ${id}, which is the call of another boot`)
    const fault = ofOpenCall(record, open)
    if (record.kind === "outcome") {
      this.#calls.delete(id)
      own.calls--
    }
    return fault === undefined ? undefined : call(`${record.kind} of the call ${id}: ${fault}`)
  }
}

const miscounted = (record: ReadRecord, open: number): Inconsistency | undefined =>
  record["open"] === open
    ? undefined
    : boot(`log.recovered counts ${String(record["open"])} open calls, and ${open} are open`)

const besideFault = (record: ReadRecord, others: number): string =>
  `${record.kind} counts ${String(record["beside"] ?? 0)} other open boots, and there are ${others}`

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

const call = (message: string): Inconsistency => ({ code: "call_inconsistent", message })

const boot = (message: string): Inconsistency => ({ code: "boot_inconsistent", message })
