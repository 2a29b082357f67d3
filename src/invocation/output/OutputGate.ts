/**
 * The answer judged on its way back: by the rules that hold, which may refuse it, and by those of policies that are only
 * observed, which may not. Stands around every invocation; where there are no rules the reply passes untouched.
 */
import { isArrayNonEmpty } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { createParser } from "eventsource-parser"
import { APIError } from "openai"
import { isFields } from "../../answer/Fields.ts"
import type { Committed } from "../../call/States.ts"
import type { Judge, OutputRules } from "../../call/Judge.ts"
import type { JudgedAnswer } from "../../call/Entry.ts"
import { Reply } from "../../call/Reply.ts"
import type { Violation } from "../../call/Decision.ts"
import {
  EnforcementUnavailable,
  type PipelineError,
  type PolicyDenied,
  policyDenied,
  ProviderFailed
} from "../../call/Errors.ts"
import { countMembers } from "../../base/JsonText.ts"
import { isOperation } from "../../call/Operation.ts"
import { judgeAnswer, judgeError, judgeToolAnswer } from "./AnswerGate.ts"
import { judgeHead } from "./HeadGate.ts"
import { OutputJudge } from "./OutputJudge.ts"
import { StreamGate } from "./StreamGate.ts"

/** The reply of an invocation, gated by what policy asks of the answer. The log is told what was found before anybody else. */
export const gated =
  (invoke: (committed: Committed) => Effect.Effect<Reply, PipelineError>) =>
  (committed: Committed): Effect.Effect<Reply, PipelineError> => {
    const { judge, observed } = committed.from.from
    const rules = judge.output
    const seen = observed?.judge.output
    if (rules === undefined && seen === undefined) return invoke(committed)
    const judges = {
      holding: rules && judgeOf(rules, committed, judge.tool),
      observing: seen && judgeOf(seen, committed, observed!.judge.tool)
    }
    return Effect.flatMap(judgingErrors(invoke(committed), committed, judges), (reply) =>
      reply._tag === "Json" ? plain(reply, committed, judges) : opened(reply, committed, judges)
    )
  }

interface Judges {
  readonly holding: OutputJudge | undefined
  readonly observing: OutputJudge | undefined
}

const judgeOf = (rules: OutputRules, { call, params }: Committed, tool: Judge["tool"]): OutputJudge => {
  const model = isOperation(call.operation) ? params["model"] : undefined
  const models = typeof model === "string" ? [model, call.deployment?.serving(model) ?? model] : []
  return new OutputJudge(rules, { models, tool, params })
}

/** What judges have found so far. */
const foundBy = ({ holding, observing }: Judges): JudgedAnswer => ({
  violations: violationsOf(holding),
  observed: violationsOf(observing)
})

const violationsOf = (judge: OutputJudge | undefined): ReadonlyArray<Violation> =>
  judge === undefined ? [] : [...(judge.refused === undefined ? [] : [judge.refused]), ...judge.recorded]

const refusalOf = (committed: Committed, violation: Violation): PolicyDenied =>
  policyDenied(
    { ...committed.from.from.decision, verdict: "deny", violations: [violation], remedies: [], edits: [] },
    "output"
  )

/**
 * What an error of the provider says is judged before it is thrown: it may quote what the model wrote (`failed_generation`).
 * One in which no denied text stands is thrown as it came.
 */
const judgingErrors = <A>(
  answer: Effect.Effect<A, PipelineError>,
  committed: Committed,
  judges: Judges
): Effect.Effect<A, PipelineError> =>
  Effect.catchTag(answer, "ProviderFailed", (failed) => Effect.fail(judgedError(failed, committed, judges)))

const judgedError = (failed: ProviderFailed, committed: Committed, judges: Judges): PipelineError => {
  const { body, cause, head } = failed
  if (!(cause instanceof APIError)) return failed
  for (const judge of [judges.holding, judges.observing])
    if (judge !== undefined && judge.refused === undefined) {
      if (head !== undefined) judgeHead(head, judge)
      else if (cause.headers !== undefined) judgeHead({ headers: cause.headers }, judge)
      judgeError({ message: cause.message, error: cause.error, body: body === undefined ? null : jsonOf(body) }, judge)
    }
  const found = foundBy(judges)
  if (found.violations.length + found.observed.length > 0) committed.entry.judged(found)
  const refused = judges.holding?.refused
  return refused === undefined ? failed : refusalOf(committed, refused)
}

/** What the judging of an answer threw; the answer is not handed on. */
const unjudged = (cause: unknown): EnforcementUnavailable =>
  new EnforcementUnavailable({ stage: "output", message: "The answer could not be judged, and was kept back.", cause })

