/**
 * Refusals that anybody can cause, as fast as the network brings them: counted, and written together. Those of callers of whom a
 * signature was verified stay records of their own.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Fs from "node:fs"
import { ResponsesWS } from "openai/resources/responses/ws"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { Audit } from "../../src/audit/Audit.ts"
import { Disk, nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import type { Body, ReadRecord } from "../../src/audit/Record.ts"
import { encode } from "../../src/audit/RecordLine.ts"
import { folderReader } from "../../src/audit/folder/FolderReader.ts"
import { readLines } from "../../src/audit/Lines.ts"
import { Refusals } from "../../src/audit/Refusals.ts"
import { IdentityReason } from "../../src/call/Errors.ts"
import { Keys } from "../../src/keys/Keys.ts"
import { AgentClient, secureFetch, type SecureOptions, type Workspace, type WorkspaceOptions } from "../../src/index.ts"
import { makeIssuer, mintToken, testIssuer } from "../../src/testing/index.ts"
import { openProvider } from "../e2e/fixture.ts"
import { FaultyDisk } from "./FaultyDisk.ts"
import { check, key, openJournal, openLog, temporaryFolder } from "./logs.ts"

type Many = Extract<Body, { kind: "refused.many" }>

describe("refusals that are counted", () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const collecting = (takes: () => boolean = () => true) => {
    const written: Array<Many> = []
    const refusals = new Refusals((body) => {
      if (body.kind !== "refused.many") throw new Error(body.kind)
      return takes() && written.push(body) > 0
    })
    return { refusals, written }
  }

  it("are one record, taken in within a second of the first, and exact", () => {
    const { refusals, written } = collecting()
    const from = Date.now()
    for (let i = 0; i < 10_000; i++)
      refusals.add({ code: i % 3 === 0 ? "malformed" : "signature", issuer: "https://issuer", kid: `k${i % 2}` })
    vi.advanceTimersByTime(1000)
    expect(written).toEqual([
      {
        kind: "refused.many",
        from: expect.any(Number),
        to: expect.any(Number),
        count: 10_000,
        codes: [
          { code: "malformed", count: 3334 },
          { code: "signature", count: 6666 }
        ],
        samples: [
          { iss: "https://issuer", kid: "k0" },
          { iss: "https://issuer", kid: "k1" }
        ]
      }
    ])
    expect(written[0]!.from).toBeGreaterThanOrEqual(from - 1000)
    expect(written[0]!.to).toBeGreaterThanOrEqual(written[0]!.from)
    vi.advanceTimersByTime(60_000)
    expect(written).toHaveLength(1)
  })

  it("are a record a second while they go on, and none is lost in between", () => {
    const { refusals, written } = collecting()
    for (let i = 0; i < 10_000; i++) {
      refusals.add({ code: "issuer" })
      vi.advanceTimersByTime(1)
    }
    refusals.write()
    expect(written.length).toBeLessThanOrEqual(12)
    expect(written.reduce((sum, { count }) => sum + count, 0)).toBe(10_000)
  })

  it("show the first five that differ, each text cut, whatever a token says", () => {
    const { refusals, written } = collecting()
    const texts = ["\u0000", "\ud800", "\u{1f600}", '"', "\u202e", "\\", "x", "é", "\u2028"]
    for (const text of texts)
      for (let i = 0; i < 20; i++) {
        refusals.add({ code: "issuer", issuer: text.repeat(8000), kid: `${text.repeat(i)}` })
        refusals.add({ code: "malformed" })
      }
    refusals.write()
    expect(written[0]!.count).toBe(360)
    expect(written[0]!.samples).toHaveLength(5)
    const head = {
      v: 1 as const,
      seq: Number.MAX_SAFE_INTEGER,
      id: "i".repeat(36),
      ts: Date.now(),
      boot: "b".repeat(36)
    }
    const codes = [...IdentityReason.literals, "clock_set_back", "enforcement_unavailable", "policy_denied", "aborted"]
    for (const text of texts) {
      const one = collecting()
      for (const code of codes)
        one.refusals.add({ code, issuer: code + text.repeat(8000), kid: code + text.repeat(8000) })
      one.refusals.write()
      expect(Buffer.byteLength(encode({ ...head, ...one.written[0]! }))).toBeLessThanOrEqual(2500)
    }
  })

  it("are kept while the log takes nothing, and are all in the record that it takes", () => {
    let takes = false
    const { refusals, written } = collecting(() => takes)
    for (let i = 0; i < 5; i++) {
      refusals.add({ code: "signature" })
      vi.advanceTimersByTime(1000)
    }
    expect(written).toEqual([])
    takes = true
    vi.advanceTimersByTime(1000)
    expect(written.map(({ count }) => count)).toEqual([5])
  })

  it("are written at the end, and no timer is left", () => {
    const { refusals, written } = collecting()
    refusals.add({ code: "signature" })
    refusals.end()
    refusals.add({ code: "signature" })
    expect(written.map(({ count }) => count)).toEqual([1])
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe("a log", () => {
  const kindsAt = async (path: string): Promise<ReadonlyArray<string>> =>
    (await Array.fromAsync(readLines(folderReader(path)))).map(({ record }) => record?.kind ?? "?")

  it("has on the disk what was counted once it is closed, and is intact", async () => {
    const path = temporaryFolder()
    try {
      const journal = openJournal({ path, named: true, key, disk: nodeFileSystem, opening: [] })
      journal.refusals.add({ code: "signature", issuer: "https://issuer", kid: "k" })
      await journal.close()
      expect(await kindsAt(path)).toEqual(["log.open", "refused.many", "log.close"])
      expect(await check({ path })).toMatchObject({ ok: true, records: 3, unsigned: 0, open: 0 })
    } finally {
      Fs.rmSync(path, { recursive: true })
    }
  })

  it("has it on the disk soon, without anybody that waits", async () => {
    const path = temporaryFolder()
    const journal = openJournal({ path, named: true, key, disk: nodeFileSystem, opening: [] })
    try {
      journal.refusals.add({ code: "signature" })
      await vi.waitFor(async () => expect(await kindsAt(path)).toContain("refused.many"), { timeout: 20_000 })
    } finally {
      await journal.close()
      Fs.rmSync(path, { recursive: true })
    }
  })

  it("that failed has it once it goes on", async () => {
    const disk = new FaultyDisk()
    const journal = openLog(disk, { retryDelay: 0 })
    disk.failAt(disk.asked.length, "ENOSPC")
    journal.append({ kind: "policy.rejected", rev: "r", reason: "s" })
    await new Promise<void>((resolve) => journal.whenDurable(() => resolve()))
    journal.refusals.add({ code: "signature" })
    journal.refusals.write()
    disk.heal()
    journal.refusals.add({ code: "malformed" })
    await vi.waitFor(async () => {
      journal.refusals.write()
      const lines = await Array.fromAsync(readLines(journal.reader))
      expect(many(lines.flatMap(({ record }) => record ?? [])).map(({ count }) => count)).toEqual([2])
    })
    await journal.close()
  })
})

const many = (records: ReadonlyArray<ReadRecord>): ReadonlyArray<Many> =>
  records.filter((record) => record.kind === "refused.many") as unknown as ReadonlyArray<Many>

describe("a caller", async () => {
  const { openClient, openWorkspace, provider } = await openProvider()
  const ask = { model: "gpt-4", messages: [{ role: "user" as const, content: "hi" }] }
  const elsewhere = makeIssuer("https://elsewhere.test", testIssuer.audience)
  const forger = makeIssuer(testIssuer.issuer, testIssuer.audience)
  const { kid } = testIssuer.jwks.keys[0]!

  const unverified: ReadonlyArray<readonly [string, string]> = [
    ["missing", ""],
    ["malformed", "x"],
    ["malformed", `${mintToken()}.${mintToken()}`],
    ["malformed", mintToken({}, { header: { jku: "https://evil.test" } })],
    ["algorithm", mintToken({}, { header: { alg: "none" } })],
    ["algorithm", mintToken({}, { header: { alg: "HS256" } })],
    ["issuer", elsewhere.mint()],
    ["issuer", mintToken({ iss: 7 })],
    ["type", mintToken({}, { header: { typ: "logout+jwt" } })],
    ["unknown_key", forger.mint()],
    ["unknown_key", mintToken({}, { header: { kid: 7 } })],
    ["signature", forger.mint({}, { header: { kid } })],
    ["signature", forger.mint({}, { header: { kid }, expiresIn: -120 })]
  ]
  const verified: ReadonlyArray<readonly [string, string]> = [
    ["expired", mintToken({}, { expiresIn: -120 })],
    ["not_yet_valid", mintToken({}, { now: Date.now() + 3_600_000 })],
    ["audience", mintToken({ aud: "other" })],
    ["claim", mintToken({ sub: "" })],
    ["claim", mintToken({ iat: "now" })]
  ]

  const open = (options: WorkspaceOptions = {}) => {
    const workspace = openWorkspace({
      issuers: testIssuer,
      policies: [{ policy_id: "app:app", resources: ["**"] }],
      ...options
    })
    const client = (more: SecureOptions = {}) => openClient({ appName: "app", workspace, ...more })
    return { client, workspace }
  }
  type Open = ReturnType<typeof open>

  /** Every way by which a request may be refused. */
  const doors: Readonly<Record<string, (opened: Open, token: string) => Promise<unknown>>> = {
    "asUser()": async ({ client }, token) => client().asUser(token),
    "asUser() with a function": async ({ client }, token) => client().asUser(() => Promise.resolve(token)),
    "register()": async ({ workspace }, token) =>
      new AgentClient({ appName: "app", iamToken: token, workspace }).register(),
    "a call": async ({ client }, token) => client({ jwtToken: token }).chat.completions.create(ask),
    "a stream": async ({ client }, token) =>
      client({ jwtToken: token }).chat.completions.create({ ...ask, stream: true }),
    "a family that passes": async ({ client }, token) => client({ jwtToken: token }).models.list(),
    "secureFetch with another URL": async ({ client }, token) =>
      secureFetch(client({ jwtToken: token }))("https://evil.test/v1/models"),
    "a body that is not JSON": async ({ client }, token) =>
      secureFetch(client({ jwtToken: token }))("https://api.openai.com/v1/chat/completions", {
        method: "POST",
        body: '{"model":"a","model":"b"}'
      }),
    "a header that is not the SDK's": async ({ client }, token) =>
      client({ jwtToken: token }).chat.completions.create(ask, { headers: { "x-evil": "1" } }),
    "a WebSocket": async ({ client }, token) => new ResponsesWS(client({ jwtToken: token })),
    "a binding without register()": async ({ client, workspace }, token) =>
      client().bindToUser(new AgentClient({ appName: "app", iamToken: token, workspace }))
  }

  const refusedBy = async (door: string, opened: Open, token: string): Promise<boolean> =>
    doors[door]!(opened, token).then(
      (answer) => answer instanceof Response && answer.status >= 400,
      (error: unknown) => error instanceof Error
    )

  /** The records of refusals, once there are as many refusals as there should be. */
  const told = async (workspace: Workspace, count: number): Promise<ReadonlyArray<ReadRecord>> =>
    vi.waitFor(async () => {
      const records = (await workspace.records()).filter(({ kind }) => kind.startsWith("refused"))
      expect(records.reduce((sum, record) => sum + Number(record["count"] ?? 1), 0)).toBe(count)
      return records
    })

  it.each(Object.keys(doors))("whose token nobody signed is counted: %s", async (door) => {
    const opened = open()
    for (const [, token] of unverified) expect(await refusedBy(door, opened, token)).toBe(true)
    const records = await told(opened.workspace, unverified.length)
    expect(records.filter(({ kind }) => kind === "refused")).toEqual([])
    const counts = new Map<string, number>()
    for (const [code] of unverified) counts.set(code, (counts.get(code) ?? 0) + 1)
    const found = new Map<string, number>()
    for (const { codes } of many(records))
      for (const { code, count } of codes) found.set(code, (found.get(code) ?? 0) + count)
    expect(found).toEqual(counts)
    expect(JSON.stringify(records)).not.toContain("alice")
    expect(provider.hits).toEqual([])
  })

  it.each(Object.keys(doors))("of whose token a signature was verified has a record each: %s", async (door) => {
    const opened = open()
    for (const [, token] of verified) expect(await refusedBy(door, opened, token)).toBe(true)
    const records = await told(opened.workspace, verified.length)
    expect(records.map(({ kind }) => kind)).toEqual(verified.map(() => "refused"))
  })

  it("is counted on the disk once flush() is through", async () => {
    const path = temporaryFolder()
    try {
      const { client, workspace } = open({ home: path, audit: { path: `${path}/audit` } })
      await client()
        .asUser("x")
        .catch(() => undefined)
      await workspace.flush()
      const found = await Array.fromAsync(readLines(folderReader(`${path}/audit`)))
      expect(found.at(-1)?.record).toMatchObject({ kind: "refused.many", count: 1 })
      await workspace.close()
    } finally {
      Fs.rmSync(path, { recursive: true })
    }
  })

  it("is named where its token is good, and the request is refused at the door", async () => {
    const opened = open()
    await refusedBy("a header that is not the SDK's", opened, mintToken())
    expect(await told(opened.workspace, 1)).toMatchObject([
      { kind: "refused", code: "foreign_header", principal: { kind: "user", id: "alice", iss: testIssuer.issuer } }
    ])
  })

  it("whose key its issuer withdrew has a record each where its token was verified before", async () => {
    let current = mintToken()
    const { client, workspace } = open()
    const alice = await client().asUser(() => Promise.resolve(current))
    const now = Date.now()
    vi.spyOn(Date, "now").mockImplementation(() => now + 7_200_000)
    try {
      current = forger.mint({}, { now: now + 7_200_000 })
      await expect(alice.models.list()).rejects.toMatchObject({ reason: "unknown_key" })
    } finally {
      vi.restoreAllMocks()
    }
    expect(await told(workspace, 1)).toMatchObject([{ kind: "refused", violations: [{ code: "unknown_key" }] }])
  })

  it("that hangs up before it is identified is counted", async () => {
    const { client, workspace } = open()
    const call = client({ jwtToken: () => new Promise<string>(() => {}) }).chat.completions.create(ask, {
      signal: AbortSignal.timeout(20)
    })
    await expect(call).rejects.toThrow("aborted")
    expect(await told(workspace, 1)).toMatchObject([{ kind: "refused.many", codes: [{ code: "aborted", count: 1 }] }])
  })

  it("comes thousands of times, and leaves a few records", async () => {
    const { client, workspace } = open()
    const service = client()
    let refused = 0
    for (let i = 0; i < 30; i++)
      await Promise.all(Array.from({ length: 100 }, () => service.asUser("x").catch(() => void refused++)))
    expect(refused).toBe(3000)
    expect((await told(workspace, 3000)).length).toBeLessThan(60)
  })

  it("waits for no disk, and is told of its token where the log fails", async () => {
    const disk = new FaultyDisk()
    const refusal = {
      stage: "identity",
      code: "identity_invalid",
      status: 401,
      violations: [],
      unverified: { code: "x" }
    }
    await Effect.gen(function* () {
      const audit = yield* Audit
      yield* audit.flush
      const before = disk.asked.length
      for (let i = 0; i < 100; i++) yield* audit.refuse({ ...refusal, call: "c", tool: "t", app: "a" })
      expect(disk.asked.slice(before).filter((what) => /write|sync/.test(what))).toEqual([])
      disk.failAt(disk.asked.length, "ENOSPC")
      expect(yield* Effect.exit(audit.policyRejected({ revision: "r", reason: "s" }))).toMatchObject({
        _tag: "Failure"
      })
      yield* audit.refuse({ ...refusal, call: "c", tool: "t", app: "a" })
      disk.heal()
    }).pipe(
      Effect.provide(Layer.provide(Audit.layer({ path: "/log", named: true }), Keys.layerMemory)),
      Effect.provideService(Disk, disk),
      Effect.runPromise
    )
  })
})
