/**
 * Reads the log in a folder from the outside, also while it is written: whole lines in order, a batch at a time, over all segments.
 */
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { errorCode, NotPlain, openPlain, orMissing, readPlain } from "../../base/Files.ts"
import type { Batch, LogReader } from "../Log.ts"
import { maximumLine } from "../RecordLine.ts"
import { decodeLine, linesOf, maximumSegment, maximumText, type Segment, segmentsOf } from "./Segment.ts"

/** How much is read at once, in bytes; of a small file as much as there is, for memory is taken for a whole block. */
const blockSize = { least: 64 * 1024, most: 1024 * 1024 }

/** The segments of the log in `path`, in order; none where there is no journal. Throws what the file system throws. */
export const listSegments = async (path: string): Promise<ReadonlyArray<Segment>> => {
  try {
    return segmentsOf(await Fs.promises.readdir(Path.join(path, "journal")))
  } catch (error) {
    if (errorCode(error) === "ENOENT") return []
    throw error
  }
}

/** A reader of the log in the folder `path`. Where it goes on from the end of what it read last, it reads no line again. */
export const folderReader = (path: string): LogReader => {
  let reached: Reached = { name: "", index: -1, offset: 0 }
  const textOf = async (name: string): Promise<Result.Result<string, string> | undefined> => {
    try {
      const bytes = orMissing(() => readPlain(Path.join(path, name), maximumText))
      if (bytes === undefined) return undefined
      const text = decodeLine(bytes)
      return text === undefined ? Result.fail("it is not UTF-8") : Result.succeed(text)
    } catch (error) {
      if (error instanceof NotPlain) return Result.fail(`it ${error.clause}`)
      throw error
    }
  }
  return {
    path,
    isThere: async () => ["vkey", "checkpoint", "journal"].some((name) => Fs.existsSync(Path.join(path, name))),
    checkpoint: () => textOf("checkpoint"),
    keys: () => textOf("vkey"),
    leaves: async () => {
      try {
        return readPlain(Path.join(path, "leaves"))
      } catch {
        return Buffer.alloc(0)
      }
    },
    starts: async () => (await listSegments(path)).map(({ first }) => first),
    records: async function* (from = 0, signal) {
      const segments = await listSegments(path)
      const start = Math.max(
        0,
        segments.findLastIndex(({ first }) => first <= from)
      )
      for (const [i, segment] of segments.slice(start).entries()) {
        const goesOn = i === 0 && reached.index === from && reached.name === segment.name
        const at = goesOn ? { ...reached } : { name: segment.name, index: segment.first, offset: 0 }
        const isLast = start + i === segments.length - 1
        for await (const batch of readSegment(path, at, isLast)) {
          if (signal?.aborted === true) return
          yield batch
        }
        reached = at
      }
    }
  }
}

/** A place in the journal: the line `index` begins at byte `offset` of a segment. */
interface Reached {
  readonly name: string
  index: number
  offset: number
}

/** Reads a segment on from `at`, which moves on with each batch. */
async function* readSegment(path: string, at: Reached, last: boolean): AsyncGenerator<Batch> {
  const file = Path.join(path, "journal", at.name)
  const { fd, stats } = openPlain(file, Fs.constants.O_RDONLY, maximumSegment)
  const highWaterMark = Math.min(Math.max(stats.size - at.offset, blockSize.least), blockSize.most)
  let begins = at.offset === 0 ? at.name : undefined
  let rest: Buffer = Buffer.alloc(0)
  let dropped = 0
  for await (const block of Fs.createReadStream(file, { fd, highWaterMark, start: at.offset })) {
    const bytes: Buffer = rest.length === 0 ? block : Buffer.concat([rest, block])
    const lines: Array<Buffer> = []
    let next = 0
    for (const found of linesOf(bytes)) {
      lines.push(found.line)
      next = found.next
    }
    at.offset += next + (next > 0 ? dropped : 0)
    if (next > 0) dropped = 0
    // A line of any length takes no more memory than one that may be.
    rest = bytes.subarray(next, next + maximumLine + 1)
    dropped += bytes.length - next - rest.length
    const first = at.index
    at.index += lines.length
    yield { first, begins, lines, torn: 0, last }
    begins = undefined
  }
  yield { first: at.index, begins, lines: [], torn: rest.length + dropped, last }
}
