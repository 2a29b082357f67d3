import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Configuration } from "../../src/call/Errors.ts"
import { generate, thumbprint } from "../../src/keys/Keys.ts"
import { app } from "../../src/call/Principal.ts"
import { type Agent, Directory } from "../../src/signing/Directory.ts"

const { kid, publicKey } = generate()
const agent: Agent = { agentId: "agent-1", kid, publicKey, kind: "agent", app: "bot" }

const test = (name: string, run: (directory: Directory["Service"]) => void) =>
  it.effect(name, () => Effect.map(Directory, run).pipe(Effect.provide(Directory.layer)))

describe("Directory", () => {
  test("knows an agent from add to remove", (directory) => {
    assert.isUndefined(directory.get("agent-1"))
    directory.add(agent)
    assert.strictEqual(directory.get("agent-1")?.kid, kid)
    assert.isTrue(directory.remove("agent-1"))
    assert.isUndefined(directory.get("agent-1"))
    assert.isFalse(directory.remove("agent-1"))
  })

  test("gives an id to one agent only", (directory) => {
    directory.add(agent)
    const other = generate()
    assert.throws(() => directory.add({ ...agent, kid: other.kid, publicKey: other.publicKey }), Configuration, /taken/)
    assert.strictEqual(directory.get("agent-1")?.kid, kid)
  })

  test("refuses an agent with a fault", (directory) => {
    const zero = new Uint8Array(32)
    const one = Uint8Array.of(1, ...new Uint8Array(31))
    const signed = Uint8Array.of(1, ...new Uint8Array(30), 0x80)
    const kidOf = (key: Uint8Array) => thumbprint(Buffer.from(key).toString("base64url"))
    const faults: ReadonlyArray<Partial<Agent>> = [
      { agentId: "" },
      { kid: generate().kid },
      { publicKey: publicKey.slice(1) },
      ...[zero, one, signed].map((key) => ({ publicKey: key, kid: kidOf(key) })),
      { kind: "user" },
      { kind: "user", principal: app("bot") }
    ]
    for (const fault of faults) assert.throws(() => directory.add({ ...agent, ...fault }), Configuration)
  })

  test("keeps the key that it was given", (directory) => {
    const bytes = Uint8Array.from(publicKey)
    directory.add({ ...agent, publicKey: bytes })
    bytes.fill(0)
    assert.deepStrictEqual(directory.get("agent-1")?.publicKey, publicKey)
  })
})
