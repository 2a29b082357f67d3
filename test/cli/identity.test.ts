import { afterAll, assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { makeIssuer } from "../../src/testing/Tokens.ts"
import { temporaryFolder } from "../audit/logs.ts"

const main = Path.join(import.meta.dirname, "../../src/cli/main.ts")
const home = temporaryFolder()
afterAll(() => Fs.rmSync(home, { recursive: true, force: true }))

const issuer = makeIssuer("https://sso.acme.com/realms/acme", "assistant")
const file = Path.join(home, "issuers.json")
const claims = { roles: [["realm_access", "roles"]], company: "https://example.com/company", allowedRoles: ["analyst"] }
Fs.writeFileSync(file, JSON.stringify([{ ...issuer.options, claims }]))

const run = (args: ReadonlyArray<string>, input = "", env: object = {}) => {
  const { status, stderr, stdout } = ChildProcess.spawnSync(process.execPath, [main, "identity", "explain", ...args], {
    env: { PATH: process.env["PATH"], NO_COLOR: "1", ...env },
    encoding: "utf8",
    input,
    timeout: 20_000
  })
  for (const part of [...args, input.trim()]
    .filter((text) => text.startsWith("eyJ"))
    .flatMap((text) => text.split(".")))
    assert.notInclude(`${stdout}${stderr}`, part, "prints no part of the token")
  return { status, stderr, stdout }
}

const token = issuer.mint({
  preferred_username: "alice",
  realm_access: { roles: ["analyst", "offline_access"] },
  "https://example.com/company": "Acme"
})

describe("secure-openai identity explain", () => {
  it("says what a token becomes, from which claims, and what was dropped", () => {
    const { status, stdout } = run(["--issuers", file, "-"], `${token}\n`)
    assert.strictEqual(status, 0)
    assert.match(stdout, /^ACCEPTED {2}user:alice\n/)
    assert.match(stdout, /issuer +https:\/\/sso\.acme\.com\/realms\/acme\n/)
    assert.match(stdout, /"alg":"Ed25519"/)
    for (const check of ["form", "header", "type", "algorithm", "key", "signature", "claims", "mapping"])
      assert.match(stdout, new RegExp(`  ${check} +holds\n`))
    assert.match(stdout, /user +preferred_username +alice\n/)
    assert.match(stdout, /company +https:\/\/example\.com\/company +Acme\n/)
    assert.match(stdout, /roles +realm_access → roles +offline_access +analyst\n/)
    assert.match(stdout, /policies +user:alice, company:Acme, role:analyst\n/)
  })

  it("prints JSON alone with --json, and takes the token as an argument too", () => {
    const { status, stdout } = run(["--issuers", file, "--json", token])
    assert.strictEqual(status, 0)
    const said = JSON.parse(stdout)
    assert.isTrue(said.accepted)
    assert.deepStrictEqual(said.policies, ["user:alice", "company:Acme", "role:analyst"])
    assert.deepInclude(said.fields, {
      field: "roles",
      values: ["analyst"],
      from: [["realm_access", "roles"]],
      dropped: ["offline_access"]
    })
  })

  it.each<readonly [string, string, string, string]>([
    ["form", "malformed", "a.b", "three parts"],
    ["header", "algorithm", issuer.mint({}, { header: { alg: "none" } }), "asymmetric"],
    ["issuer", "issuer", issuer.mint({ iss: "https://x.example" }), "issuers"],
    ["type", "type", issuer.mint({ nonce: "n" }), "access token"],
    ["algorithm", "algorithm", issuer.mint({}, { header: { alg: "EdDSA" } }), "Allowed:"],
    ["key", "unknown_key", issuer.mint({}, { header: { kid: "x" } }), "kid"],
    ["signature", "signature", `${issuer.mint().split(".").slice(0, 2).join(".")}.AAAA`, "not signed by the key"],
    ["claims", "audience", issuer.mint({ aud: "other" }), "audience"],
    ["mapping", "claim", issuer.mint({ team: 7 }), '"team"']
  ])("names the check that does not hold: %s", (check, reason, wrong, hint) => {
    const { status, stdout } = run(["--issuers", file, "-"], wrong)
    assert.strictEqual(status, 1)
    assert.match(stdout, new RegExp(`^REFUSED {2}${reason}\n`))
    assert.match(stdout, new RegExp(`  ${check} +does not hold\n`))
    assert.include(stdout, hint)
  })

  it("takes the issuer from the environment or flags, and cannot run without one", () => {
    const env = { SECURE_OPENAI_ISSUER: issuer.options.issuer, SECURE_OPENAI_AUDIENCE: "assistant" }
    const down = run(["--jwks-uri", "http://127.0.0.1:1/jwks", "-"], token, {
      ...env,
      SECURE_OPENAI_CLAIMS: '{"user":"sub"}'
    })
    assert.strictEqual(down.status, 1)
    assert.include(down.stdout, "keys_unavailable")
    for (const [args, variables] of [
      [["-"], {}],
      [["-"], { ...env, SECURE_OPENAI_CLAIMS: "none" }],
      [["-"], { ...env, SECURE_OPENAI_CLAIMS: "{" }],
      [["--issuer", "https://x.example", "-"], {}],
      [["--issuers", Path.join(home, "nothing"), "-"], {}]
    ] as const) {
      const { status, stderr } = run(args, token, variables)
      assert.strictEqual(status, 2)
      assert.notStrictEqual(stderr, "")
    }
  })
})
