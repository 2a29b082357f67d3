/**
 * What somebody can do to a log: with its folder alone, and with the key that signs it. Each case is a log with a change.
 */
import { parseNote, signCheckpoint } from "../../src/audit/proof/Checkpoint.ts"
import { leafHash, rootOf } from "../../src/audit/proof/MerkleTree.ts"
import { canonicalize } from "../../src/base/CanonicalJson.ts"
import { generate } from "../../src/keys/Keys.ts"
import {
  changed,
  type Files,
  forgedRotation,
  linesOf,
  type Log,
  originOf,
  recordsOf,
  renumbered,
  segments,
  signatureLine,
  signed,
  signedByAll,
  stillOpen,
  sizeOf,
  textOf,
  vkeyOf,
  withLines
} from "./Logs.ts"

/** A log that was changed, and what it is verified against. */
export interface Case {
  readonly name: string
  readonly files: Files
  readonly key?: string | undefined
  readonly since?: string | Buffer | undefined
  /** `bad`: it must be found. `good`: it must hold. `either`: whoever holds the key may say so, and the verifiers agree. */
  readonly expect: "bad" | "good" | "either"
}

type Fields = Record<string, unknown>

const other = (value: unknown): ReadonlyArray<unknown> => {
  switch (typeof value) {
    case "string":
      return [`${value}x`, "", 7]
    case "number":
      return [value + 1, -1, String(value), 0]
    case "boolean":
      return [!value, "true"]
    default:
      return [{}, ["x"], "x", 1]
  }
}

const replaced = <A>(list: ReadonlyArray<A>, i: number, ...by: ReadonlyArray<A>): ReadonlyArray<A> => [
  ...list.slice(0, i),
  ...by,
  ...list.slice(i + 1)
]

const without = (fields: Fields, name: string): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([key]) => key !== name))

/** The places of the first record of each kind. */
const kinds = (records: ReadonlyArray<Fields>): ReadonlyArray<number> => [
  ...new Map(records.map(({ kind }, i) => [kind, i] as const).toReversed()).values()
]

/** Each field of a record of each kind, changed, added or left out: as one can who has the folder, and with the key. */
export function* fields(name: string, log: Log): Generator<Case> {
  const records = recordsOf(log.files)
  const lines = linesOf(log.files)
  const size = sizeOf(log.files)
  for (const i of kinds(records)) {
    const record = records[i] ?? {}
    const edits = [
      ...Object.keys(record).flatMap((field) => [
        [`${field} left out`, without(record, field)] as const,
        ...other(record[field]).map(
          (value) => [`${field} is ${JSON.stringify(value)}`, { ...record, [field]: value }] as const
        )
      ]),
      ["a field more", { ...record, zzz: "x" }] as const
    ]
    for (const [n, [edit, to]] of edits.entries()) {
      const where = `${name}, ${String(record["kind"])} ${i}: ${edit}`
      const line = canonicalize(to)
      if (line === lines[i]) continue
      const files = withLines(log.files, replaced(lines, i, line))
      yield {
        name: where,
        // With and without the hashes that tell which record it was.
        files: n % 2 === 0 ? files : changed(files, { leaves: undefined }),
        expect: i < size ? "bad" : "either"
      }
      yield { name: `${where}, signed`, files: signed(log, replaced(lines, i, line)), expect: "either" }
    }
  }
}

/** Records left out, doubled, swapped and moved: as they are, and numbered anew and signed. */
export function* order(name: string, log: Log): Generator<Case> {
  const lines = linesOf(log.files)
  const records = recordsOf(log.files)
  const size = sizeOf(log.files)
  for (let i = 0; i < records.length; i += i < 6 ? 1 : 2) {
    const one = lines[i] ?? ""
    const record = records[i] ?? {}
    const moved = <A>(list: ReadonlyArray<A>): ReadonlyArray<A> => [...list.slice(i + 1), ...list.slice(0, i + 1)]
    const ways: ReadonlyArray<readonly [string, ReadonlyArray<string>, ReadonlyArray<Fields>]> = [
      ["left out", replaced(lines, i), replaced(records, i)],
      ["doubled", replaced(lines, i, one, one), replaced(records, i, record, record)],
      [
        "swapped",
        replaced(replaced(lines, i, lines[i + 1] ?? one), i + 1, one),
        replaced(replaced(records, i, records[i + 1] ?? record), i + 1, record)
      ],
      ["first", moved(lines), moved(records)],
      ["last", lines.slice(0, i), records.slice(0, i)]
    ]
    for (const [way, raw, again] of ways) {
      if (raw.join() === lines.join()) continue
      const where = `${name}, record ${i} ${way}`
      yield { name: where, files: withLines(log.files, raw), expect: i < size - 1 ? "bad" : "either" }
      if (again.length > 0) yield { name: `${where}, signed`, files: signed(log, renumbered(again)), expect: "either" }
    }
  }
}

