import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as ChildProcess from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import process from "node:process"
import * as Util from "node:util"
import { afterAll, afterEach } from "vitest"
import { SecureOpenAI, Workspace, type WorkspaceOptions } from "../../src/index.ts"
import * as KeyFolder from "../../src/keys/KeyFolder.ts"
import { type KeyOptions, keysOfEnvironment } from "../../src/keys/KeyOptions.ts"
import { Keys } from "../../src/keys/Keys.ts"

const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "mounts-"))
Fs.chmodSync(root, 0o755)
afterAll(() => Fs.rmSync(root, { recursive: true, force: true }))
let count = 0
const newFolder = (mode = 0o755): string => {
  const folder = Path.join(root, `f${count++}`)
  Fs.mkdirSync(folder)
  Fs.chmodSync(folder, mode)
  return folder
}

const pem = (): string =>
  Crypto.generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }).toString()
const files = { "agent.pem": pem(), "log.pem": pem(), salt: `${Crypto.randomBytes(32).toString("base64url")}\n` }

interface Access {
  readonly uid?: number
  readonly gid?: number
  readonly mode?: number
}
const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
const put = (folder: string, { gid = own.gid, mode = 0o400, uid = own.uid }: Access = {}): string => {
  for (const [name, text] of Object.entries(files)) {
    const path = Path.join(folder, name)
    Fs.writeFileSync(path, text)
    if (uid !== own.uid || gid !== own.gid) Fs.chownSync(path, uid, gid)
    Fs.chmodSync(path, mode)
  }
  return folder
}

/** A Secret as the kubelet lays it out: links to a folder with a date, behind one link that it exchanges. */
const secret = (access: Access, folder = newFolder()): string => {
  const dated = Path.join(folder, "..2026_11_30_10_00_00.1")
  Fs.mkdirSync(dated)
  Fs.chmodSync(dated, 0o755)
  put(dated, access)
  Fs.symlinkSync(Path.basename(dated), Path.join(folder, "..data"))
  for (const name of Object.keys(files)) Fs.symlinkSync(Path.join("..data", name), Path.join(folder, name))
  return folder
}

