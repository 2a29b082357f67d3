/**
 * The body of a message that `node:http` received, read by read and only as fast as it is read, its content codings undone
 * (RFC 9110 §8.4). It ends once, or fails as `fetch` says it.
 *
 * @since 0.2.0
 */
import type * as Http from "node:http"
import { pipeline, type Readable, Transform } from "node:stream"
import * as Zlib from "node:zlib"
import type { Reads } from "../../invocation/Sse.ts"

/** See the file's first paragraph. Nothing is asked of the network before the first {@link Body.next}. */
export class Body implements Reads {
  readonly #message: Http.IncomingMessage
  readonly #source: Readable
  #begun = false
  #fault: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined

  constructor(message: Http.IncomingMessage) {
    this.#message = message
    this.#source = decoded(message, (cause) => this.#terminate(cause))
    let broken: unknown
    message.on("error", (error) => (broken = error))
    message.once("close", () => {
      if (!message.complete) this.#terminate(broken)
    })
  }

  /** What has come in since the last read; undefined at the end. Rejects with what the body failed with. */
  async next(): Promise<Buffer | undefined> {
    if (!this.#begun) {
      this.#begun = true
      for (const event of ["readable", "end", "close"]) this.#source.on(event, () => this.#wakeUp())
    }
    for (;;) {
      if (this.#fault !== undefined) throw this.#fault.error
      const data = this.#source.read() as Buffer | null
      if (data !== null) return data
      if (this.#source.readableEnded) return undefined
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** Nobody will read on: a connection that holds nothing more is kept, any other closed. */
  cancel(): void {
    this.#fault ??= { error: new TypeError("terminated") }
    if (this.#message.complete) this.#message.resume()
    else this.#message.destroy()
    this.#wakeUp()
  }

  /** Ends it from outside: what was not read yet is lost. */
  fail(error: unknown): void {
    this.#fault ??= { error }
    this.#wakeUp()
  }

  /** There is none, whatever comes. */
  discard(): void {
    this.#message.resume()
  }

  #terminate(cause: unknown): void {
    this.fail(new TypeError("terminated", { cause: asFetch(cause) }))
  }

  #wakeUp(): void {
    this.#wake?.()
    this.#wake = undefined
  }
}

/** An error of `node:http` as the cause that `fetch` gives: it says by another one that the server closed the connection. */
export const asFetch = (error: unknown): unknown =>
  error === undefined ||
  (error instanceof Error && "code" in error && error.code === "ECONNRESET" && hungUp.has(error.message))
    ? Object.assign(new Error("other side closed"), { name: "SocketError", code: "UND_ERR_SOCKET" })
    : error

const hungUp: ReadonlySet<string> = new Set(["socket hang up", "aborted"])

/** As lenient as `fetch`: what was decoded counts, where the end is missing. */
const lenient = { flush: Zlib.constants.Z_SYNC_FLUSH, finishFlush: Zlib.constants.Z_SYNC_FLUSH }
const lenientBrotli = {
  flush: Zlib.constants.BROTLI_OPERATION_FLUSH,
  finishFlush: Zlib.constants.BROTLI_OPERATION_FLUSH
}

/** Servers say `deflate` of the zlib format (RFC 1950), as they should, and of bare deflate (RFC 1951). */
const createEitherInflate = (): Transform => {
  let inflate: Zlib.Inflate | Zlib.InflateRaw | undefined
  return new Transform({
    transform(bytes: Buffer, encoding, done) {
      if (inflate === undefined) {
        inflate = ((bytes[0] ?? 0) & 0x0f) === 0x08 ? Zlib.createInflate(lenient) : Zlib.createInflateRaw(lenient)
        inflate.on("data", (data) => this.push(data))
        inflate.on("error", (error) => this.destroy(error))
      }
      inflate.write(bytes, encoding, done)
    },
    flush(done) {
      if (inflate === undefined) return done()
      inflate.once("end", () => done())
      inflate.end()
    }
  })
}

const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: () => Zlib.createGunzip(lenient),
  "x-gzip": () => Zlib.createGunzip(lenient),
  deflate: createEitherInflate,
  br: () => Zlib.createBrotliDecompress(lenientBrotli)
}

/** The message with its codings undone, the last one first; where one of them is unknown, as it came. */
const decoded = (message: Http.IncomingMessage, failed: (cause: unknown) => void): Readable => {
  const codings = codingsOf(message.rawHeaders)
  if (codings === undefined) return message
  const makers = codings.split(",").map((coding) => decoders[coding.trim().toLowerCase()])
  const undo = makers.reverse().flatMap((make) => (make === undefined ? [] : [make()]))
  const last = undo.at(-1)
  if (undo.length < makers.length || last === undefined) return message
  pipeline([message, ...undo], (error) => {
    if (error !== null && error !== undefined) failed(error)
  })
  return last
}

/** The content codings, as named; `message.headers` would look at every field to find the one. */
const codingsOf = (raw: ReadonlyArray<string>): string | undefined => {
  const found: Array<string> = []
  for (let i = 0; i + 1 < raw.length; i += 2)
    if (raw[i]!.length === 16 && raw[i]!.toLowerCase() === "content-encoding") found.push(raw[i + 1]!)
  return found.length === 0 ? undefined : found.join(",")
}
