/**
 * The content codings of a response (RFC 9110 §8.4): which there are, and what undoes them, as Node's `fetch` does.
 */
import { Transform } from "node:stream"
import * as Zlib from "node:zlib"

/** How many codings a response may have; Node's `fetch` refuses more. */
export const maximumCodings = 5

/**
 * The codings in the values of `Content-Encoding` fields, in the order in which they were applied, in lower case. Left out is
 * what stands for no coding: an empty list element (RFC 9110 §5.6.1), `identity` (§18.6), and `none`, which is not registered
 * but sent by servers that want no proxy to compress.
 */
export const codingsIn = (values: ReadonlyArray<string>): ReadonlyArray<string> =>
  values.flatMap((value) => value.split(",").map((coding) => coding.trim().toLowerCase())).filter(isCoding)

const isCoding = (name: string): boolean => name !== "" && name !== "identity" && name !== "none"

/** The first coding that nothing here undoes. */
export const unknownCoding = (codings: ReadonlyArray<string>): string | undefined =>
  codings.find((coding) => !decoders.has(coding))

/** Why a body cannot be read whose coding is unknown: an error as `fetch` has them. */
export const unreadable = (coding: string): TypeError =>
  new TypeError(
    `The response has the content coding ${JSON.stringify(coding.slice(0, 60))}, which cannot be undone. Have the server send ${[...decoders.keys()].join(", ")} or none.`
  )

/** What undoes the codings, the last one first; all of them must be known. */
export const decodersOf = (codings: ReadonlyArray<string>): ReadonlyArray<Transform> =>
  codings.flatMap((coding) => decoders.get(coding)?.() ?? []).reverse()

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

const decoders: ReadonlyMap<string, () => Transform> = new Map([
  ["gzip", () => Zlib.createGunzip(lenient)],
  ["x-gzip", () => Zlib.createGunzip(lenient)],
  ["deflate", createEitherInflate],
  ["br", () => Zlib.createBrotliDecompress(lenientBrotli)],
  // Of Node 22, `fetch` does not undo it; a proxy may send it unasked all the same.
  ["zstd", () => Zlib.createZstdDecompress()]
])
