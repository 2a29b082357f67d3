/** Rules of a document, and what the gate of a stream lets go under them. */
import * as Result from "effect/Result"
import type { OutputRules } from "../../../src/call/Judge.ts"
import { judgeAnswer } from "../../../src/invocation/output/AnswerGate.ts"
import { OutputJudge } from "../../../src/invocation/output/OutputJudge.ts"
import { StreamGate } from "../../../src/invocation/output/StreamGate.ts"
import { app } from "../../../src/call/Principal.ts"
import type { OutputRule } from "../../../src/policy/mapl/OutputRule.ts"
import { outputOf } from "../../../src/policy/Output.ts"
import { makeFind } from "../../../src/policy/Participants.ts"
import { load } from "../../../src/policy/PolicySource.ts"

/** The rules that a document with this rule asks of a chat. */
export const rulesOf = (rule: OutputRule): OutputRules => {
  const document = { policy_id: "app:a", resources: ["**"], constraints: { output: { "tool:a/*": rule } } }
  const set = Result.getOrThrow(load(document))
  return outputOf(makeFind(set)({ principal: app("a"), app: "a", intents: [] }).rules("tool:a/generate"), {
    model: "m"
  })!
}

/** The same for literals, where there are very many of them. */
export const literalRules = (literals: ReadonlyArray<string>, most?: number): OutputRules => ({
  denied: literals.map((sought) => ({ policy: "app:a", rule: "denied", sought, holdBack: sought.length - 1 })),
  maxCharacters: most === undefined ? undefined : { policy: "app:a", rule: "max_characters", value: most },
  onResponse: { policy: "app:a", rule: "on_response", does: "record" }
})

const tool = (name: string) => (name === "pay" ? "deny" : "allow")
/** The request that is answered. */
const asked = { model: "gpt-4o", instructions: "Never say secret." }
export const make = (rule: OutputRule | OutputRules, params: Readonly<Record<string, unknown>> = asked) =>
  new OutputJudge("onResponse" in rule ? rule : rulesOf(rule), { models: ["gpt-4o"], tool, params })

/** As much of a chunk, or an event, as is looked at here. */
export interface Chunk {
  readonly [key: string]: unknown
  readonly choices?: ReadonlyArray<Choice>
}
export interface Choice {
  readonly index: number
  readonly delta?: Readonly<Record<string, unknown>>
  readonly text?: string
  readonly finish_reason: string | null
  readonly logprobs?: unknown
}

export const run = (rule: OutputRule | OutputRules, chunks: ReadonlyArray<unknown>, reads = 1) => {
  const judge = make(rule)
  const gate = new StreamGate(judge)
  const free: Array<Chunk> = []
  for (let at = 0; at < chunks.length; at += reads)
    free.push(...(gate.push(chunks.slice(at, at + reads)) as Array<Chunk>))
  free.push(...(gate.end() as Array<Chunk>))
  return { free, refused: judge.refused, recorded: judge.recorded }
}

/** What the gate of a plain answer says of one. */
export const judged = (rule: OutputRule | OutputRules, answer: unknown, params?: Readonly<Record<string, unknown>>) => {
  const judge = make(rule, params)
  judgeAnswer(answer, judge)
  return { refused: judge.refused, recorded: judge.recorded }
}