/** Bytes cut off and added at every kind of place. */
export function* cuts(name: string, log: Log): Generator<Case> {
  const names = segments(log.files)
  const size = sizeOf(log.files)
  for (const segment of names) {
    const bytes = log.files.get(segment) ?? Buffer.alloc(0)
    const ends = [...bytes.keys()].filter((i) => bytes[i] === 0x0a)
    const middle = ends[Math.floor(ends.length / 2)] ?? 0
    const accent = bytes.indexOf(0xc3)
    const places = new Set([
      0,
      1,
      middle,
      middle + 1,
      middle + 2,
      middle + 40,
      bytes.length - 1,
      bytes.length - 2,
      ...(accent < 0 ? [] : [accent + 1])
    ])
    for (const place of places)
      yield {
        name: `${name}, ${segment} cut at ${place}`,
        files: changed(log.files, { [segment]: bytes.subarray(0, place) }),
        expect: "either"
      }
    const last = segment === names.at(-1)
    const whole = linesOf(log.files).length >= size && bytes.at(-1) === 0x0a
    for (const [what, more] of [
      ["half a line", '{"half'],
      ["bytes that are no UTF-8", Buffer.from([0xff, 0xfe])],
      ["an empty line", "\n"],
      ["half a line as long as many", "x".repeat(200_000)],
      ["zeros", Buffer.alloc(512)]
    ] as const)
      yield {
        name: `${name}, ${segment} with ${what} more`,
        files: changed(log.files, { [segment]: Buffer.concat([bytes, Buffer.from(more)]) }),
        expect: last && whole && more !== "\n" ? "good" : last && more !== "\n" ? "either" : "bad"
      }
  }
}

/** Segments left out, renamed, joined and added. */
export function* folders(name: string, log: Log): Generator<Case> {
  const { files } = log
  const names = segments(files)
  const size = sizeOf(files)
  const named = (n: number | bigint): string => `journal/${String(n).padStart(20, "0")}.jsonl`
  for (const [i, segment] of names.entries()) {
    const bytes = files.get(segment)
    const start = Number(segment.slice(8, 28))
    yield { name: `${name}, without ${segment}`, files: changed(files, { [segment]: undefined }), expect: "either" }
    yield { name: `${name}, ${segment} empty`, files: changed(files, { [segment]: "" }), expect: "either" }
    for (const to of [
      named(Math.max(start - 1, 0) === start ? start + 2 : start - 1),
      named(start + 1),
      named(start + 1000),
      named(2n ** 53n + 1n),
      named(10n ** 20n - 1n),
      "journal/1.jsonl",
      `${segment}.old`
    ])
      yield {
        name: `${name}, ${segment} renamed to ${to}`,
        files: changed(files, { [segment]: undefined, [to]: bytes }),
        // What is not signed yet may be lost.
        expect: i === names.length - 1 && start >= size && !/\d{20}\.jsonl$/.test(to) ? "good" : "bad"
      }
    const next = names[i + 1]
    if (next !== undefined)
      yield {
        name: `${name}, ${segment} joined with the next`,
        files: changed(files, {
          [segment]: Buffer.concat([bytes ?? Buffer.alloc(0), files.get(next) ?? Buffer.alloc(0)]),
          [next]: undefined
        }),
        expect: "good"
      }
  }
  const count = linesOf(files).length
  yield { name: `${name}, an empty segment at the end`, files: changed(files, { [named(count)]: "" }), expect: "good" }
  yield {
    name: `${name}, an empty segment too far on`,
    files: changed(files, { [named(count + 1)]: "" }),
    expect: "bad"
  }
  yield {
    name: `${name}, other files`,
    files: changed(files, { "journal/00000000000000000000.jsonl.torn-1": "x", notes: "x" }),
    expect: "good"
  }
  yield {
    name: `${name}, no journal`,
    files: changed(files, Object.fromEntries(names.map((n) => [n, undefined]))),
    expect: "bad"
  }
  for (const missing of ["vkey", "checkpoint"])
    yield { name: `${name}, no ${missing}`, files: changed(files, { [missing]: undefined }), expect: "bad" }
  if (size > 0) {
    const lines = linesOf(files)
    const edited = replaced(lines, size - 1, (lines[size - 1] ?? "").replace('"v":1', '"v":1,"x":1'))
    yield {
      name: `${name}, a record changed, and leaves that are none`,
      files: changed(withLines(files, edited), { leaves: Buffer.alloc(32 * count) }),
      expect: "bad"
    }
  }
  for (const leaves of ["", Buffer.alloc(64), Buffer.alloc(32 * count)])
    yield { name: `${name}, leaves of ${leaves.length} bytes`, files: changed(files, { leaves }), expect: "good" }
}

