import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { makeIssuer } from "../../src/testing/Tokens.ts"
import { temporaryFolder } from "../audit/logs.ts"
import { audience, startProvider } from "../identity/provider.ts"
import { run as runCommand } from "./Command.ts"

const home = temporaryFolder()
afterAll(() => Fs.rmSync(home, { recursive: true, force: true }))

const issuer = makeIssuer("https://sso.acme.com/realms/acme", "assistant")
const file = Path.join(home, "issuers.json")
const empty = Path.join(home, "empty.json")
Fs.writeFileSync(empty, "[]")
const claims = { roles: [["realm_access", "roles"]], company: "https://example.com/company", allowedRoles: ["analyst"] }
Fs.writeFileSync(file, JSON.stringify([{ ...issuer.options, claims }]))

const run = async (args: ReadonlyArray<string>, input = "", env: object = {}) => {
  const ended = await runCommand(["identity", "explain", ...args], { env: { NO_COLOR: "1", ...env }, input })
  const { stderr, stdout } = ended
  for (const part of [...args, input.trim()]
    .filter((word) => word.startsWith("eyJ"))
    .flatMap((word) => word.split(".")))
    assert.notInclude(`${stdout}${stderr}`, part, "prints no part of the token")
  return ended
}

const token = issuer.mint({
  preferred_username: "alice",
  realm_access: { roles: ["analyst", "offline_access"] },
  "https://example.com/company": "Acme"
})

