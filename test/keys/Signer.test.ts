import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { parseNote, parseVerifierKeys } from "../../src/audit/proof/Checkpoint.ts"
import { folderReader } from "../../src/audit/folder/FolderReader.ts"
import { verify } from "../../src/audit/proof/Verify.ts"
import {
  ConfigurationError,
  EnforcementUnavailableError,
  KeyHistory,
  Receipt,
  type RemoteSigner,
  SecureOpenAI,
  Signer,
  Workspace
} from "../../src/index.ts"
import { generate, type SigningKey } from "../../src/keys/Keys.ts"
import type { Signers } from "../../src/keys/Signer.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"

const signerOf = (key: SigningKey, sign = (bytes: Uint8Array): unknown => Effect.succeed(key.sign(bytes))) =>
  ({ kid: key.kid, jwk: key.jwk, sign }) as RemoteSigner
const remote = (use: "agent" | "log" = "agent") => signerOf(generate<"agent" | "log">(use))

let provider: Provider
beforeAll(async () => {
  provider = await startProvider()
})
afterAll(() => provider.close())
const clientOf = (workspace: Workspace) =>
  new SecureOpenAI({ apiKey: "k", baseURL: provider.url, maxRetries: 0, workspace })
const ask = (client: SecureOpenAI) => client.chat.completions.create({ model: "gpt-4o", messages: [] })

describe("a signer", () => {
  const key = generate()
  const right = (bytes: Uint8Array) => key.sign(bytes)
  const manners: ReadonlyArray<readonly [string, (bytes: Uint8Array) => unknown, RegExp | undefined]> = [
    ["gives a Buffer", (bytes) => Effect.succeed(Buffer.from(right(bytes))), undefined],
    [
      "wipes what it was given",
      (bytes) => {
        const signature = right(bytes)
        bytes.fill(0)
        return Effect.succeed(signature)
      },
      undefined
    ],
    [
      "wipes what it gave",
      (bytes) => {
        const signature = right(bytes)
        queueMicrotask(() => signature.fill(0))
        return Effect.succeed(signature)
      },
      undefined
    ],
    [
      "throws",
      () => {
        throw new Error("the token of the KMS")
      },
      /did not sign/
    ],
    ["fails", () => Effect.fail("the token of the KMS"), /did not sign/],
    ["dies", () => Effect.die("the token of the KMS"), /did not sign/],
    ["is interrupted", () => Effect.interrupt, /did not sign/],
    ["gives nothing", () => undefined, /gave no Effect/],
    ["gives a promise", async (bytes) => right(bytes), /gave no Effect/],
    ["gives an Effect of nothing", () => Effect.void, /not by its key/],
    ["gives a text", (bytes) => Effect.succeed(Buffer.from(right(bytes)).toString("latin1")), /not by its key/],
    ["gives a list", (bytes) => Effect.succeed([...right(bytes)]), /not by its key/],
    [
      "gives a buffer of another kind",
      (bytes) => Effect.succeed(Uint8Array.from(right(bytes)).buffer),
      /not by its key/
    ],
    ["gives 63 bytes", (bytes) => Effect.succeed(right(bytes).subarray(1)), /not by its key/],
    ["gives zeros", () => Effect.succeed(new Uint8Array(64)), /not by its key/],
    ["signs something else", () => Effect.succeed(right(Buffer.from("x"))), /not by its key/],
    [
      "signs what it changed",
      (bytes) => {
        bytes.fill(0)
        return Effect.succeed(right(bytes))
      },
      /not by its key/
    ],
    ["signs with another key", (bytes) => Effect.succeed(generate().sign(bytes)), /not by its key/],
    [
      "answers too late",
      (bytes) =>
        Effect.delay(
          Effect.sync(() => right(bytes)),
          "5200 millis"
        ),
      /within 5 seconds/
    ],
    ["never answers", () => Effect.never, /within 5 seconds/]
  ]
  it.each(manners)(
    "that %s signs, or the call is refused",
    async (_, manner, message) => {
      await using workspace = new Workspace({ audit: "memory", signer: Signer.layer({ agent: signerOf(key, manner) }) })
      await using client = clientOf(workspace)
      provider.hits.length = 0
      const answer: unknown = await ask(client).catch((error: unknown) => error)
      if (message === undefined) {
        expect(Receipt.verify(await SecureOpenAI.receipt(answer)!.sign(), key.jwk)).toMatchObject({ valid: true })
        expect(provider.hits).toHaveLength(1)
        return
      }
      expect(answer).toBeInstanceOf(EnforcementUnavailableError)
      expect(answer).toMatchObject({ status: 503, code: "enforcement_unavailable" })
      expect(String(answer)).toMatch(message)
      expect(String(answer)).toMatch(/could not be signed; nothing was sent.*See that it runs/)
      const records = await workspace.records()
      expect(records.at(-1)).toMatchObject({ kind: "refused", stage: "signing", status: 503 })
      expect(`${String(answer)}${JSON.stringify(records)}`).not.toContain("token of the KMS")
      expect(provider.hits).toEqual([])
    },
    20_000
  )
})