/** Lines that are spelt otherwise, in the middle and at the end; with the key that signs, and without. */
export function* spellings(name: string, log: Log): Generator<Case> {
  const lines = linesOf(log.files)
  const at = Math.floor(lines.length / 2)
  const line = lines[at] ?? ""
  const seq = `"seq":${at}`
  const nested = (depth: number): string => `{"a":${"[".repeat(depth)}${"]".repeat(depth)},${line.slice(1)}`
  const padded = (bytes: number): string => `{"a":"${"x".repeat(bytes - Buffer.byteLength(line) - 7)}",${line.slice(1)}`
  const good: ReadonlyArray<readonly [string, string | Buffer]> = [
    ["a field more", `{"a":"b",${line.slice(1)}`],
    ["an escaped control character", `{"a":"\\u001f\\b\\f\\n\\r\\t\\"\\\\/",${line.slice(1)}`],
    ["a letter that needs no escape", `{"a":"é\u2028\u007f🙂\ufeff",${line.slice(1)}`],
    ["the longest line", padded(61_440)],
    ["the deepest nesting", nested(63)],
    ["the largest numbers", `{"a":[9007199254740991,-9007199254740991,0],${line.slice(1)}`],
    ["keys that look like indices", `{"":0,"10":1,"9":2,"__proto__":3,${line.slice(1)}`]
  ]
  const bad: ReadonlyArray<readonly [string, string | Buffer]> = [
    ["a byte order mark", `\ufeff${line}`],
    ["a carriage return", `${line}\r`],
    ["a space before", ` ${line}`],
    ["a space after", `${line} `],
    ["a space inside", line.replace(seq, `"seq": ${at}`)],
    ["a tab inside", line.replace(seq, `\t${seq}`)],
    ["a zero byte", `${line}\0`],
    ["a key that is there twice", line.replace(seq, `${seq},${seq}`)],
    ["a key that is there twice, escaped", line.replace(seq, `${seq},"s\\u0065q":${at}`)],
    ["keys out of order", `${line.slice(0, -1)},"a":"b"}`],
    ["indices out of order", `{"9":1,"10":2,${line.slice(1)}`],
    ["a key that is not ASCII", `{"é":"x",${line.slice(1)}`],
    ["a key that is not ASCII, in its order", `${line.slice(0, -1)},"é":"x"}`],
    ["a fraction", `{"a":1.5,${line.slice(1)}`],
    ["a fraction of nothing", line.replace(seq, `${seq}.0`)],
    ["an exponent", `{"a":1e3,${line.slice(1)}`],
    ["a large exponent", `{"a":1e999,${line.slice(1)}`],
    ["minus zero", `{"a":-0,${line.slice(1)}`],
    ["a number too large", `{"a":9007199254740992,${line.slice(1)}`],
    ["a number too small", `{"a":-9007199254740992,${line.slice(1)}`],
    ["a number of 5000 digits", `{"a":${"9".repeat(5000)},${line.slice(1)}`],
    ["a number with a zero before", `{"a":01,${line.slice(1)}`],
    ["a plus", `{"a":+1,${line.slice(1)}`],
    ["null", `{"a":null,${line.slice(1)}`],
    ["null in a list", `{"a":[null],${line.slice(1)}`],
    ["NaN", `{"a":NaN,${line.slice(1)}`],
    ["Infinity", `{"a":-Infinity,${line.slice(1)}`],
    ["an escape that is not needed", `{"a":"\\u0062",${line.slice(1)}`],
    ["an escape in capitals", `{"a":"\\u001F",${line.slice(1)}`],
    ["an escaped slash", `{"a":"\\/",${line.slice(1)}`],
    ["a long escape", `{"a":"\\u0008",${line.slice(1)}`],
    ["a lone surrogate", `{"a":"\\ud800",${line.slice(1)}`],
    ["a pair of escapes", `{"a":"\\ud83d\\ude42",${line.slice(1)}`],
    ["a control character", `{"a":"\u0001",${line.slice(1)}`],
    [
      "bytes that are no UTF-8",
      Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from(`",${line.slice(1)}`)])
    ],
    [
      "an overlong byte",
      Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc0, 0xaf]), Buffer.from(`",${line.slice(1)}`)])
    ],
    [
      "a surrogate in UTF-8",
      Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from(`",${line.slice(1)}`)])
    ],
    ["a line too long", padded(61_441)],
    ["a line much too long", padded(3_000_000)],
    ["a nesting too deep", nested(64)],
    ["a nesting far too deep", nested(20_000)],
    ["an empty line", ""],
    ["a list", `[${line}]`],
    ["a text", '"x"'],
    ["a number", "1"],
    ["two objects", `${line}${line}`],
    ["no end", line.slice(0, -1)],
    ["single quotes", line.replaceAll('"', "'")],
    ["a comma too many", `${line.slice(0, -1)},}`],
    ["a comment", `/**/${line}`],
    ["an object without anything", "{}"],
    ["another version", line.replace('"v":1', '"v":2')],
    ["a version that is a text", line.replace('"v":1', '"v":"1"')],
    ["a version that is true", line.replace('"v":1', '"v":true')],
    ["an index that is a text", line.replace(seq, `"seq":"${at}"`)],
    ["an index below 0", line.replace(seq, '"seq":-1')],
    ["an index too large", line.replace(seq, `"seq":${at + 1}`)],
    ["an index too small", line.replace(seq, '"seq":0')]
  ]
  for (const [list, expect] of [
    [good, "good"],
    [bad, "bad"]
  ] as const)
    for (const [what, to] of list) {
      const spelt = replaced<string | Buffer>(lines, at, to)
      yield { name: `${name}, ${what}`, files: withLines(log.files, spelt), expect: "bad" }
      yield { name: `${name}, ${what}, signed`, files: signed(log, spelt), expect }
      yield { name: `${name}, ${what}, signed, with its hash`, files: withLeaves(signed(log, spelt), spelt), expect }
      if (expect === "bad")
        yield { name: `${name}, ${what}, past the checkpoint`, files: signed(log, spelt, at), expect }
    }
}

