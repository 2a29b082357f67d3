import { compactVerify, createLocalJWKSet, importJWK, importSPKI } from "jose"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { KeyHistory, type PublicKeys, type ReadRecord, Receipt, SecureOpenAI } from "../../src/index.ts"
import { parseNote, parseVerifierKeys } from "../../src/audit/proof/Checkpoint.ts"
import * as MockInvocation from "../../src/testing/MockInvocation.ts"
import { Pipeline, Workspace } from "../../src/index.ts"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { run as runCommand } from "./Command.ts"

/** Other libraries under that name sign no Ed25519 from files. */
const hasOpenssl = String(ChildProcess.spawnSync("openssl", ["version"]).stdout).startsWith("OpenSSL 3")

let home = ""
beforeEach(() => {
  home = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "keys-cli-")), "home")
})
afterEach(() => Fs.rmSync(Path.dirname(home), { recursive: true }))

const run = async (...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = await runCommand(args, { env: { ...process.env, SECURE_OPENAI_HOME: home } })
  return { code: status, out: stdout, err: stderr }
}

/** What the last process of an app would publish. */
let published: PublicKeys

/** A process of an app: opens the home, makes a call, and gives its receipt; `then` runs while the log is open. */
const call = async (then: () => Promise<void> = async () => {}) => {
  await using workspace = new Workspace({ home })
  const layer = Pipeline.layer.pipe(Layer.provide(MockInvocation.layer([{ value: { id: "x", choices: [] } }])))
  await using client = new SecureOpenAI({ workspace, layer })
  const answer = await client.chat.completions.create({
    model: "gpt-4o",
    messages: [{ role: "user", content: "Hello" }]
  })
  const receipt = SecureOpenAI.receipt(answer)!
  published = await workspace.publicKeys()
  await then()
  return receipt
}
const records = (): ReadonlyArray<ReadRecord> =>
  Fs.readdirSync(Path.join(home, "audit/journal"))
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .flatMap((name) =>
      Fs.readFileSync(Path.join(home, "audit/journal", name), "utf8")
        .trim()
        .split("\n")
    )
    .map((line) => JSON.parse(line) as ReadRecord)
const text = (name: string) => Fs.readFileSync(Path.join(home, "audit", name), "utf8")
const holds = async () => expect((await run("audit", "verify")).code).toBe(0)
const kidOf = (jws: string) => JSON.parse(Buffer.from(jws.split(".")[0] ?? "", "base64url").toString())["kid"] as string
const secrets = () =>
  Fs.readdirSync(Path.join(home, "keys"))
    .filter((name) => name !== "ended.json")
    .map((name) =>
      Fs.readFileSync(Path.join(home, "keys", name), "utf8")
        .split("\n")
        .find((line) => line !== "" && !line.startsWith("-"))!
    )

