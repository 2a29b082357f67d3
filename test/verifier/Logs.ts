/**
 * Logs for the two verifiers: valid ones that the library wrote, held in memory as files, and what can be changed in them.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { formatVerifierKey, keyId, parseNote, signCheckpoint, verifierKey } from "../../src/audit/proof/Checkpoint.ts"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import type * as Journal from "../../src/audit/folder/Journal.ts"
import { leafHash, rootOf } from "../../src/audit/proof/MerkleTree.ts"
import { canonicalize } from "../../src/base/CanonicalJson.ts"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { generate, Keys, type SigningKey } from "../../src/keys/Keys.ts"
import { mintToken, testIssuer } from "../../src/testing/index.ts"
import type { Provider } from "../e2e/Provider.ts"
import { decision, durable, makeCalls, openJournal } from "../audit/logs.ts"

/** The files of a log by their paths in its folder. */
export type Files = ReadonlyMap<string, Buffer>

/** A log, and the key that signs it. */
export interface Log {
  readonly files: Files
  readonly key: SigningKey<"log">
}

export const first = "journal/00000000000000000000.jsonl"

export const readLog = (path: string): Files => {
  // A log that is being written is read as a verifier reads it: its checkpoint first.
  const names = [
    "checkpoint",
    "vkey",
    "leaves",
    ...Fs.readdirSync(Path.join(path, "journal")).map((n) => `journal/${n}`)
  ]
  return new Map(names.map((name) => [name, Fs.readFileSync(Path.join(path, name))]))
}

export const writeLog = (path: string, files: Files): void => {
  Fs.mkdirSync(Path.join(path, "journal"), { recursive: true })
  for (const [name, bytes] of files) Fs.writeFileSync(Path.join(path, name), bytes)
}

/** Files with some replaced, or left out where undefined. */
export const changed = (files: Files, changes: Readonly<Record<string, string | Buffer | undefined>>): Files => {
  const all = new Map(files)
  for (const [name, content] of Object.entries(changes))
    if (content === undefined) all.delete(name)
    else all.set(name, Buffer.from(content))
  return all
}

export const textOf = (files: Files, name: string): string => files.get(name)?.toString("utf8") ?? ""

export const segments = (files: Files): ReadonlyArray<string> =>
  [...files.keys()].filter((name) => /^journal\/\d{20}\.jsonl$/.test(name)).sort()

/** The lines of all segments, without newlines. */
export const linesOf = (files: Files): ReadonlyArray<string> =>
  segments(files).flatMap((name) => textOf(files, name).split("\n").slice(0, -1))

export const originOf = (files: Files): string => textOf(files, "checkpoint").split("\n")[0] ?? ""

export const sizeOf = (files: Files): number => Number(textOf(files, "checkpoint").split("\n")[1])

/** The log with these lines in one segment. Nothing is signed anew. */
export const withLines = (files: Files, lines: ReadonlyArray<string | Buffer>): Files => {
  const journal = lines.map((line) => Buffer.concat([Buffer.from(line), Buffer.from("\n")]))
  const others = Object.fromEntries(segments(files).map((name) => [name, undefined]))
  return changed(files, { ...others, [first]: Buffer.concat(journal) })
}

/** The log with these lines, signed by whoever has its key. */
export const signed = (log: Log, lines: ReadonlyArray<string | Buffer>, size = lines.length): Files => {
  const root = rootOf(lines.slice(0, size).map((line) => leafHash(line)))
  const checkpoint = signCheckpoint({ origin: originOf(log.files), size, root }, log.key)
  return changed(withLines(log.files, lines), { checkpoint, leaves: undefined })
}

/** The records numbered anew, in canonical form. */
export const renumbered = (records: ReadonlyArray<Record<string, unknown>>): ReadonlyArray<string> =>
  records.map((record, seq) => canonicalize({ ...record, seq }))

export const recordsOf = (files: Files): ReadonlyArray<Record<string, unknown>> =>
  linesOf(files).map((line) => JSON.parse(line) as Record<string, unknown>)

