/** Who is who: a forged token, and two users at the same moment. */
import assert from "node:assert/strict"
import { type BoundSecureOpenAI, IdentityError } from "../../src/index.ts"
import { refusal } from "./Functions.ts"
import { line, section, table } from "./Screen.ts"
import type { World } from "./World.ts"

/** alice's token, with bob's name written into it. */
export const forged = async (world: World): Promise<void> => {
  section("Forged: alice's token, with bob's name written into it")
  const [header = "", payload = "", signature = ""] = world.tokens.alice.split(".")
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object
  const changed = Buffer.from(JSON.stringify({ ...claims, preferred_username: "bob", team: "Finance" }))
  const token = [header, changed.toString("base64url"), signature].join(".")
  const error: unknown = await world.service.asUser(token).catch((reason: unknown) => reason)
  assert(error instanceof IdentityError)
  assert.equal(error.reason, "signature")
  const record = (await world.records()).at(-1)
  assert.equal(record?.kind, "refused.many")
  assert(!JSON.stringify(record).includes(changed.toString("base64url")))
  line("asked", "service.asUser(the changed token)")
  line("back", `${error.status} ${error.code}, an IdentityError with reason "${error.reason}"`)
  line("refused", error.message.replace(/^401 /, ""))
  line("log", `record ${record.seq} counts the attempt, with others that come within a second, without the token`)
}

/** Twenty calls each, at the same moment, through the same service. */
export const sideBySide = async (world: World): Promise<void> => {
  section("Side by side: the same 20 calls by each, at the same moment, through one service")
  const before = world.provider.received().length
  const names = ["alice", "bob"] as const
  const asked = { model: "gpt-4o", max_tokens: 4000, temperature: 1.5 }
  await Promise.all(
    Array.from({ length: 40 }, (_, i) => {
      const name = names[i % 2] ?? "alice"
      return world[name].chat.completions.create({ ...asked, messages: [{ role: "user", content: `from ${name}` }] })
    })
  )
  const sent = world.provider.received().slice(before)
  assert.equal(sent.length, 40)
  /** What was sent for somebody: one value, the same in all twenty calls. */
  const sentFor = (name: string, field: keyof typeof asked): string => {
    const theirs = sent.filter(({ messages }) => messages[0]?.content === `from ${name}`)
    const values = new Set(theirs.map((request) => String(request[field])))
    assert.deepEqual([theirs.length, values.size], [20, 1])
    return [...values].join()
  }
  const fields = (["model", "max_tokens", "temperature"] as const).map((field) => [
    field,
    String(asked[field]),
    ...names.map((name) => sentFor(name, field))
  ])
  assert.deepEqual(
    fields.map((row) => row.slice(2)),
    [
      ["gpt-4o-mini", "gpt-4o"],
      ["500", "2000"],
      ["1", "1"]
    ]
  )
  const transfers = await Promise.all(names.map((name) => transfer(world[name])))
  assert.deepEqual(transfers, ["refused", "runs"])
  table([
    ["", "both ask for", "alice (Support)", "bob (Finance)"],
    ...fields,
    ["wire_transfer", "40 EUR", ...transfers]
  ])
}

const transfer = async (user: BoundSecureOpenAI): Promise<string> => {
  const result = await user.invokeTool({
    id: "call_1",
    type: "function",
    function: { name: "wire_transfer", arguments: `{"amount":40,"currency":"EUR"}` }
  })
  return refusal(result) === undefined ? "runs" : "refused"
}