const plain = (
  reply: Extract<Reply, { readonly _tag: "Json" }>,
  committed: Committed,
  judges: Judges
): Effect.Effect<Reply, PipelineError> =>
  Effect.flatMap(
    Effect.try({
      try: () => {
        const judgeOne = !isOperation(committed.call.operation)
          ? judgeToolAnswer
          : typeof reply.value === "string"
            ? judgeText
            : judgeAnswer
        for (const judge of [judges.holding, judges.observing])
          if (judge !== undefined) {
            judgeHead(reply.meta, judge)
            judgeOne(reply.value as string, judge)
            if (judge.seeks && hides(reply)) judge.text(reply.meta.text ?? "", "answer")
            judge.requireModel()
          }
        return judges.holding?.refused
      },
      catch: unjudged
    }),
    (refused) => {
      const found = foundBy(judges)
      committed.entry.judged(refused === undefined ? found : { ...found, answer: reply })
      return refused === undefined ? Effect.succeed(reply) : Effect.fail(refusalOf(committed, refused))
    }
  )

/** True for an answer whose text has more members than its value: a key that is there twice hides what it says first. */
const hides = ({ meta: { text }, value }: Extract<Reply, { readonly _tag: "Json" }>): boolean =>
  text !== undefined && typeof value !== "string" && countMembers(Buffer.from(text)) > membersIn(value)

const membersIn = (value: unknown): number => {
  let members = 0
  if (Array.isArray(value)) for (const item of value) members += membersIn(item)
  else if (isFields(value)) for (const name in value) members += 1 + membersIn(value[name])
  return members
}

/** An answer that is no JSON: searched as text, and as the events of a stream, which a caller may have asked for as one text. */
const judgeText = (text: string, judge: OutputJudge): void => {
  judgeAnswer(text, judge)
  const gate = new StreamGate(judge)
  const parser = createParser({ onEvent: ({ data }) => void gate.push([jsonOf(data)]) })
  parser.feed(`${text}\n\n`)
  gate.end()
}

/** What a text says as JSON, or the text. */
const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** How many chunks of a stream may come before one that names the model. */
const mostUnnamed = 16

/** A caller reads the headers of a stream before its chunks: one that they refuse is closed once it has begun. */
const opened = (
  reply: Extract<Reply, { readonly _tag: "Stream" }>,
  committed: Committed,
  judges: Judges
): Effect.Effect<Reply, PipelineError> => {
  for (const judge of [judges.holding, judges.observing]) if (judge !== undefined) judgeHead(reply.meta, judge)
  const refused = judges.holding?.refused
  if (refused === undefined) return Effect.succeed(streamed(reply, committed, judges))
  committed.entry.judged(foundBy(judges))
  const close = Effect.forkDetach(Effect.ignore(Stream.runHead(reply.stream)))
  return Effect.andThen(close, Effect.fail(refusalOf(committed, refused)))
}

const streamed = (reply: Extract<Reply, { readonly _tag: "Stream" }>, committed: Committed, judges: Judges): Reply => {
  const gate = judges.holding && new StreamGate(judges.holding)
  const observer = judges.observing && new StreamGate(judges.observing)
  let told = 0
  let isOver = false
  /** Chunks that came before one said which model answers, where that must be on a list. */
  let unnamed: ReadonlyArray<unknown> = []
  const named = (free: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
    if (isOver) judges.observing?.requireModel()
    const { holding } = judges
    if (holding?.rules.models === undefined) return free
    unnamed = [...unnamed, ...free]
    if (holding.awaitsModel && (isOver || unnamed.length > mostUnnamed)) holding.requireModel()
    if (holding.awaitsModel) return []
    const all = unnamed
    unnamed = []
    return all
  }
  /** Hands on what is free, after the log was told what was found. */
  const judged = (judge: (gate: StreamGate) => ReadonlyArray<unknown>, all: ReadonlyArray<unknown>) => {
    if (observer !== undefined) judge(observer)
    const free = named(gate === undefined ? all : judge(gate))
    const found = foundBy(judges)
    const count = found.violations.length + found.observed.length
    if (count > told) committed.entry.judged(found)
    told = count
    return free
  }
  const judgedFailure = <A>(read: Pull.Pull<A, PipelineError>): Pull.Pull<A, PipelineError> =>
    Effect.mapError(read, (error) => (error instanceof ProviderFailed ? judgedError(error, committed, judges) : error))
  const stream = Stream.transformPull(reply.stream, (pull) =>
    Effect.sync(() => {
      const next: Pull.Pull<readonly [unknown, ...Array<unknown>], PipelineError> = Effect.suspend(() => {
        const refused = judges.holding?.refused
        if (refused !== undefined) return Effect.fail(refusalOf(committed, refused))
        return isOver ? Cause.done() : Effect.flatMap(ending(pull), handOn)
      })
      const handOn = (chunks: ReadonlyArray<unknown>) =>
        Effect.flatMap(
          Effect.try({
            try: () => {
              committed.entry.came(chunks)
              return isOver ? judged((each) => each.end(), []) : judged((each) => each.push(chunks), chunks)
            },
            catch: unjudged
          }),
          (free) => {
            const array = free as Array<unknown>
            return isArrayNonEmpty(array) ? Effect.succeed(array) : next
          }
        )
      /** The chunks of the next read; none where the stream is over. */
      const ending = (read: typeof pull): Effect.Effect<ReadonlyArray<unknown>, PipelineError> =>
        Pull.catchDone(judgedFailure(read), () =>
          Effect.sync((): ReadonlyArray<unknown> => {
            isOver = true
            return []
          })
        )
      return next
    })
  )
  return Reply.stream(stream, reply.meta)
}
