/**
 * The two rules of digests (audit format, "Digests of content"): what is written today, and a log with receipts from before
 * the second rule, made by version 0.1.0 before it and kept in `digests1`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { verify } from "../../src/audit/proof/Verify.ts"
import { folderReader } from "../../src/audit/folder/FolderReader.ts"
import { readLines } from "../../src/audit/Lines.ts"
import { Pipeline, type ReadRecord, Receipt, SecureOpenAI, Workspace } from "../../src/index.ts"
import { canonicalize } from "../../src/base/CanonicalJson.ts"
import * as MockInvocation from "../../src/testing/MockInvocation.ts"
import { testClient } from "../../src/testing/index.ts"

const sha = (...parts: ReadonlyArray<Uint8Array | string>): Buffer => {
  const hash = Crypto.createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest()
}
const rules = {
  1: (salt: string, content: string) => `sha-256:${sha(Buffer.from(salt, "base64url"), content).toString("base64url")}`,
  2: (salt: string, content: string) =>
    `sha-256:${sha(Buffer.from(salt, "base64url"), sha(content)).toString("base64url")}`
}

const folder = Path.join(import.meta.dirname, "digests1")
const log = Path.join(folder, "log")
interface Kept {
  readonly asked: object
  readonly sent: string
  readonly response?: string
  readonly receipt: {
    readonly requested: string
    readonly effective: string
    readonly index: number
    readonly jws: string
    readonly salts: Readonly<Record<string, string>>
    readonly changes: ReadonlyArray<{ readonly path: string; readonly from?: unknown; readonly to?: unknown }>
  }
}
const kept = JSON.parse(Fs.readFileSync(Path.join(folder, "calls.json"), "utf8")) as ReadonlyArray<Kept>
const recordsOf = async (path: string): Promise<ReadonlyArray<ReadRecord>> =>
  (await Array.fromAsync(readLines(folderReader(path)))).flatMap(({ record }) => record ?? [])

const python = ["/usr/bin/python3", "python3"].find((command) => {
  try {
    execFileSync(command, ["-c", "import cryptography"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})
const verifier = Path.join(import.meta.dirname, "../verifier/verify.py")

describe("a log and receipts of the first rule", () => {
  it("verify", async () => {
    const report = await Effect.runPromise(verify({ log: folderReader(log) }))
    assert.deepStrictEqual(report.problems, [])
    assert.isTrue(report.ok)
    const records = await recordsOf(log)
    for (const { receipt } of kept) assert.strictEqual(Receipt.verifyInLog(receipt.jws, records).valid, true)
    assert.isTrue(records.every((record) => !("digests" in record)))
  })

  it("have the digests that the first rule gives", async () => {
    const records = await recordsOf(log)
    for (const { asked, receipt, response, sent } of kept) {
      const { changes, salts } = receipt
      assert.strictEqual(receipt.requested, rules[1](salts["requested"]!, canonicalize(asked)))
      assert.strictEqual(receipt.effective, rules[1](salts["effective"]!, sent))
      const outcome = records.find(({ decision, kind }) => kind === "outcome" && decision === receipt.index)
      assert.strictEqual(outcome?.["response"], response && rules[1](salts["response"]!, response))
      for (const { from, path } of changes)
        if (path === "user") assert.strictEqual(from, rules[1](salts["edits/user/from"]!, '"me"'))
    }
  })

  it("do not pass for the second", async () => {
    const records = await recordsOf(log)
    const [{ receipt }] = kept as [Kept]
    const altered = records.map((record) => (record.seq === receipt.index ? { ...record, digests: 2 } : record))
    assert.isFalse(Receipt.verifyInLog(receipt.jws, altered).valid)
  })
})

const asked = { temperature: 0.5, model: "gpt-4o", messages: [{ role: "user" as const, content: "Grüße, 😀" }] }

describe("digests that are written today", () => {
  it("are of the bytes as they were asked, sent and answered, hashed once", async () => {
    const { client, records: recordsOfClient } = testClient({
      policies: [
        {
          policy_id: "app:test-app",
          resources: ["**"],
          constraints: {
            parameters: {
              "tool:**": { max_tokens: { max: 5 }, user: { allowed_values: ["x"], on_violation: "rewrite" } }
            }
          }
        }
      ]
    })
    const raw = await client.chat.completions.create({ ...asked, user: "me" }).asResponse()
    const text = await raw.text()
    const receipt = SecureOpenAI.receipt(raw)!
    const salts = receipt.salts
    assert.strictEqual(receipt.digests, 2)
    assert.strictEqual(receipt.requested, rules[2](salts["requested"]!, JSON.stringify({ ...asked, user: "me" })))
    assert.strictEqual(
      receipt.effective,
      rules[2](salts["effective"]!, JSON.stringify({ ...asked, user: "x", max_tokens: 5 }))
    )
    const edit = receipt.changes.find(({ path }) => path === "user")
    assert.deepStrictEqual(edit, {
      path: "user",
      from: rules[2](salts["edits/user/from"]!, '"me"'),
      to: rules[2](salts["edits/user/to"]!, '"x"'),
      policy: "app:test-app"
    })
    const records = await recordsOfClient()
    const outcome = records.find(({ kind }) => kind === "outcome")
    assert.strictEqual(outcome?.["response"], rules[2](salts["response"]!, text))
    for (const { digests, kind } of records)
      assert.strictEqual(digests, ["decision", "outcome"].includes(kind) ? 2 : undefined, kind)
    const claims = Receipt.verifyInLog(receipt.jws, records)
    assert.isTrue(claims.valid)
    assert.strictEqual(claims.valid && claims.claims.digests, 2)
    // Without the field the first rule would hold, by which other bytes were asked.
    const altered = records.map(({ digests: _, ...record }) => record)
    assert.isFalse(Receipt.verifyInLog(receipt.jws, altered as ReadonlyArray<ReadRecord>).valid)
    await client.close()
  })

  it("stand in a refusal too", async () => {
    const { client, records: recordsOfClient } = testClient({
      policies: [{ policy_id: "app:test-app", resources: ["tool:nothing/*"] }]
    })
    await client.chat.completions.create(asked).catch(() => undefined)
    const refused = (await recordsOfClient()).find(({ kind }) => kind === "refused")
    assert.strictEqual(refused?.["digests"], 2)
    assert.isString(refused?.["requested"])
    await client.close()
  })
})

describe.skipIf(python === undefined)("the verifier in Python", () => {
  const run = (...args: ReadonlyArray<string>): { readonly ok: boolean; readonly message?: string } => {
    try {
      return JSON.parse(execFileSync(python!, [verifier, ...args, "--json"], { encoding: "utf8" })) as { ok: boolean }
    } catch (error) {
      return JSON.parse((error as { readonly stdout: string }).stdout) as { ok: boolean; message: string }
    }
  }
  const scratch = Fs.mkdtempSync(Path.join(Os.tmpdir(), "digests-"))
  const file = (name: string, content: string): string => {
    const path = Path.join(scratch, name)
    Fs.writeFileSync(path, content)
    return path
  }

  it("knows both rules", { timeout: 60_000 }, async () => {
    const [old] = kept as [Kept]
    const jws = file("old.jws", old.receipt.jws)
    const of = (field: string, content: string, salts: Readonly<Record<string, string>>) => [
      `--content=${field}=${file(field, content)}`,
      `--salt=${salts[field]}`
    ]
    assert.isTrue(run(log, "--receipt", jws, ...of("effective", old.sent, old.receipt.salts)).ok)
    assert.isTrue(run(log, "--receipt", jws, ...of("requested", canonicalize(old.asked), old.receipt.salts)).ok)
    assert.isTrue(run(log, "--receipt", jws, ...of("response", old.response!, old.receipt.salts)).ok)
    assert.include(
      run(log, "--receipt", jws, ...of("effective", `${old.sent} `, old.receipt.salts)).message,
      "effective"
    )

    const home = Path.join(scratch, "home")
    const workspace = await Workspace.open({ home })
    const client = new SecureOpenAI({
      appName: "shop",
      workspace,
      apiKey: "test",
      layer: Pipeline.layer.pipe(Layer.provide(MockInvocation.layer(["ok"])))
    })
    const answer = await client.chat.completions.create(asked)
    const receipt = SecureOpenAI.receipt(answer)!
    await client.close()
    await workspace.close()
    const audit = Path.join(home, "audit")
    const today = file("new.jws", receipt.jws)
    assert.isTrue(run(audit, "--receipt", today, ...of("requested", JSON.stringify(asked), receipt.salts)).ok)
    const other = run(audit, "--receipt", today, ...of("requested", canonicalize(asked), receipt.salts))
    assert.include(other.message, "requested")
    Fs.rmSync(scratch, { recursive: true })
  })
})