describe("secure-openai keys", () => {
  it("rotates the agent key: recorded at once, and each receipt is judged by its place", async () => {
    const before = await call()
    const rotated = await run("keys", "rotate", "agent")
    expect([rotated.code, rotated.err]).toEqual([0, ""])
    expect(rotated.out).toMatch(/takes the place of[^]*audit: recorded/)
    const after = await call()
    expect(kidOf(after.jws)).not.toBe(kidOf(before.jws))
    const log = records()
    const about = log.filter((r) => r["kid"] === kidOf(before.jws) && r.kind.startsWith("key."))
    expect(about.map(({ kind }) => kind).slice(0, 2)).toEqual(["key.active", "key.retired"])
    expect(Receipt.verifyInLog(before.jws, log).valid).toBe(true)
    expect(Receipt.verifyInLog(after.jws, log).valid).toBe(true)
    const history = KeyHistory.of(log)
    expect(history.stateAt(kidOf(before.jws), log.length)).toBe("retired")
    await holds()
    const file = Path.join(Path.dirname(home), "receipt.jws")
    Fs.writeFileSync(file, `${before.jws}\n`)
    expect((await run("audit", "receipt", file)).code).toBe(0)
    const jwks = Path.join(Path.dirname(home), "jwks.json")
    Fs.writeFileSync(jwks, (await run("keys", "export", "agent")).out)
    const byKey = await run("audit", "receipt", file, "--jwk", jwks, "--json")
    expect(byKey.code).toBe(0)
    expect(JSON.parse(byKey.out)).toMatchObject({ valid: true, claims: { leaf: expect.any(Number) } })
    expect(byKey.out.trimEnd()).not.toContain("\n")
    const [head, , signature] = before.jws.split(".")
    const forged = `${head}.${after.jws.split(".")[1]}.${signature}`
    const refused = await run("audit", "receipt", forged)
    expect([refused.code, refused.out]).toEqual([1, ""])
    expect(refused.err).toMatch(/does not hold/)
    const told = await run("audit", "receipt", forged, "--json")
    expect([told.code, told.err]).toEqual([1, ""])
    expect(JSON.parse(told.out)).toEqual({ valid: false, reason: expect.any(String) })
    expect((await run("audit", "receipt", file, "--jwk", "/nowhere")).code).toBe(2)
  }, 60_000)

  it("leaves a process that has the log open as it is: what it writes holds, and the next one takes the key up", async () => {
    const during = await call(async () => {
      const rotated = await run("keys", "rotate", "agent", "--revoke")
      expect(rotated.code).toBe(0)
      expect(rotated.out).toMatch(/not recorded yet[^]*restart/)
      await holds()
    })
    expect(Receipt.verifyInLog(during.jws, records()).valid).toBe(true)
    const after = await call()
    const log = records()
    expect(log.find((r) => r["kid"] === kidOf(during.jws) && r.kind === "key.revoked")).toBeDefined()
    expect(Receipt.verifyInLog(during.jws, log).valid).toBe(true)
    expect(Receipt.verifyInLog(after.jws, log).valid).toBe(true)
    await holds()
  }, 60_000)

  it("rotates the log key: both sign, the log has a line for both, and then the new one alone", async () => {
    await call()
    const old = text("vkey")
    expect((await run("keys", "rotate", "log")).out).toMatch(/both sign until --finish[^]*recorded/)
    const both = text("vkey")
    expect(both.startsWith(old)).toBe(true)
    expect(both.trim().split("\n")).toHaveLength(2)
    const next = Result.getOrThrow(parseVerifierKeys(both))[1]!
    expect(Result.getOrThrow(parseNote(text("checkpoint"))).signatures).toHaveLength(2)
    await holds()
    // Who holds either of the two verifies the log.
    for (const line of both.trim().split("\n")) expect((await run("audit", "verify", "--key", line)).code).toBe(0)
    expect((await run("keys", "export", "--format", "vkey")).out).toBe(both)
    await call()
    expect(published.verifierKeys).toEqual(both.trim().split("\n"))
    const named = records().filter((r) => r.kind === "key.active" && r["vkey"] === both.trim().split("\n")[1])
    expect(named.length).toBeGreaterThan(0)
    expect((await run("keys", "rotate", "log", "--finish")).code).toBe(0)
    expect(Result.getOrThrow(parseVerifierKeys(text("vkey")))).toEqual([next])
    expect(Result.getOrThrow(parseNote(text("checkpoint"))).signatures).toHaveLength(1)
    expect(records().some((r) => r.kind === "key.retired" && r["use"] === "log")).toBe(true)
    await call()
    await holds()
  }, 60_000)

  it("does not finish while a log does not know the next key, and finishes nothing that has not begun", async () => {
    await call()
    expect((await run("keys", "rotate", "log", "--finish")).err).toMatch(/No rotation of the log key/)
    await call(async () => {
      await run("keys", "rotate", "log")
      const early = await run("keys", "rotate", "log", "--finish")
      expect([early.code, early.err]).toEqual([2, expect.stringMatching(/does not know the next key yet/)])
    })
    await call()
    expect((await run("keys", "rotate", "log", "--finish")).code).toBe(0)
    await call()
    await holds()
    expect((await run("keys", "rotate", "agent", "--finish")).code).toBe(2)
    expect((await run("keys", "rotate", "log", "--revoke")).code).toBe(2)
  }, 60_000)

  it("rotates the salt, and says so in the log", async () => {
    await call()
    expect((await run("keys", "rotate", "salt")).code).toBe(0)
    expect(
      records()
        .filter((r) => r["use"] === "salt")
        .map(({ kind }) => kind)
    ).toEqual(["key.retired", "key.active"])
    await holds()
  }, 60_000)

  it("exports keys by which others verify with their own tools, and none that was revoked", async () => {
    const receipt = await call()
    await run("keys", "rotate", "agent")
    const next = await call()
    const printed: PublicKeys["jwks"] = JSON.parse((await run("keys", "export")).out)
    expect(printed).toEqual(published.jwks)
    const set = createLocalJWKSet({ keys: printed.keys.filter((key) => key["secure-openai/use"] === "agent") })
    for (const { envelope, jws } of [receipt, next])
      for (const [text, typ] of [
        [jws, "soai-receipt+jwt"],
        [envelope, "soai-invoke+jwt"]
      ] as const)
        expect((await compactVerify(text, set, { algorithms: ["Ed25519"] })).protectedHeader).toMatchObject({ typ })
    // openssl knows neither JWS nor this project.
    const at = (name: string, content: string | Buffer): string => {
      const path = Path.join(Path.dirname(home), name)
      Fs.writeFileSync(path, content)
      return path
    }
    const pem = (await run("keys", "export", "agent", "--format", "pem")).out
    const block = pem.split(/(?=^# )/m).find((one) => one.includes(kidOf(next.jws)))!
    const [head, body, signature = ""] = next.jws.split(".")
    const signed = at("signed", `${head}.${body}`)
    const openssl = (input: string) =>
      ChildProcess.spawnSync("openssl", [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        at("key.pem", block),
        "-rawin",
        "-in",
        input,
        "-sigfile",
        at("signature", Buffer.from(signature, "base64url"))
      ]).status
    if (hasOpenssl) expect([openssl(signed), openssl(at("other", `${head}.${body}x`))]).toEqual([0, 1])
    expect((await run("keys", "rotate", "agent", "--revoke")).code).toBe(0)
    const jwks = at("jwks.json", (await run("keys", "export", "agent")).out)
    expect(Fs.readFileSync(jwks, "utf8")).not.toContain(kidOf(next.jws))
    expect((await run("keys", "export", "--format", "pem")).out).not.toContain(kidOf(next.jws))
    expect((await run("keys", "list")).out).toMatch(/agent +\S+ +revoked/)
    const refused = await run("audit", "receipt", next.jws, "--jwk", jwks)
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/is by the key/)])
    // Its log knows that it was signed before.
    expect((await run("audit", "receipt", next.jws)).code).toBe(0)
  }, 60_000)

  it("lists and exports what is public, and nothing else", async () => {
    expect((await run("keys", "list")).code).toBe(2)
    expect(Fs.existsSync(home)).toBe(false)
    await call()
    await run("keys", "rotate", "agent")
    await run("keys", "rotate", "log")
    await run("keys", "rotate", "salt")
    const listed = await run("keys", "list")
    expect(
      listed.out
        .trim()
        .split("\n")
        .map((line) => line.replace(/ +\S{43} +/, " "))
    ).toEqual(["agent active", "log active", "log next", "salt active", "agent retired", "salt retired"])
    const json = await run("keys", "list", "--json")
    const jwk = await run("keys", "export")
    const pem = await run("keys", "export", "agent", "--format", "pem")
    const vkey = await run("keys", "export", "log", "--format", "vkey")
    const { keys } = JSON.parse(jwk.out) as { keys: ReadonlyArray<{ kid: string; kty: string }> }
    expect(keys).toHaveLength(4)
    for (const key of keys) {
      expect(Object.keys(key).sort()).toEqual(["alg", "crv", "kid", "kty", "secure-openai/use", "use", "x"])
      await importJWK(key, "Ed25519")
    }
    const blocks = pem.out.match(/-----BEGIN PUBLIC KEY-----[^]*?-----END PUBLIC KEY-----/g) ?? []
    expect(blocks).toHaveLength(2)
    for (const block of blocks) await importSPKI(block, "Ed25519")
    for (const { out } of [listed, json, jwk, pem, vkey]) {
      expect(out).not.toMatch(/PRIVATE|"d"/)
      for (const secret of secrets()) expect(out).not.toContain(secret)
    }
    expect(secrets()).toHaveLength(4)
    Fs.chmodSync(Path.join(home, "keys/agent.pem"), 0o644)
    const open = await run("keys", "list")
    expect([open.code, open.err]).toEqual([2, expect.stringMatching(/chmod 600/)])
  }, 60_000)
})