const saidOf = (folder: string): string => {
  try {
    KeyFolder.openMounted(folder, {})
    return "opened"
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

describe("a folder of keys that is only read", () => {
  const change = (edit: (folder: string) => void, made = put(newFolder())): string => {
    edit(made)
    return made
  }
  const link = (name: string, target: string) => (folder: string) => {
    Fs.rmSync(Path.join(folder, name))
    Fs.symlinkSync(target, Path.join(folder, name))
  }
  const away = put(newFolder())

  it.each<readonly [string, string, RegExp | undefined]>([
    ["plain files that their owner alone reads", put(newFolder()), undefined],
    ["plain files in a folder of mode 0500, as systemd makes it", change((f) => Fs.chmodSync(f, 0o500)), undefined],
    ["links of a Secret", secret({}), undefined],
    ["a file that everybody reads", put(newFolder(), { mode: 0o444 }), /read by every user.*defaultMode: 0400/],
    ["a Secret with the default mode 0644", secret({ mode: 0o644 }), /agent.pem can be read by every user/],
    ["a file that its group may change", put(newFolder(), { mode: 0o660 }), /changed by its group/],
    [
      "a missing salt",
      change((f) => Fs.rmSync(Path.join(f, "salt"))),
      /salt is not there.*agent.pem, log.pem and salt/
    ],
    [
      "a folder that everybody writes in",
      change((f) => Fs.chmodSync(f, 0o777)),
      /Other users may write in .*read-only/
    ],
    ["a folder like /tmp", change((f) => Fs.chmodSync(f, 0o1777)), /Other users may write in/],
    ["a folder that its group writes in", change((f) => Fs.chmodSync(f, 0o770)), /Other users may write in/],
    ["an absolute link", change(link("agent.pem", Path.join(away, "agent.pem"))), /does not stay in/],
    ["a link out of the folder", change(link("agent.pem", `../${Path.basename(away)}/agent.pem`)), /does not stay in/],
    ["a link out and back", change((f) => link("salt", `../${Path.basename(f)}/salt`)(f)), /does not stay in/],
    ["a link in a circle", change(link("salt", "salt")), /does not stay in/],
    ["a link to a folder", change(link("salt", ".")), /plain file/],
    ["a link to nothing", change(link("salt", "x")), /salt is not there/],
    [
      "a link through a folder that everybody writes in",
      change((folder) => {
        const open = Path.join(folder, "open")
        Fs.mkdirSync(open)
        Fs.symlinkSync("../salt2", Path.join(open, "salt"))
        Fs.renameSync(Path.join(folder, "salt"), Path.join(folder, "salt2"))
        Fs.symlinkSync("open/salt", Path.join(folder, "salt"))
        Fs.chmodSync(open, 0o777)
      }),
      /Other users may write in .*open/
    ],
    [
      "the same key twice",
      change((f) => Fs.writeFileSync(Path.join(put(f), "log.pem"), files["agent.pem"], { mode: 0o400 }), newFolder()),
      /one/
    ],
    ["no folder", Path.join(root, "absent"), /ENOENT/]
  ])("with %s", (_, folder, message) => {
    const said = saidOf(folder)
    if (message === undefined) assert.strictEqual(said, "opened")
    else assert.match(said, message)
    assert.notInclude(said, files.salt.trim())
  })

  it("is never written: nothing is made where a file is missing", () => {
    const folder = newFolder()
    assert.match(saidOf(folder), /agent.pem is not there/)
    assert.deepStrictEqual(Fs.readdirSync(folder), [])
  })

  it("counts log.next.pem and ended.json, and refuses what ended", () => {
    const folder = put(newFolder())
    const next = pem()
    Fs.writeFileSync(Path.join(folder, "log.next.pem"), next, { mode: 0o400 })
    const opened = KeyFolder.openMounted(folder, {})
    assert.strictEqual(
      opened.nextLog && KeyFolder.publicPart(opened.nextLog),
      KeyFolder.publicPart(Crypto.createPrivateKey(next))
    )
    const kid = KeyFolder.thumbprint(KeyFolder.publicPart(opened.agent))
    Fs.writeFileSync(Path.join(folder, "ended.json"), JSON.stringify([{ use: "agent", kid, state: "revoked" }]), {
      mode: 0o400
    })
    assert.match(saidOf(folder), /revoked before/)
  })
})

/** Whether this process may become others and mount. */
const isRoot = own.uid === 0
const canMount = isRoot && ChildProcess.spawnSync("unshare", ["-m", "true"]).status === 0

describe.skipIf(!isRoot)("a folder of keys, read by another user than root", () => {
  const [uid, gid, group] = [12_345, 12_346, 12_347]
  const reader = Path.join(import.meta.dirname, "mountReader.ts")
  const read = (folders: ReadonlyArray<string>, readOnly: ReadonlyArray<string> = []): ReadonlyArray<string> => {
    const args = [reader, String(uid), String(gid), String(group), ...folders]
    const mounts = readOnly.map((f) => `mount --bind '${f}' '${f}' && mount -o remount,bind,ro '${f}' && `).join("")
    const { stderr, stdout } =
      readOnly.length === 0
        ? ChildProcess.spawnSync(process.execPath, args, { encoding: "utf8" })
        : ChildProcess.spawnSync("unshare", ["-m", "sh", "-c", `${mounts}exec "$@"`, "sh", process.execPath, ...args], {
            encoding: "utf8"
          })
    assert.match(stdout, /^\[/, stderr)
    return JSON.parse(stdout)
  }
  const owned = (folder: string, owner: number, its: number, mode = 0o755): string => {
    Fs.chownSync(folder, owner, its)
    Fs.chmodSync(folder, mode)
    return folder
  }

  it("opens what root or the user owns and no stranger reads", () => {
    const rows: ReadonlyArray<readonly [string, string, RegExp | "opened"]> = [
      ["a Secret of root, by fsGroup", secret({ uid: 0, gid: group, mode: 0o440 }), "opened"],
      ["by the group that it runs with", secret({ uid: 0, gid, mode: 0o440 }), "opened"],
      ["credentials of systemd", put(owned(newFolder(), uid, gid, 0o500), { uid, gid, mode: 0o400 }), "opened"],
      ["a file of its own that its group reads", put(newFolder(), { uid, gid, mode: 0o440 }), /read by the group/],
      ["a file of a stranger", put(newFolder(), { uid: 99, gid: group, mode: 0o440 }), /belongs to the user 99/],
      ["a Secret without fsGroup", secret({ uid: 0, gid: 0, mode: 0o400 }), /cannot be read.*fsGroup/],
      ["a folder of a stranger", put(owned(newFolder(), 99, 99), { uid, gid }), /Other users may write in/],
      [
        "a Secret that can be written",
        secret({ uid: 0, gid: group, mode: 0o440 }, owned(newFolder(), 0, group, 0o3777)),
        /Other users may write in .*read-only/
      ]
    ]
    const said = read(rows.map(([, folder]) => folder))
    for (const [i, [name, , expected]] of rows.entries())
      if (expected === "opened") assert.strictEqual(said[i], "opened", name)
      else assert.match(said[i] ?? "", expected, name)
  })

  it.skipIf(!canMount)("opens a Secret as Kubernetes mounts it: writable by its mode, and mounted read-only", () => {
    const mounted = secret({ uid: 0, gid: group, mode: 0o440 }, owned(newFolder(), 0, group, 0o3777))
    const writable = secret({ uid: 0, gid: group, mode: 0o440 }, owned(newFolder(), 0, group, 0o3777))
    const [said, other] = read([mounted, writable], [mounted])
    assert.strictEqual(said, "opened")
    assert.match(other ?? "", /Other users may write in/)
  })
})

describe("keys that are given by their values", () => {
  const jwk = () => Crypto.generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" })
  const agent = jwk()
  const log = jwk()
  const salt = Crypto.randomBytes(32).toString("base64url")
  const kidOf = ({ x = "" }: Crypto.JsonWebKey) => KeyFolder.thumbprint(x)
  const keys = (options: KeyOptions, directory?: string) => Effect.provide(Keys, Keys.layerKept(options, directory))
  const names = ["KEYS", "AGENT_JWK", "LOG_JWK", "SALT"].map((name) => `SECURE_OPENAI_${name}`)
  afterEach(() => names.forEach((name) => Reflect.deleteProperty(process.env, name)))
  const open = async (options: WorkspaceOptions) => {
    const home = newFolder(0o700)
    const workspace = await Workspace.open({ home, ...options })
    const records = await workspace.records()
    await workspace.close()
    const kids = records.filter(({ kind }) => kind === "key.active").map((record) => record["kid"])
    return { home, kids }
  }

  it("take the place of files: what is left out is in the folder or the home", async () => {
    const given = { agent: JSON.stringify(agent), log: Redacted.make(JSON.stringify(log)), salt: Redacted.make(salt) }
    const all = await Effect.runPromise(keys(given))
    assert.deepStrictEqual([all.agent.kid, all.log.kid], [kidOf(agent), kidOf(log)])
    assert.strictEqual(Buffer.from(Redacted.value(all.salt)).toString("base64url"), salt)
    const folder = put(newFolder())
    const some = await Effect.runPromise(keys({ folder, agent: given.agent }))
    assert.deepStrictEqual(
      [some.agent.kid, some.log.kid],
      [kidOf(agent), KeyFolder.thumbprint(KeyFolder.publicPart(Crypto.createPrivateKey(files["log.pem"])))]
    )
    const home = Path.join(newFolder(0o700), "keys")
    const own = await Effect.runPromise(keys({ agent: given.agent }, home))
    assert.strictEqual(own.agent.kid, kidOf(agent))
    assert.deepStrictEqual(Fs.readdirSync(home).sort(), ["log.pem", "salt"])
  })

  it("come from the environment, and sign: a restart has the same keys and a new home", async () => {
    Object.assign(process.env, {
      SECURE_OPENAI_AGENT_JWK: JSON.stringify(agent),
      SECURE_OPENAI_LOG_JWK: JSON.stringify(log),
      SECURE_OPENAI_SALT: salt
    })
    const [first, second] = [await open({}), await open({})]
    assert.includeMembers(first.kids, [kidOf(agent)])
    assert.deepStrictEqual(first.kids, second.kids)
    assert.deepStrictEqual(
      Fs.existsSync(Path.join(first.home, "keys")) ? Fs.readdirSync(Path.join(first.home, "keys")) : [],
      []
    )
    const { kids } = await open({ keys: put(newFolder()) })
    assert.notInclude(kids, kidOf(agent), "the option decides over the environment")
    const memory = await open({ audit: "memory" })
    assert.include(memory.kids, kidOf(agent))
  })

  it("name a folder for a home that stays writable for the log", async () => {
    process.env["SECURE_OPENAI_KEYS"] = secret({})
    const { home, kids } = await open({})
    assert.include(kids, KeyFolder.thumbprint(KeyFolder.publicPart(Crypto.createPrivateKey(files["agent.pem"]))))
    assert.isTrue(Fs.existsSync(Path.join(home, "audit")))
  })

  it.each<readonly [string, KeyOptions, RegExp]>([
    ["no JSON", { agent: "x" }, /keys.agent \(SECURE_OPENAI_AGENT_JWK\) is not the JSON/],
    ["a public key", { log: JSON.stringify({ ...log, d: undefined }) }, /keys.log .*is not the JSON/],
    ["a key of another kind", { agent: JSON.stringify({ ...agent, crv: "X25519" }) }, /is not the JSON/],
    ["the public part of another", { agent: JSON.stringify({ ...agent, x: log.x }) }, /public part \(x\) that is not/],
    ["a short salt", { salt: "AAAA" }, /keys.salt .*32 bytes/],
    [
      "one key for two purposes",
      { agent: JSON.stringify(agent), log: JSON.stringify(agent) },
      /^keys\.agent \(SECURE_OPENAI_AGENT_JWK\) and keys\.log \(SECURE_OPENAI_LOG_JWK\) are one key\. A key has one purpose/
    ]
  ])("are refused: %s, and no message holds them", async (_, options, message) => {
    const error = await Effect.runPromise(Effect.flip(keys(options)))
    assert.match(error.message, message)
    for (const secret of [agent.d, log.d, salt])
      assert.notInclude(`${Util.inspect(error, { depth: 9 })}`, secret ?? "-")
  })

  it.each<readonly [unknown, RegExp]>([
    ["", /names a folder/],
    [7, /names a folder/],
    [{ folders: "x" }, /folders/],
    [{ folder: "" }, /keys.folder names a folder/],
    [{ agent: agent }, /keys.agent is text/]
  ])("are refused as an option of another form: %j", (value, message) => {
    assert.throws(() => new Workspace({ keys: value as string }), message)
  })

  it("are not shown by what the environment gives, nor taken as an option of a client", () => {
    process.env["SECURE_OPENAI_AGENT_JWK"] = JSON.stringify(agent)
    const shown = Util.inspect(keysOfEnvironment(), { depth: 9 }) + JSON.stringify(keysOfEnvironment())
    assert.notInclude(shown, agent.d ?? "-")
    assert.throws(() => new SecureOpenAI({ apiKey: "k", keys: "x" } as never), /new Workspace\(\{ keys \}\)/)
  })
})