/** The log with the hashes of its lines. */
const withLeaves = (files: Files, lines: ReadonlyArray<string | Buffer>): Files =>
  changed(files, { leaves: Buffer.concat(lines.map(leafHash)) })

/** Checkpoints and vkeys that are not what they were. */
export function* notes(name: string, log: Log, foreign: Log): Generator<Case> {
  const { files, key } = log
  const note = textOf(files, "checkpoint")
  const vkey = textOf(files, "vkey")
  const origin = originOf(files)
  const size = sizeOf(files)
  const [text = "", line = ""] = note.split("\n\n")
  const stranger = generate("log")
  const witness =
    signCheckpoint({ origin: "witness.example/w", size, root: new Uint8Array(32) }, stranger).split("\n\n")[1] ?? ""
  const strange = signCheckpoint({ origin, size, root: new Uint8Array(32) }, stranger).split("\n\n")[1] ?? ""
  const parsed = parseNote(note)
  if (parsed._tag === "Failure") throw new Error(parsed.failure)
  const root = Buffer.from(parsed.success.root).toString("base64")
  const resigned = (more: { readonly size?: number; readonly origin?: string; readonly root?: Uint8Array }): string =>
    signCheckpoint({ ...parsed.success, ...more }, key)
  const checkpoints: ReadonlyArray<readonly [string, string | Buffer, Case["expect"]]> = [
    ["empty", "", "bad"],
    ["without signatures", `${text}\n\n`, "bad"],
    ["without the empty line", note.replace("\n\n", "\n"), "bad"],
    ["without the last newline", note.slice(0, -1), "bad"],
    ["with one newline more", `${note}\n`, "bad"],
    ["with carriage returns", note.replaceAll("\n", "\r\n"), "bad"],
    ["with a byte order mark", `\ufeff${note}`, "bad"],
    ["with a tab", note.replace("— ", "—\t"), "bad"],
    ["that is no UTF-8", Buffer.concat([Buffer.from(note), Buffer.from([0xff, 0x0a])]), "bad"],
    [
      "whose witness has a name that is no UTF-8",
      Buffer.concat([Buffer.from(`${text}\n\n— w`), Buffer.from([0xff]), Buffer.from(witness.slice(3) + line)]),
      "bad"
    ],
    ["with a hyphen for the dash", note.replace("— ", "- "), "bad"],
    ["with another name", note.replace(`— ${origin}`, "— another"), "bad"],
    ["with another origin", note.replace(`${origin}\n`, "another\n"), "bad"],
    ["with another size", note.replace(`\n${size}\n`, `\n${size + 1}\n`), "bad"],
    ["with a zero before the size", note.replace(`\n${size}\n`, `\n0${size}\n`), "bad"],
    ["with a size below 0", note.replace(`\n${size}\n`, `\n-${size}\n`), "bad"],
    ["with a size too large", note.replace(`\n${size}\n`, "\n9007199254740992\n"), "bad"],
    ["with a size in other digits", note.replace(`\n${size}\n`, "\n٣\n"), "bad"],
    ["with another root", note.replace(root, Buffer.alloc(32).toString("base64")), "bad"],
    ["with a root that is short", note.replace(root, Buffer.alloc(31).toString("base64")), "bad"],
    ["with a root without padding", note.replace(root, root.replaceAll("=", "")), "bad"],
    [
      "with a root in base64url",
      note.replace(root, root.replaceAll("+", "-").replaceAll("/", "_").replace("=", "-")),
      "bad"
    ],
    [
      "with a root that is spelt otherwise",
      `${otherwise(text)}\n\n${signatureLine(origin, `${otherwise(text)}\n`, key)}`,
      "bad"
    ],
    ["with a signature that is spelt otherwise", `${text}\n\n${otherwise(line.trimEnd())}\n`, "bad"],
    ["with a line more", note.replace("\n\n", "\nmore\n\n"), "bad"],
    ["with an empty line more", note.replace("\n\n", "\n\n\n"), "bad"],
    ["signed by a stranger alone", `${text}\n\n${strange}`, "bad"],
    ["signed by a witness alone", `${text}\n\n${witness}`, "bad"],
    ["signed by a witness too", `${text}\n\n${witness}${line}`, "good"],
    ["signed by a stranger of its name too", `${text}\n\n${line}${strange}`, "good"],
    ["signed twice", `${text}\n\n${line}${line}`, "good"],
    ["signed by sixteen", `${text}\n\n${witness.repeat(15)}${line}`, "good"],
    ["with a signature that is cut", `${text}\n\n${line.slice(0, -20)}\n`, "bad"],
    ["with a signature of nothing", `${text}\n\n— ${origin} AAAA\n`, "bad"],
    ["of another log", textOf(foreign.files, "checkpoint"), "bad"],
    ["signed for another root", resigned({ root: new Uint8Array(32) }), "bad"],
    ["signed for one record more", resigned({ size: size + 1 }), "bad"],
    ["signed for one record less", resigned({ size: Math.max(0, size - 1) }), size === 0 ? "either" : "bad"],
    ["signed for nothing, with another root", resigned({ size: 0 }), size === 0 ? "either" : "bad"],
    ["signed for nothing", resigned({ size: 0, root: rootOf([]) }), "either"],
    ["signed for another origin", resigned({ origin: "another" }), "bad"],
    ["as long as may be", `${text}\n\n${witness.repeat(6000)}${line}`, "good"],
    ["longer than may be", `${text}\n\n${witness.repeat(12_000)}${line}`, "bad"]
  ]
  for (const [what, to, expect] of checkpoints)
    yield { name: `${name}, a checkpoint ${what}`, files: changed(files, { checkpoint: to }), expect }
  const [id = "", encoded = ""] = vkey.trim().split("+").slice(1)
  const vkeys: ReadonlyArray<readonly [string, string | Buffer, Case["expect"]]> = [
    ["empty", "", "bad"],
    ["of one empty line", "\n", "bad"],
    ["without a newline", vkey.trim(), "bad"],
    ["with an empty line", `${vkey}\n`, "bad"],
    ["with a carriage return", vkey.replace("\n", "\r\n"), "bad"],
    ["with a byte order mark", `\ufeff${vkey}`, "bad"],
    ["that is no UTF-8", Buffer.from([0xff, 0x0a]), "bad"],
    ["with another id", vkey.replace(`+${id}+`, "+00000000+"), "bad"],
    [
      "with an id in capitals",
      vkey.replace(`+${id}+`, `+${id.toUpperCase()}+`),
      id === id.toUpperCase() ? "good" : "bad"
    ],
    ["of another name", vkeyOf("another", key), "bad"],
    ["with another name and the same id", vkey.replace(origin, "another"), "bad"],
    ["of a stranger", vkeyOf(origin, stranger), "bad"],
    ["of a stranger too", vkey + vkeyOf(origin, stranger), "good"],
    ["of another log", textOf(foreign.files, "vkey"), "bad"],
    [
      "of another type",
      vkey.replace(encoded, Buffer.concat([Buffer.from([2]), Buffer.from(key.publicKey)]).toString("base64")),
      "bad"
    ],
    ["of a byte too many", vkeyOf(origin, { ...key, publicKey: Buffer.concat([key.publicKey, Buffer.of(0)]) }), "bad"],
    ["without padding", vkey.replaceAll("=", ""), vkey.includes("=") ? "bad" : "good"]
  ]
  for (const [what, to, expect] of vkeys)
    yield { name: `${name}, a vkey ${what}`, files: changed(files, { vkey: to }), expect }
  const keys: ReadonlyArray<readonly [string, string, Case["expect"]]> = [
    ["its own", vkey, "good"],
    ["its own, as a line", vkey.trim(), "good"],
    ["its own and another", vkeyOf(origin, stranger) + vkey, "good"],
    ["another's", vkeyOf(origin, stranger), "bad"],
    ["another log's", textOf(foreign.files, "vkey"), "bad"],
    ["none", "nonsense", "either"]
  ]
  // A key that is held under another name than the log's signs for somebody else.
  const elsewhere = signatureLine("witness.example/w", `${text}\n`, stranger)
  const also = vkey + vkeyOf("witness.example/w", stranger)
  yield {
    name: `${name}, signed under another name that is held`,
    files: changed(files, { vkey: also, checkpoint: `${text}\n\n${elsewhere}` }),
    expect: "bad"
  }
  yield {
    name: `${name}, signed under another name that is held too`,
    files: changed(files, { vkey: also, checkpoint: `${text}\n\n${elsewhere}${line}` }),
    expect: "good"
  }
  for (const [what, given, expect] of keys)
    yield { name: `${name}, a given key that is ${what}`, files, key: given, expect }
  // A log made anew as a whole, by somebody without the key: consistent in itself.
  const anew = { files: changed(files, { vkey: vkeyOf(origin, stranger) }), key: stranger }
  const forged = signed(anew, linesOf(files))
  yield { name: `${name}, made anew`, files: forged, expect: "good" }
  yield { name: `${name}, made anew, with the key`, files: forged, key: vkey, expect: "bad" }
  yield { name: `${name}, made anew, with a checkpoint`, files: forged, since: note, expect: "bad" }
  const both = { ...anew, files: changed(files, { vkey: vkeyOf(origin, stranger) + vkey }) }
  yield {
    name: `${name}, with a key added and a checkpoint from before`,
    files: signed(both, linesOf(files)),
    since: note,
    expect: size === 0 ? "either" : "bad"
  }
}