describe("secure-openai identity explain", () => {
  it("says what a token becomes, from which claims, and what was dropped", async () => {
    const { status, stdout } = await run(["--issuers", file, "-"], `${token}\n`)
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

  it("says what the option within pins and puts before names, and warns of two issuers without it", async () => {
    const other = makeIssuer("https://beta.example", "assistant")
    const at = (within?: object | string) => {
      const path = Path.join(home, `within-${JSON.stringify(within)?.length ?? 0}.json`)
      Fs.writeFileSync(
        path,
        JSON.stringify([
          { ...issuer.options, claims },
          { ...other.options, within }
        ])
      )
      return path
    }
    const theirs = other.mint({ preferred_username: "alice", company: "Acme", roles: ["admin"] })
    const apart = await run(["--issuers", at("company:Beta"), theirs])
    assert.match(apart.stdout, /^ACCEPTED {2}user:Beta\/alice\n/)
    assert.match(apart.stdout, /company +none: pinned by the option within +Acme +Beta\n/)
    assert.match(apart.stdout, /user +preferred_username, after "Beta\/" +Beta\/alice\n/)
    assert.match(apart.stdout, /roles +roles, after "Beta\/" +Beta\/admin\n/)
    assert.notInclude(apart.stdout, "may give the same names")
    const mixed = await run(["--issuers", at(), "--json", theirs])
    const { policies, warnings } = JSON.parse(mixed.stdout)
    assert.deepStrictEqual(policies, ["user:alice", "company:Acme", "role:admin"])
    assert.match(warnings[0], /acme and https:\/\/beta.example may give the same names \(company, bu, team, user/)
  })

  it("prints JSON alone with --json, and takes the token as an argument too", async () => {
    const { status, stdout } = await run(["--issuers", file, "--json", token])
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
  ])("names the check that does not hold: %s", async (check, reason, wrong, hint) => {
    const { status, stdout } = await run(["--issuers", file, "-"], wrong)
    assert.strictEqual(status, 1)
    assert.match(stdout, new RegExp(`^REFUSED {2}${reason}\n`))
    assert.match(stdout, new RegExp(`  ${check} +does not hold\n`))
    assert.include(stdout, hint)
  })

  const env = { SECURE_OPENAI_ISSUER: issuer.options.issuer, SECURE_OPENAI_AUDIENCE: "assistant" }
  it("takes the issuer from the environment or flags", async () => {
    const down = await run(["--jwks-uri", "http://127.0.0.1:1/jwks", "-"], token, {
      ...env,
      SECURE_OPENAI_CLAIMS: '{"user":"sub"}'
    })
    assert.strictEqual(down.status, 1)
    assert.include(down.stdout, "keys_unavailable")
  })

  it.each<readonly [what: string, args: ReadonlyArray<string>, env: object, hint: string]>([
    ["no issuer", ["-"], {}, "--issuer and --audience"],
    ["a preset that is none", ["-"], { ...env, SECURE_OPENAI_CLAIMS: "none" }, '"keycloak"'],
    ["a mapping that is no JSON", ["-"], { ...env, SECURE_OPENAI_CLAIMS: "{" }, "SECURE_OPENAI_CLAIMS"],
    ["a flag that is no JSON", ["--claims", "{", "-"], env, "--claims"],
    ["half of an environment", ["-"], { SECURE_OPENAI_ISSUER: "https://x.example" }, "go together"],
    ["no audience", ["--issuer", "https://x.example", "-"], {}, "audience"],
    ["no file", ["--issuers", Path.join(home, "nothing"), "-"], {}, "nothing cannot be read as JSON"],
    ["a file without issuers", ["--issuers", empty, "-"], {}, "names no issuer"],
    ["flags beside a file", ["--issuers", file, "--audience", "other", "-"], {}, "leave --issuer, --audience"]
  ])("cannot run with %s", async (_, args, variables, hint) => {
    const { status, stderr } = await run(args, token, variables)
    assert.strictEqual(status, 2)
    assert.include(stderr, hint)
  })
})

describe("secure-openai identity explain, with a real OpenID provider", () => {
  let provider: Awaited<ReturnType<typeof startProvider>>
  beforeAll(async () => {
    vi.spyOn(console, "warn").mockReturnValue()
    vi.spyOn(console, "info").mockReturnValue()
    provider = await startProvider("one")
  })
  afterAll(() => {
    vi.restoreAllMocks()
    provider.close()
  })
  const mapping = '{"roles":["realm_access","roles"],"team":"https://acme.example/team"}'
  const named = () => ["--issuer", provider.url, "--audience", audience, "--claims", mapping, "-"]

  it("finds the keys by discovery, and says what the token becomes", async () => {
    const { status, stdout } = await run(named(), await provider.token())
    assert.strictEqual(status, 0)
    assert.match(stdout, /^ACCEPTED {2}user:alice\n/)
    assert.match(stdout, /"typ":"at\+jwt","kid":"one"/)
    assert.match(stdout, /team +https:\/\/acme\.example\/team +Lab\n/)
    assert.match(stdout, /policies +user:alice, company:Acme, team:Lab, role:analyst\n/)
  })

  it("does the same by the environment, with the address of the key set", async () => {
    const good = await run(["--json", "-"], await provider.token(), {
      SECURE_OPENAI_ISSUER: provider.url,
      SECURE_OPENAI_AUDIENCE: audience,
      SECURE_OPENAI_JWKS_URI: `${provider.url}/jwks`,
      SECURE_OPENAI_CLAIMS: mapping
    })
    assert.strictEqual(good.status, 0)
    assert.deepStrictEqual(JSON.parse(good.stdout).policies, ["user:alice", "company:Acme", "team:Lab", "role:analyst"])
  })

  it(
    "tells a token of a withdrawn key, of another audience, of another issuer and a forged one apart",
    { timeout: 180_000 },
    async () => {
      const before = await provider.token()
      await provider.rotate("two")
      const after = await provider.token()
      const forged = makeIssuer(provider.url, audience).mint({}, { header: { kid: "two", alg: "ES256" } })
      for (const [args, presented, expected] of [
        [named(), after, "ACCEPTED  user:alice"],
        [named(), before, "REFUSED  unknown_key"],
        [named(), forged, "REFUSED  signature"],
        [["--issuer", provider.url, "--audience", "other", "-"], after, "REFUSED  audience"],
        [["--issuer", `${provider.url}/`, "--audience", audience, "-"], after, "REFUSED  issuer"]
      ] as const) {
        const { status, stdout } = await run(args, presented)
        assert.strictEqual(stdout.split("\n")[0], expected)
        assert.strictEqual(status, expected.startsWith("ACCEPTED") ? 0 : 1)
      }
    }
  )

  it("says that the issuer does not answer, once it is gone", async () => {
    const good = await provider.token()
    provider.close()
    const { status, stdout } = await run(named(), good)
    assert.strictEqual(status, 1)
    assert.match(stdout, /^REFUSED {2}keys_unavailable\n/)
    assert.include(stdout, `${provider.url}/.well-known/openid-configuration did not answer`)
  })
})
