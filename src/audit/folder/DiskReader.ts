/**
 * Reads the log in a folder through the file system that it is written to, a segment at a time: for the process that has it open.
 */
import * as Result from "effect/Result"
import * as Path from "node:path"
import type { LogReader } from "../Log.ts"
import type { FileSystem } from "./Disk.ts"
import { decodeLine, linesOf, maximumSegment, maximumText, segmentsOf } from "./Segment.ts"

/** A reader of the log in `path` on `disk`. */
export const diskReader = (disk: FileSystem, path: string): LogReader => {
  const textOf = async (name: string): Promise<Result.Result<string, string> | undefined> => {
    const bytes = disk.read(Path.join(path, name), maximumText)
    if (bytes === undefined) return undefined
    const text = decodeLine(bytes)
    return text === undefined ? Result.fail("it is not UTF-8") : Result.succeed(text)
  }
  return {
    path,
    isThere: async () => disk.list(path).some((name) => name === "vkey" || name === "checkpoint" || name === "journal"),
    checkpoint: () => textOf("checkpoint"),
    keys: () => textOf("vkey"),
    leaves: async () => disk.read(Path.join(path, "leaves")) ?? Buffer.alloc(0),
    starts: async () => segmentsOf(disk.list(Path.join(path, "journal"))).map(({ first }) => first),
    records: async function* (from = 0, signal) {
      const segments = segmentsOf(disk.list(Path.join(path, "journal")))
      const start = Math.max(
        0,
        segments.findLastIndex(({ first }) => first <= from)
      )
      for (const { first, name } of segments.slice(start)) {
        if (signal?.aborted === true) return
        const bytes = disk.read(Path.join(path, "journal", name), maximumSegment) ?? Buffer.alloc(0)
        const lines: Array<Buffer> = []
        let whole = 0
        for (const { line, next } of linesOf(bytes)) {
          lines.push(line)
          whole = next
        }
        yield { first, lines, begins: name, torn: bytes.length - whole, last: name === segments.at(-1)?.name }
      }
    }
  }
}