/** A text that ends with padded base64, with a bit set that its bytes have no place for. */
const otherwise = (text: string): string =>
  text.replace(/(.)(=+)$/, (_, last: string, padding: string) => {
    const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return `${digits[digits.indexOf(last) + 1] ?? ""}${padding}`
  })

/** What an earlier checkpoint tells. */
export function* history(name: string, log: Log, foreign: Log): Generator<Case> {
  const lines = linesOf(log.files)
  const records = recordsOf(log.files)
  const vkey = textOf(log.files, "vkey")
  const now = textOf(log.files, "checkpoint")
  const size = sizeOf(log.files)
  for (const before of new Set([0, 1, 2, 3, Math.floor(size / 2), size - 2, size - 1, size])) {
    if (before < 0 || before > size) continue
    const earlier = signed(log, lines.slice(0, before))
    const since = textOf(earlier, "checkpoint")
    for (const key of [undefined, vkey]) {
      const held = key === undefined ? "" : ", with the key"
      yield { name: `${name}, since ${before}${held}`, files: log.files, since, key, expect: "good" }
      if (before < size)
        yield { name: `${name}, rolled back to ${before}${held}`, files: earlier, since: now, key, expect: "bad" }
      const fork = records.map((record, i) => (i === Math.max(0, before - 1) ? { ...record, ts: 1 } : record))
      yield {
        name: `${name}, forked at ${before}${held}`,
        files: signed(log, renumbered(fork)),
        since,
        key,
        expect: before === 0 ? "either" : "bad"
      }
    }
  }
  // The journal lost what both checkpoints say.
  if (size > 2)
    for (const checkpoint of [now, undefined])
      yield {
        name: `${name}, cut below both checkpoints${checkpoint === undefined ? ", the newer one gone" : ""}`,
        files: changed(withLines(log.files, lines.slice(0, 1)), { checkpoint }),
        since: textOf(signed(log, lines.slice(0, 2)), "checkpoint"),
        expect: "bad"
      }
  yield {
    name: `${name}, signed by a stranger, and a checkpoint from before`,
    files: changed(log.files, {
      checkpoint: signedByAll(now, [generate("log")])
    }),
    since: now,
    expect: "bad"
  }
  const wrong: ReadonlyArray<readonly [string, string | Buffer]> = [
    ["of another log", textOf(foreign.files, "checkpoint")],
    ["that is none", "nonsense"],
    ["that is empty", ""],
    ["that is no UTF-8", Buffer.from([0xff])],
    ["with another size", now.replace(`\n${size}\n`, `\n${size + 1}\n`)],
    ["without a newline", now.slice(0, -1)],
    [
      "by a stranger",
      signCheckpoint({ origin: originOf(log.files), size: 1, root: leafHash(lines[0] ?? "") }, generate("log"))
    ],
    ["for another root", signCheckpoint({ origin: originOf(log.files), size: 1, root: new Uint8Array(32) }, log.key)],
    [
      "for more than there is",
      signCheckpoint({ origin: originOf(log.files), size: 10 ** 9, root: new Uint8Array(32) }, log.key)
    ]
  ]
  for (const [what, since] of wrong)
    for (const key of [undefined, vkey])
      yield { name: `${name}, an earlier checkpoint ${what}`, files: log.files, since, key, expect: "bad" }
}

