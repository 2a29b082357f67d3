/** A WebSocket of the service is recorded; its end is not known, and the log is intact all the same. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { OpenAIRealtimeWS } from "openai/realtime/ws"
import { expect, it } from "vitest"
import { SecureOpenAI, Workspace } from "../../src/index.ts"
import { check, temporaryFolder } from "../audit/logs.ts"
import { python, runBatch } from "./Python.ts"

it("a log with a WebSocket verifies by both verifiers, and no longer once a file of it is a link", async () => {
  const home = temporaryFolder()
  const workspace = new Workspace({ home })
  const client = new SecureOpenAI({ appName: "lab", apiKey: "k", workspace, baseURL: "http://127.0.0.1:9/v1" })
  const socket = new OpenAIRealtimeWS({ model: "gpt-realtime" }, client)
  await new Promise((resolve) => socket.on("error", resolve))
  await client.close()
  const records = await workspace.records()
  expect(records.filter(({ kind }) => kind === "outcome")).toMatchObject([{ result: "unknown" }])
  await workspace.close()
  const path = Path.join(home, "audit")
  expect(await check({ path })).toMatchObject({ ok: true, open: 0 })
  if (python !== undefined) expect(await runBatch([{ path }])).toMatchObject([{ ok: true, exit: 0 }])

  // A link is no part of a log, to neither verifier.
  const checkpoint = Path.join(path, "checkpoint")
  Fs.renameSync(checkpoint, `${checkpoint}.moved`)
  Fs.symlinkSync(`${checkpoint}.moved`, checkpoint)
  expect((await check({ path })).ok).toBe(false)
  if (python !== undefined) expect(await runBatch([{ path }])).toMatchObject([{ ok: false }])
  Fs.rmSync(home, { recursive: true })
})
