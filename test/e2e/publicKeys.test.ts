/** What a workspace publishes is enough: others verify its receipts, envelopes and checkpoints with that and nothing else. */
import { compactVerify, createLocalJWKSet } from "jose"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { beforeEach, describe, expect, it } from "vitest"
import { parseNote, parseVerifierKey, signersOf } from "../../src/audit/proof/Checkpoint.ts"
import { type PublicKeys, Receipt, SecureOpenAI, Signer, Workspace } from "../../src/index.ts"
import { generate } from "../../src/keys/Keys.ts"
import * as KeyFolder from "../../src/keys/KeyFolder.ts"
import { published } from "../../src/workspace/PublicKeys.ts"
import type { WorkspaceOptions } from "../../src/workspace/WorkspaceOptions.ts"
import { openProvider } from "./fixture.ts"

const { openClient, opens } = await openProvider()
let home = ""
beforeEach(() => {
  home = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-published-")), "home")
  opens({ close: async () => Fs.rmSync(Path.dirname(home), { recursive: true, force: true }) })
})

/** A process of a service: makes a call, and gives its receipt, its newest checkpoint and what it publishes. */
const serve = async (options: Partial<WorkspaceOptions> = {}) => {
  const workspace = opens(new Workspace({ home, ...options }))
  const client = openClient({ workspace })
  const answer = await client.chat.completions.create({ model: "gpt-4", messages: [{ role: "user", content: "hi" }] })
  const receipt = SecureOpenAI.receipt(answer)!
  const jws = await receipt.sign()
  // As others get it: as JSON.
  const keys = JSON.parse(JSON.stringify(await workspace.publicKeys())) as PublicKeys
  const opened = (await workspace.records())[0]
  await client.close()
  await workspace.close()
  const note = options.audit === "memory" ? undefined : Fs.readFileSync(Path.join(home, "audit", "checkpoint"), "utf8")
  return { jws, envelope: receipt.envelope, note, opened, published: keys }
}

const noteHolds = (note: string, { verifierKeys }: PublicKeys): boolean =>
  signersOf(
    Result.getOrThrow(parseNote(note)),
    verifierKeys.map((line) => Result.getOrThrow(parseVerifierKey(line)))
  ).length > 0

/** By another library, and by ours. */
const receiptHolds = async (jws: string, { jwks }: PublicKeys): Promise<boolean> => {
  const { protectedHeader } = await compactVerify(jws, createLocalJWKSet({ keys: [...jwks.keys] })).catch(() => ({
    protectedHeader: undefined
  }))
  const key = jwks.keys.find(({ kid }) => kid === protectedHeader?.kid)
  return key !== undefined && key["secure-openai/use"] === "agent" && Receipt.verify(jws, key).valid
}

const remote = (use: "agent" | "log") => {
  const key = generate(use)
  return {
    kid: key.kid,
    jwk: key.jwk,
    sign: (bytes: Uint8Array) => Effect.promise(async () => key.sign(bytes))
  }
}

describe("receipts, envelopes and checkpoints verify with what a workspace publishes", () => {
  const ways: ReadonlyArray<readonly [string, () => Partial<WorkspaceOptions>]> = [
    ["with the keys of its home", () => ({})],
    [
      "with keys that are held elsewhere",
      () => ({ signer: Signer.layer({ agent: remote("agent"), log: remote("log") }) })
    ],
    ["with a log in memory", () => ({ audit: "memory" })]
  ]
  it.each(ways)("%s, and not with what another one publishes", async (_way, options) => {
    const { envelope, jws, note, opened, published } = await serve(options())
    const other = (await serve({ audit: "memory" })).published
    for (const signed of [jws, envelope])
      await compactVerify(signed, createLocalJWKSet({ keys: [...published.jwks.keys] }))
    expect([await receiptHolds(jws, published), await receiptHolds(jws, other)]).toEqual([true, false])
    expect(published.verifierKeys).toEqual([opened?.["vkey"]])
    if (note !== undefined) expect([noteHolds(note, published), noteHolds(note, other)]).toEqual([true, false])
    expect(JSON.stringify(published)).not.toContain('"d"')
  })

  it("before, in and after rotations: what is retired stays, what is revoked goes", async () => {
    const keys = Path.join(home, "keys")
    const first = await serve()
    KeyFolder.rotate(keys, "agent", "retired")
    KeyFolder.rotate(keys, "log", "retired")
    const second = await serve()
    expect(second.published.verifierKeys).toEqual([first.published.verifierKeys[0], expect.any(String)])
    expect(noteHolds(second.note!, second.published)).toBe(true)
    expect(await receiptHolds(first.jws, second.published)).toBe(true)
    KeyFolder.rotate(keys, "agent", "revoked")
    const third = await serve()
    expect(await receiptHolds(first.jws, third.published)).toBe(true)
    expect(await receiptHolds(second.jws, third.published)).toBe(false)
    expect(await receiptHolds(third.jws, third.published)).toBe(true)
    // The keys of the folder, as the command prints them.
    expect(third.published.jwks.keys).toEqual(published(KeyFolder.list(keys).keys))
  })
})