/** Keys that change. */
export function* rotation(name: string, log: Log): Generator<Case> {
  const { after, during } = forgedRotation(log)
  const [old, both, newest] = [textOf(log.files, "vkey"), textOf(during.files, "vkey"), textOf(after.files, "vkey")]
  const between = textOf(during.files, "checkpoint")
  const origin = originOf(log.files)
  const stolen = (files: Files): Files => {
    const more = [...recordsOf(files), { ...recordsOf(files).at(-1), kind: "added.later" }]
    return signed({ files, key: log.key }, renumbered(more))
  }
  const said: ReadonlyArray<readonly [string, Files, string | undefined, string | undefined, Case["expect"]]> = [
    ["while it changes", during.files, undefined, undefined, "good"],
    ["while it changes, with the old key", during.files, old, undefined, "good"],
    ["while it changes, with the new key", during.files, newest, undefined, "good"],
    ["while it changes, with both", during.files, both, undefined, "good"],
    ["after", after.files, undefined, undefined, "good"],
    ["after, with the new key", after.files, newest, undefined, "good"],
    ["after, with both", after.files, both, undefined, "good"],
    ["after, with the old key", after.files, old, undefined, "bad"],
    ["after, since the change", after.files, undefined, between, "good"],
    ["after, since the change, with the new key", after.files, newest, between, "good"],
    [
      "signed by the old key alone after its end",
      changed(stolen(after.files), { vkey: both }),
      undefined,
      undefined,
      "bad"
    ],
    [
      "signed by the old key alone after its end, with it",
      changed(stolen(after.files), { vkey: both }),
      old,
      undefined,
      "bad"
    ],
    [
      "with one of two signatures broken",
      changed(during.files, { checkpoint: breakLast(between) }),
      undefined,
      undefined,
      "bad"
    ],
    [
      "with a signature of the old key alone",
      changed(during.files, { checkpoint: signedByAll(between, [log.key]) }),
      undefined,
      undefined,
      "good"
    ],
    [
      "signed by both after the end of one",
      changed(after.files, {
        vkey: both,
        checkpoint: signedByAll(textOf(after.files, "checkpoint"), [log.key, after.key])
      }),
      undefined,
      undefined,
      "good"
    ],
    [
      "after, since a checkpoint that the old key signed after its end",
      changed(after.files, { vkey: both }),
      undefined,
      signedByAll(textOf(after.files, "checkpoint"), [log.key]),
      "bad"
    ],
    [
      "after, since a checkpoint of the old key alone that knows the new one",
      after.files,
      undefined,
      signedByAll(between, [log.key]),
      "good"
    ],
    [
      "with two keys under one name, the other's",
      changed(during.files, { vkey: newest + vkeyOf(origin, generate("log")) }),
      undefined,
      undefined,
      "good"
    ]
  ]
  const ended = recordsOf(after.files)
  const last = ended.at(-1) ?? {}
  const twice = renumbered([...ended, { ...last, kind: "added.later" }, last])
  yield {
    name: `${name}, a key that is ended twice, and signs in between`,
    files: changed(signed({ files: during.files, key: log.key }, twice, twice.length - 1), { vkey: both }),
    expect: "bad"
  }
  for (const [what, files, key, since, expect] of said)
    yield { name: `${name}, a key ${what}`, files, key, since, expect }
  const earlier = textOf(signed(log, renumbered(stillOpen(log.files))), "checkpoint")
  yield { name: `${name}, a key after, since before`, files: after.files, since: earlier, expect: "bad" }
  yield {
    name: `${name}, a key after, since before, with the new key`,
    files: after.files,
    since: earlier,
    key: newest,
    expect: "good"
  }
  yield {
    name: `${name}, a key while it changes, since before with one`,
    files: during.files,
    since: earlier,
    expect: "good"
  }
}