/** A checkpoint with the signatures of several keys. */
export const signedByAll = (checkpoint: string, keys: ReadonlyArray<SigningKey<"log">>): string => {
  const note = parseNote(checkpoint)
  if (note._tag === "Failure") throw new Error(note.failure)
  const lines = keys.map((key) => signCheckpoint(note.success, key).split("\n\n")[1] ?? "")
  return `${note.success.text}\n${lines.join("")}`
}

/** A line of a note by which a key signs its text under a name. */
export const signatureLine = (name: string, text: string, key: SigningKey<"log">): string =>
  `— ${name} ${Buffer.concat([keyId(name, key.publicKey), key.sign(Buffer.from(text))]).toString("base64")}\n`

export const vkeyOf = (name: string, key: SigningKey<"log">): string =>
  `${formatVerifierKey(verifierKey(name, key.publicKey))}\n`

const policies = [
  { policy_id: "app:assistant", resources: ["tool:assistant/**", "api:assistant/**"] },
  {
    policy_id: "user:alice",
    resources: ["tool:assistant/generate", "api:assistant/models"],
    constraints: { parameters: { "tool:assistant/generate": { model: ["gpt-4o"], max_tokens: { max: 500 } } } }
  }
]

/** What a day at an application leaves: two boots with calls of every kind, a crash between them; and copies on the way. */
export const live = async (
  home: string,
  provider: Provider
): Promise<{ readonly logs: ReadonlyMap<string, Log>; readonly receipts: ReadonlyArray<string> }> => {
  const logs = new Map<string, Files>()
  const receipts: Array<string> = []
  const path = (folder: string): string => Path.join(folder, "audit")
  const day = async (folder: string): Promise<{ readonly close: () => Promise<void> }> => {
    const workspace = new Workspace({ home: folder, issuers: testIssuer, policies })
    const client = new SecureOpenAI({
      appName: "assistant",
      apiKey: "k",
      baseURL: provider.url,
      maxRetries: 0,
      workspace
    })
    const alice = await client.asUser(mintToken({ sub: "7", preferred_username: "alice" }))
    const ask = { model: "gpt-4", messages: [{ role: "user" as const, content: "a question with an é and a 🙂" }] }
    for (const model of ["gpt-4o", "gpt-4"]) {
      const response = await alice.chat.completions.create({ ...ask, model, max_tokens: 4000 }).catch(() => undefined)
      const receipt = SecureOpenAI.receipt(response)
      if (receipt !== undefined) receipts.push(receipt.jws)
    }
    receipts.push(SecureOpenAI.receipt(await client.chat.completions.create(ask))?.jws ?? "")
    for (const most of [Infinity, 1]) {
      let count = 0
      for await (const _ of await client.chat.completions.create({ ...ask, stream: true })) if (++count >= most) break
    }
    client.registerTool("dig", () => "dug")
    const target = { targetAgent: client.serverId }
    await alice.userClient.invokeTool("tool:assistant/dig", {}, target).catch(() => undefined)
    await alice.close()
    await client.models.list()
    await client.asUser("not a token").catch(() => undefined)
    provider.behave({ status: 500 })
    await client.chat.completions.create(ask).catch(() => undefined)
    provider.behave({ cutAfter: 1 })
    try {
      for await (const _ of await client.chat.completions.create({ ...ask, stream: true })) continue
    } catch {
      // It was cut.
    }
    provider.behave({ hang: true })
    const abort = new AbortController()
    const sent = provider.hits.length
    const hanging = client.chat.completions.create(ask, { signal: abort.signal }).catch(() => undefined)
    await eventually(() => provider.hits.length > sent)
    return {
      close: async () => {
        abort.abort()
        await hanging
        provider.behave({})
        await alice.close()
        await client.close()
        await workspace.close()
      }
    }
  }
  const one = Path.join(home, "one")
  const today = await day(one)
  logs.set("live", readLog(path(one)))
  // A process that dies here leaves the folder as it is now, and half a line.
  const crashed = Path.join(home, "crashed")
  Fs.cpSync(one, crashed, { recursive: true })
  for (const folder of [crashed, Path.join(crashed, "keys")]) Fs.chmodSync(folder, 0o700)
  await today.close()
  logs.set("closed", readLog(path(one)))
  await (await day(one)).close()
  logs.set("twice", readLog(path(one)))
  Fs.rmSync(Path.join(path(crashed), "lock"), { force: true })
  Fs.appendFileSync(Path.join(path(crashed), first), '{"app":"assist')
  logs.set("torn", readLog(path(crashed)))
  await (await day(crashed)).close()
  logs.set("recovered", readLog(path(crashed)))
  const keyOf = async (folder: string): Promise<SigningKey<"log">> =>
    (
      await Effect.runPromise(
        Effect.provide(Effect.flatMap(Keys, Effect.succeed), Keys.layerDirectory(Path.join(folder, "keys")))
      )
    ).log as SigningKey<"log">
  const key = await keyOf(one)
  return { logs: new Map([...logs].map(([name, files]) => [name, { files, key }])), receipts }
}

