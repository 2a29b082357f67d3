/** One question at a time: allowed as it is, brought within the limits, or refused. */
import assert from "node:assert/strict"
import type { OpenAI } from "openai"
import { PolicyDeniedError, SecureOpenAI } from "../../src/index.ts"
import { changes, line, lines, section } from "./Screen.ts"
import type { World } from "./World.ts"

type Params = Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, "messages">

/** Asks, and shows what was asked, sent and answered. */
const ask = async (world: World, who: "alice" | "bob", question: string, params: Params) => {
  const answer = await world[who].chat.completions.create({
    ...params,
    messages: [{ role: "user", content: question }]
  })
  const sent = world.provider.received().at(-1)
  const receipt = SecureOpenAI.receipt(answer)
  assert(sent !== undefined && receipt !== undefined)
  line("asked", `${who}: ${shown(params)}, "${question}"`)
  line("sent", shown(sent))
  line("back", `"${answer.choices[0]?.message.content}"`)
  return { receipt, sent }
}

/** `gpt-4o, max_tokens 300` */
const shown = ({ max_tokens, model }: { readonly model: string; readonly max_tokens?: number | null | undefined }) =>
  `${model}, ${max_tokens === undefined ? "no max_tokens" : `max_tokens ${max_tokens}`}`

/** A call within every limit goes out as it is. */
export const allowed = async (world: World): Promise<void> => {
  section("Allowed: within every limit")
  const { receipt, sent } = await ask(world, "bob", "How was the quarter?", { model: "gpt-4o", max_tokens: 300 })
  assert.deepEqual([sent.model, sent.max_tokens], ["gpt-4o", 300])
  assert.equal(receipt.verdict, "allow")
  assert.deepEqual(receipt.changes, [])
  const decision = (await world.records()).find(({ seq }) => seq === receipt.index)
  assert.deepEqual(decision?.["policies"], ["user:bob", "team:Finance", "company:Acme", "app:assistant"])
  line("allowed", "by user:bob, team:Finance, company:Acme and app:assistant; nothing was changed")
}

/** A model that alice may not use: hers takes its place. */
export const downgraded = async (world: World): Promise<void> => {
  section("Rewritten: a model above the caller's")
  const { receipt, sent } = await ask(world, "alice", "Draft a reply to the customer.", {
    model: "gpt-4o",
    max_tokens: 300
  })
  assert.equal(sent.model, "gpt-4o-mini")
  changes(receipt.changes)
}

/** More tokens than alice may use. Gives the index of the decision in the log. */
export const reduced = async (world: World): Promise<number> => {
  section("Rewritten: more tokens than the caller may use")
  const { receipt, sent } = await ask(world, "alice", "Explain our return policy.", {
    model: "gpt-4o-mini",
    max_tokens: 4000
  })
  assert.equal(sent.max_tokens, 500)
  changes(receipt.changes)
  return receipt.index
}

/** No cap at all would be no limit: it is put in. */
export const capped = async (world: World): Promise<void> => {
  section("Rewritten: no limit asked for, so one is put in")
  const { receipt, sent } = await ask(world, "alice", "Explain our return policy.", { model: "gpt-4o-mini" })
  assert.equal(sent.max_tokens, 500)
  changes(receipt.changes)
}

/** What no edit puts right is refused, with every reason at once. */
export const refused = async (world: World): Promise<void> => {
  section("Refused: nothing is sent, and every reason is given")
  const before = world.provider.received().length
  const error: unknown = await world.alice.chat.completions
    .create({
      model: "gpt-4o-mini",
      store: true,
      // A caller's mistake that the compiler would find; a service that passes JSON on would not.
      temperature: "high" as unknown as number,
      messages: [{ role: "user", content: "Explain our return policy." }]
    })
    .catch((reason: unknown) => reason)
  assert(error instanceof PolicyDeniedError)
  assert.equal(error.status, 403)
  assert.deepEqual(error.decision.violations.map(({ path }) => path).sort(), ["store", "temperature"])
  assert.equal(world.provider.received().length, before)
  line("asked", `alice: gpt-4o-mini, store true, temperature "high"`)
  line("sent", "nothing")
  line("back", `${error.status} ${error.code}, a PolicyDeniedError, which is an OpenAI.PermissionDeniedError`)
  lines(
    "refused",
    error.decision.violations.map(({ message }) => message)
  )
}