describe("signers", () => {
  let home = ""
  beforeEach(() => {
    home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "signers-"))
  })
  afterEach(() => Fs.rmSync(home, { recursive: true }))

  const run = async (signers: Signers) => {
    await using workspace = await Workspace.open({ home, signer: Signer.layer(signers) })
    await using client = clientOf(workspace)
    const jws = await SecureOpenAI.receipt(await ask(client))!.sign()
    return { jws, records: await workspace.records() }
  }
  const signatures = () =>
    Result.getOrThrow(parseNote(Fs.readFileSync(Path.join(home, "audit/checkpoint"), "utf8"))).signatures.length
  const holds = async () =>
    expect((await Effect.runPromise(verify({ log: folderReader(Path.join(home, "audit")) }))).problems).toEqual([])

  it("of another agent key say which one ended: what it signs later does not count", async () => {
    const [old, next] = [remote(), remote()]
    const before = await run({ agent: old })
    const { jws, records } = await run({ agent: next, ended: [{ use: "agent", kid: old.kid, state: "revoked" }] })
    expect(Receipt.verifyInLog(before.jws, records).valid).toBe(true)
    expect(Receipt.verifyInLog(jws, records).valid).toBe(true)
    const history = KeyHistory.of(records)
    expect([old, next].map(({ kid }) => history.stateAt(kid, records.length))).toEqual(["revoked", "active"])
    await holds()
  })

  it("of another log key sign beside the old one, and then alone", async () => {
    const [old, next] = [remote("log"), remote("log")]
    await run({ log: old })
    await expect(run({ log: next })).rejects.toThrow(/another log key/)
    await run({ log: old, nextLog: next })
    expect(signatures()).toBe(2)
    const { records } = await run({ log: next, ended: [{ use: "log", kid: old.kid, state: "retired" }] })
    expect(signatures()).toBe(1)
    expect(records.some((r) => r.kind === "key.retired" && r["kid"] === old.kid)).toBe(true)
    const [vkey] = Result.getOrThrow(parseVerifierKeys(Fs.readFileSync(Path.join(home, "audit/vkey"), "utf8")))
    expect(Buffer.from(vkey!.publicKey).toString("base64url")).toBe(next.jwk.x)
    await holds()
  })

  it("take over from the keys of a home", async () => {
    const next = remote("log")
    await run({})
    await run({ nextLog: next })
    expect(signatures()).toBe(2)
    await run({ log: next })
    await holds()
  })

  it("have one key for one purpose, and none that has ended", async () => {
    const [one, other] = [remote(), remote("log")]
    const bad: ReadonlyArray<Signers> = [
      { agent: one, log: one },
      { agent: { ...one, jwk: { ...one.jwk, kty: "EC" as never } } },
      { agent: { ...one, jwk: { ...one.jwk, crv: "X25519" as never } } },
      { agent: { ...one, kid: other.kid } },
      { agent: one, nextLog: one },
      { log: other, nextLog: other },
      { agent: one, ended: [{ use: "agent", kid: one.kid, state: "retired" }] },
      { nextLog: other, ended: [{ use: "log", kid: other.kid, state: "revoked" }] }
    ]
    for (const signers of bad) await expect(run(signers)).rejects.toBeInstanceOf(ConfigurationError)
  })
})