const breakLast = (note: string): string => {
  const lines = note.trimEnd().split("\n")
  const last = lines.at(-1) ?? ""
  const at = last.length - 20
  return `${[...lines.slice(0, -1), `${last.slice(0, at)}${last[at] === "A" ? "B" : "A"}${last.slice(at + 1)}`].join("\n")}\n`
}

/** Calls that make no sense, written by whoever holds the key. */
export function* sense(name: string, log: Log): Generator<Case> {
  const records = stillOpen(log.files)
  const at = records.length
  const { boot, ts } = records.at(-1) ?? {}
  const said = (kind: string, fields: Fields = {}): Fields => ({ v: 1, id: "x", ts, boot, kind, call: "x", ...fields })
  const decision = said("decision")
  const open = said("stream.open", { decision: at, status: 200 })
  const segment = (from: unknown, count: unknown, digest: unknown = "d"): Fields =>
    said("stream.segment", { from, count, digest })
  const close = (received: unknown, chunks: unknown, digest: unknown = "d"): Fields =>
    said("stream.close", { reason: "complete", received, chunks, digest })
  const end = said("outcome", { decision: at, result: "complete" })
  const stories: ReadonlyArray<readonly [string, ReadonlyArray<Fields>, Case["expect"]]> = [
    ["a call", [decision, end], "good"],
    ["a stream", [decision, open, segment(0, 2), segment(2, 1, "e"), close(3, 1, "e"), end], "good"],
    ["a stream of nothing", [decision, open, close(0, 0, "anything"), end], "good"],
    [
      "a call twice, one after the other",
      [decision, end, decision, said("outcome", { decision: at + 2, result: "complete" })],
      "good"
    ],
    ["what is not known yet", [decision, said("kind.to.come", { call: "y" }), end], "good"],
    ["a tool that the model asked for", [decision, said("tool_call"), end], "good"],
    ["a stream of what passes through", [said("passthrough"), open], "bad"],
    ["a stream of no call", [open], "bad"],
    ["a stream of another decision", [decision, { ...open, decision: 0 }], "bad"],
    ["two streams", [decision, open, open], "bad"],
    ["two streams, one after the other", [decision, open, close(0, 0), open], "bad"],
    ["a segment before the stream", [decision, segment(0, 1)], "bad"],
    ["a segment after the stream", [decision, open, close(0, 0), segment(0, 1)], "bad"],
    ["a gap", [decision, open, segment(1, 1)], "bad"],
    ["an overlap", [decision, open, segment(0, 2), segment(1, 1)], "bad"],
    ["a segment of nothing", [decision, open, segment(0, 0)], "bad"],
    ["a segment of less than nothing", [decision, open, segment(0, -1)], "bad"],
    ["a segment of true", [decision, open, segment(0, true)], "bad"],
    ["a segment from false", [decision, open, segment(false, 1)], "bad"],
    ["a segment without a digest", [decision, open, segment(0, 1, 7)], "bad"],
    [
      "segments beyond numbers",
      [
        decision,
        open,
        segment(0, Number.MAX_SAFE_INTEGER),
        segment(Number.MAX_SAFE_INTEGER, 1),
        close(Number.MAX_SAFE_INTEGER, 0)
      ],
      "bad"
    ],
    ["a close that counts more", [decision, open, segment(0, 1), close(2, 1)], "bad"],
    ["a close that counts less", [decision, open, segment(0, 1), close(0, 0)], "bad"],
    ["a close that handed on more", [decision, open, segment(0, 1), close(1, 2)], "bad"],
    ["a close that handed on less than nothing", [decision, open, segment(0, 1), close(1, -1)], "bad"],
    ["a close that handed on true", [decision, open, segment(0, 1), close(1, true)], "bad"],
    ["a close with another digest", [decision, open, segment(0, 1), close(1, 1, "e")], "bad"],
    ["a close of no stream", [decision, close(0, 0)], "bad"],
    ["an outcome with its stream open", [decision, open, end], "bad"],
    ["an outcome of another decision", [decision, { ...end, decision: at + 1 }], "bad"],
    ["an outcome of a text", [decision, { ...end, decision: String(at) }], "bad"],
    ["two outcomes", [decision, end, end], "bad"],
    ["an outcome unknown", [decision, { ...end, result: "unknown" }], "bad"],
    ["two decisions", [decision, decision], "bad"],
    ["a refusal of an open call", [decision, said("refused")], "bad"],
    ["a tool of no call", [said("tool_call")], "bad"],
    ["a call without a name", [{ ...decision, call: 7 }], "bad"],
    ["a log.close with an open call", [decision, said("log.close")], "bad"],
    ["something after log.close", [said("log.close"), decision], "bad"],
    ["a recovery without a crash", [said("log.recovered", { previous: boot, open: 0, dropped: 0 })], "bad"],
    ["another boot", [{ ...decision, boot: "another" }], "bad"]
  ]
  const opened = (next: string): Fields => said("log.open", { boot: next, origin: originOf(log.files) })
  const recovered = (next: string, previous: unknown, more: number): Fields =>
    said("log.recovered", { boot: next, previous, open: more, dropped: 0 })
  const unknown = (next: string): Fields => ({ ...end, boot: next, result: "unknown" })
  const crash = [decision, opened("b2"), recovered("b2", boot, 1)]
  const crashes: typeof stories = [
    ["a crash", [...crash, unknown("b2")], "good"],
    ["a crash after which the call ends otherwise", [...crash, { ...unknown("b2"), result: "complete" }], "bad"],
    ["a crash after which another record is unknown", [...crash, { ...unknown("b2"), kind: "kind.to.come" }], "bad"],
    ["a crash that another boot is said of", [decision, opened("b2"), recovered("b2", "b1", 1), unknown("b2")], "bad"],
    ["a crash that counts no call", [decision, opened("b2"), recovered("b2", boot, 0), unknown("b2")], "bad"],
    ["a crash in a recovery", [...crash, opened("b3"), recovered("b3", "b2", 1), unknown("b3")], "good"],
    [
      "a crash in a recovery, without another recovery",
      [...crash, opened("b3"), said("kind.to.come", { boot: "b3" }), unknown("b3")],
      "bad"
    ],
    ["a boot twice", [...crash, unknown("b2"), opened("b2"), recovered("b2", "b2", 0)], "bad"]
  ]
  for (const [what, more, expect] of [...stories, ...crashes])
    yield { name: `${name}, ${what}`, files: signed(log, renumbered([...records, ...more])), expect }
}

/** One byte changed at each place of each file that counts, or at every so many places; another bit each time. */
export function* flips(name: string, log: Log, start = 0, step = 1, key?: string): Generator<Case> {
  for (const file of ["checkpoint", "vkey", ...segments(log.files)]) {
    const bytes = log.files.get(file) ?? Buffer.alloc(0)
    for (let i = start; i < bytes.length; i += step) {
      const flipped = Buffer.from(bytes)
      flipped[i] = (flipped[i] ?? 0) ^ (1 << (i % 8))
      yield {
        name: `${name}, byte ${i} of ${file}`,
        files: changed(log.files, { [file]: flipped }),
        key,
        expect: "bad"
      }
    }
  }
}