const eventually = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** Journals that the library wrote, without the application: many segments, an open call, hundreds of records, nothing at all. */
export const journals = async (home: string): Promise<ReadonlyMap<string, Log>> => {
  const key = generate("log")
  const logs = new Map<string, Log>()
  const openAt = (name: string, more: Partial<Journal.JournalOptions> = {}): Journal.Journal =>
    openJournal({ path: Path.join(home, name), named: true, key, disk: nodeFileSystem, opening: [], ...more })
  const keep = (name: string, from = name): void => void logs.set(name, { files: readLog(Path.join(home, from)), key })
  const many = openAt("segments", { segmentSize: 3000 })
  for (let i = 0; i < 6; i++) {
    makeCalls(many, 4)
    await durable(many)
  }
  keep("segments, live", "segments")
  await many.close()
  keep("segments")
  const again = openAt("segments", { segmentSize: 3000 })
  again.append(decision("left-open"))
  await durable(again)
  keep("segments, open call", "segments")
  await again.close()
  const hundreds = openAt("hundreds")
  makeCalls(hundreds, 120)
  await hundreds.close()
  keep("hundreds")
  const empty = openAt("empty")
  await empty.close()
  keep("empty")
  return logs
}

/** The records of a log before its last log.close. */
export const stillOpen = (files: Files): ReadonlyArray<Record<string, unknown>> => {
  const records = recordsOf(files)
  return records.at(-1)?.["kind"] === "log.close" ? records.slice(0, -1) : records
}

/** The log while its key changes, with both keys in `vkey` and both signatures; and after, with the new one alone. */
export const forgedRotation = (log: Log): { readonly during: Log; readonly after: Log } => {
  const next = generate("log")
  const origin = originOf(log.files)
  const records = stillOpen(log.files)
  const head = records.at(-1) ?? {}
  const said = (kind: string, key: SigningKey<"log">) => ({
    v: 1,
    id: "018f0000-0000-7000-8000-000000000000",
    ts: head["ts"],
    boot: head["boot"],
    kind,
    use: "log",
    kid: key.kid,
    ...(kind === "key.active" && { vkey: vkeyOf(origin, key).trim(), jwk: key.jwk })
  })
  const active = [...records, said("key.active", next)]
  const duringFiles = signed(log, renumbered(active))
  const during = changed(duringFiles, {
    vkey: textOf(log.files, "vkey") + vkeyOf(origin, next),
    checkpoint: signedByAll(textOf(duringFiles, "checkpoint"), [log.key, next])
  })
  const afterLog = { files: during, key: next }
  const after = changed(signed(afterLog, renumbered([...active, said("key.retired", log.key)])), {
    vkey: vkeyOf(origin, next)
  })
  return { during: { files: during, key: log.key }, after: { files: after, key: next } }
}
