/** A clock that was set back: the log's newest record is the evidence, in this process or from an earlier one. */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterEach, beforeEach, expect, it, vi } from "vitest"
import { systemClock } from "../../src/audit/Clock.ts"
import { nodeFileSystem } from "../../src/audit/folder/Disk.ts"
import type * as Journal from "../../src/audit/folder/Journal.ts"
import { EnforcementUnavailableError, SecureOpenAI, Workspace } from "../../src/index.ts"
import { generate, Keys } from "../../src/keys/Keys.ts"
import { type Provider, startProvider } from "../e2e/Provider.ts"
import { openJournal } from "./logs.ts"

let home: string
let provider: Provider
beforeEach(async () => {
  home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-clock-"))
  provider = await startProvider()
})
afterEach(async () => {
  vi.useRealTimers()
  await provider.close()
  Fs.rmSync(home, { recursive: true, force: true })
})

const journalAt = (now: () => number, key = generate("log")): Journal.Journal =>
  openJournal({
    path: Path.join(home, "audit"),
    named: true,
    key,
    // Without a sign of life, so that a test can take its lock from it as if it were dead.
    disk: { ...nodeFileSystem, signs: undefined },
    opening: [],
    clock: { ...systemClock, now }
  })

const clientOf = (workspace: Workspace): SecureOpenAI =>
  new SecureOpenAI({ appName: "app", apiKey: "k", baseURL: provider.url, maxRetries: 0, workspace })

it("is more than 30 s behind a record of this process: calls are hindered until it has caught up", async () => {
  let time = 1_800_000_000_000
  const journal = journalAt(() => time)
  const hindered = () => journal.blocked()?.message
  expect(hindered()).toBeUndefined()
  time -= 30_000
  expect(hindered()).toBeUndefined()
  time -= 1
  expect(hindered()).toMatch(/clock says 2027-01-15T07:59:29.999Z.* a record of 2027-01-15T08:00:00.000Z/)
  time += 1
  expect(hindered()).toBeUndefined()
  // Set forward it hinders nothing.
  time += 86_400_000
  expect(hindered()).toBeUndefined()
  await journal.close()
})

it.each([
  ["closed", async (journal: Journal.Journal) => journal.close()],
  ["never closed", async () => Fs.rmSync(Path.join(home, "audit", "lock"))]
])("is behind a log that an earlier process left, %s: refused by name, nothing is sent", async (_how, leave) => {
  const keys = await Effect.runPromise(
    Effect.provide(Effect.flatMap(Keys, Effect.succeed), Keys.layerDirectory(Path.join(home, "keys")))
  )
  if (!("sign" in keys.log)) throw new Error("a key of the home signs at once")
  const earlier = journalAt(() => Date.now() + 3_600_000, keys.log)
  await new Promise((resolve) => earlier.whenDurable(resolve))
  await leave(earlier)
  await using workspace = new Workspace({ home })
  await using client = clientOf(workspace)
  const calls = [
    () => client.chat.completions.create({ model: "gpt-4", messages: [] }),
    () => client.chat.completions.create({ model: "gpt-4", messages: [], stream: true }),
    () => client.models.list()
  ]
  for (const call of calls) {
    const error = await Promise.resolve(call()).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(EnforcementUnavailableError)
    expect(String(error)).toContain("Set the clock right")
    expect(String(error)).toMatch(
      /a restart does not help: .* once it has passed that time.*another audit path, or .* that folder moved away/
    )
  }
  expect(provider.hits).toHaveLength(0)
  const records = await workspace.records()
  expect(records.filter(({ kind }) => kind === "refused").length).toBeGreaterThanOrEqual(2)
})

it("was ahead while the log was written: another audit path and a folder that was moved away let calls through, a restart does not", async () => {
  const path = Path.join(home, "audit")
  const keys = await Effect.runPromise(
    Effect.provide(Effect.flatMap(Keys, Effect.succeed), Keys.layerDirectory(Path.join(home, "keys")))
  )
  if (!("sign" in keys.log)) throw new Error("a key of the home signs at once")
  const earlier = journalAt(() => Date.now() + 3_600_000, keys.log)
  await new Promise((resolve) => earlier.whenDurable(resolve))
  await earlier.close()
  const ask = async (audit?: { readonly path: string }) => {
    await using workspace = new Workspace({ home, ...(audit && { audit }) })
    await using client = clientOf(workspace)
    return client.chat.completions.create({ model: "gpt-4", messages: [] }).then(
      () => "answered",
      (error: unknown) => (error instanceof EnforcementUnavailableError ? error.reason : error)
    )
  }
  expect([await ask(), await ask()]).toEqual(["clock_behind", "clock_behind"])
  expect(await ask({ path: Path.join(home, "other") })).toBe("answered")
  Fs.renameSync(path, `${path}.evidence`)
  expect(await ask()).toBe("answered")
})

it("is faked by a test: calls go on, and the log keeps the real time", async () => {
  await using workspace = new Workspace({ home })
  await using client = clientOf(workspace)
  await client.chat.completions.create({ model: "gpt-4", messages: [] })
  vi.useFakeTimers({ toFake: ["Date"], now: new Date("2001-01-01") })
  await client.chat.completions.create({ model: "gpt-4", messages: [] })
  vi.useRealTimers()
  expect((await workspace.records()).every(({ ts }) => ts > 1_700_000_000_000)).toBe(true)
})
