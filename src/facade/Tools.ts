/**
 * Registered tools: functions that a model or another agent may ask for, each run only when policy lets the caller use it.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { OpenAI } from "openai"
import { APIUserAbortError } from "openai"
import { argumentsOf, toolCallOf } from "../answer/ToolCall.ts"
import { Call, type CallOptions } from "../call/Call.ts"
import type { Committed } from "../call/States.ts"
import type { Lineage } from "../call/Lineage.ts"
import { type Receipt, Reply } from "../call/Reply.ts"
import { contentOf, edited, parseStrictObject } from "../base/CanonicalJson.ts"
import type { JsonObject } from "../base/Json.ts"
import { Content } from "../base/Content.ts"
import { askedInCourse, inCourseOf, stepsInCourseOf } from "../call/CurrentCall.ts"
import type { Violation } from "../call/Decision.ts"
import { scheduler } from "../base/EventLoop.ts"
import type { Life } from "../base/Life.ts"
import { inWords } from "../call/DecisionText.ts"
import { type PipelineError, type PolicyDenied, ProviderFailed, refusal } from "../call/Errors.ts"
import { PolicyDeniedError, toSdkError } from "../call/SdkErrors.ts"
import { toolResource } from "../call/Operation.ts"
import { Pipeline } from "../workspace/Pipeline.ts"
import { requestedBy } from "./ToolRequests.ts"
import { rememberReceipt } from "./Receipts.ts"
import type { ToolHandler } from "./Tool.ts"
import { CurrentHandler } from "./PipelineRun.ts"
import { during, type Session } from "./Session.ts"

/** The message that answers a tool call. */
export interface ToolMessage {
  readonly role: "tool"
  readonly tool_call_id: string
  readonly content: string
}

/** A tool call as a chat completion carries it. */
export type ToolCall = OpenAI.Chat.Completions.ChatCompletionMessageToolCall

/**
 * Runs a tool as this session's caller: identity, signature, policy and log first, then the handler. Judging comes before
 * looking the tool up, so a refused caller does not learn whether it exists. Rejects with the SDK's errors, or with what the
 * handler threw.
 */
export const runTool = (session: Session, name: string, args: unknown, options: RunOptions = {}): Promise<Ran> =>
  during(session, () => run(session, name, args, options))

/** How a tool is run. */
interface RunOptions {
  readonly handler?: ToolHandler | undefined
  readonly signal?: AbortSignal | undefined
  readonly call?: CallOptions
  /** Whose end the tool is not run after, besides the session's. */
  readonly life?: Life | undefined
  readonly isText?: boolean
  /** The arguments as they were parsed from what a model wrote, where the handler gets them so. */
  readonly written?: JsonObject | undefined
  /** The call whose answer asked for it. Default: the one in whose course it is asked for. */
  readonly requestedBy?: Lineage | undefined
}

/** What a tool said. */
interface Ran {
  readonly value: unknown
  readonly receipt: Receipt | undefined
}

const run = async (session: Session, name: string, args: unknown, options: RunOptions): Promise<Ran> => {
  if (options.signal?.aborted) throw new APIUserAbortError()
  const lineage = askedInCourse(options.requestedBy)
  const tool = session.tools.get(name)
  const over = (): Error | undefined => session.life.over ?? options.life?.over
  const judged = Effect.suspend(() => {
    if (typeof args === "string") throw noArguments(session, name, args)
    const call = Call.tool(name, args, {
      app: session.app,
      server: session.server,
      credentials: session.credentials,
      intents: session.intents,
      prompts: tool?.prompts,
      isText: options.isText,
      ...(options.call ?? { lineage })
    })
    const handler = options.handler ?? tool?.handler
    return Effect.provideService(
      Effect.flatMap(Pipeline, (pipeline) => pipeline.run(call)),
      CurrentHandler,
      (committed) => {
        const fault = notHeld(committed, options.written)
        return fault === undefined ? handle(committed, handler, over) : Effect.fail(fault)
      }
    )
  })
  const exit = await session.runtime().runPromiseExit(judged, { scheduler, signal: options.signal })
  if (Exit.isSuccess(exit)) {
    const reply = exit.value
    const value = reply._tag === "Json" ? reply.value : reply.stream
    if (reply.meta.receipt !== undefined) rememberReceipt(value, reply.meta.receipt)
    return { value, receipt: reply.meta.receipt }
  }
  throw Cause.hasInterruptsOnly(exit.cause) ? (over() ?? new APIUserAbortError()) : toSdkError(Cause.squash(exit.cause))
}

/** The arguments that policy let pass of those that a model wrote: what stays keeps its text, a large integer too. */
const narrowedText = (text: string, asked: JsonObject, judged: JsonObject): string =>
  edited(new Content(text === "" ? "{}" : text), asked, judged).text

/** Why a text is no arguments of a tool. */
const noArguments = ({ app }: Session, name: string, text: string): PolicyDenied => {
  const parsed = parseStrictObject(text)
  return refusal(
    "egress",
    {
      code: "invalid_body",
      message: `the arguments cannot be judged: ${Result.isFailure(parsed) ? parsed.failure : "they are a text"}`
    },
    { resource: toolResource(app, name), principal: "" }
  )
}

/** A handler must not get another number than the model wrote. */
const notHeld = ({ call, principal }: Committed, written: JsonObject | undefined): PolicyDenied | undefined => {
  const [inexact] = (written && contentOf(written)?.inexact) ?? []
  if (inexact === undefined) return undefined
  const [path, number] = inexact
  const shown = number.length > 40 ? `${number.slice(0, 40)}…` : number
  return refusal(
    "invocation",
    {
      code: "invalid_body",
      path,
      message: `${path} is ${shown}, a number that the tool cannot take exactly`,
      hint: "write it as a string, or with fewer digits"
    },
    { resource: call.resource, principal: `${principal.kind}:${principal.id}` }
  )
}

const handle = (
  committed: Committed,
  handler: ToolHandler | undefined,
  over: () => Error | undefined
): Effect.Effect<Reply, PipelineError> => {
  const { call, params, principal } = committed
  if (handler === undefined)
    return Effect.fail(
      refusal(
        "invocation",
        {
          code: "tool_not_found",
          message: `no tool "${call.operation}" is registered`,
          hint: "call registerTool first"
        },
        { resource: call.resource, principal: `${principal.kind}:${principal.id}` }
      )
    )
  return Effect.map(
    Effect.tryPromise({
      try: async (signal) => {
        const ended = over()
        if (ended !== undefined) throw ended
        return inCourseOf(committed.lineage, () => handler(params, { principal, signal, call }))
      },
      catch: (cause) => new ProviderFailed({ cause, attempts: 0 })
    }),
    (value) => Reply.json(stepsInCourseOf(committed.lineage, value))
  )
}

/** Answers a tool call of the model: with what the tool said, or with why it was refused. */
export const answerToolCall = async (
  session: Session,
  toolCall: ToolCall,
  signal?: AbortSignal
): Promise<ToolMessage> => {
  // What is no JSON object stays text, which no registered tool takes.
  const { args, fault, name, text } = toolCallOf(toolCall)
  let receipt: Receipt | undefined
  const content = await orRefusal(async () => {
    const ran = await runTool(session, name, fault === undefined ? (args ?? text) : text, {
      signal,
      written: args,
      requestedBy: requestedBy(session, toolCall.id)
    })
    receipt = ran.receipt
    return asText(ran.value)
  })
  const message: ToolMessage = { role: "tool", tool_call_id: toolCall.id, content }
  if (receipt !== undefined) rememberReceipt(message, receipt)
  return message
}

/** What the SDK's `runTools` tells the model of a tool's value. */
const asText = (value: unknown): string => (typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined"))

/** What the model is told: a refusal is an answer to it, any other failure is the caller's. */
export const orRefusal = async <A>(run: () => Promise<A>): Promise<A | string> => {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof PolicyDeniedError)) throw error
    const { more, violations } = error.decision
    return JSON.stringify({ error: { code: error.code, message: inWords(violations.map(reason), more) } })
  }
}

/** The model may learn what is wrong with its arguments, and not what else the user may do. */
const reason = ({ code, message, path }: Violation): string => {
  if (code === "output_denied") return "policy does not let the tool's answer through"
  const isOfArguments = path !== undefined || code === "invalid_body"
  return !isOfArguments && code !== "tool_not_found" ? "policy does not let this caller use the tool" : message
}

/** A tool as the SDK's `runTools` takes it. */
type RunnableTool = Parameters<OpenAI["chat"]["completions"]["runTools"]>[0]["tools"][number]
interface RunnableFunction {
  readonly name?: string
  readonly function: (args: unknown, ...rest: ReadonlyArray<unknown>) => unknown
  readonly parse?: (text: string) => unknown
}
/** What the SDK's zod helper makes: its callback and parser are hidden members. */
interface AutoParseableTool {
  readonly $brand: "auto-parseable-tool"
  readonly $callback?: RunnableFunction["function"]
  readonly $parseRaw: (text: string) => unknown
  readonly function: { readonly name: string; readonly description?: string; readonly parameters?: unknown }
}

/** The same tools for the SDK's `runTools`, each run only as policy lets this session's caller. */
const judgedTools = (session: Session, tools: ReadonlyArray<RunnableTool>): Array<RunnableTool> =>
  tools.map((tool) => {
    const runnable = runnableFunction(tool)
    return runnable === undefined
      ? tool
      : ({ ...tool, type: "function", function: judged(session, runnable) } as unknown as RunnableTool)
  })

const runnableFunction = (tool: RunnableTool): RunnableFunction | undefined => {
  const auto = tool as Partial<AutoParseableTool>
  if (auto.$brand === "auto-parseable-tool" && auto.$callback !== undefined && auto.$parseRaw !== undefined) {
    const { description = "", name = "", parameters } = auto.function ?? {}
    return Object.assign(
      { name, function: auto.$callback, parse: auto.$parseRaw },
      { description, parameters, strict: true }
    )
  }
  return tool.type === "function" ? (tool.function as unknown as RunnableFunction) : undefined
}

/** A tool that a model asked for, and what runs it. */
export interface RequestedTool {
  readonly name: string
  /** Its arguments, as the model wrote them. */
  readonly text: string
  /** The call whose answer asked for it. */
  readonly requestedBy?: Lineage | undefined
  /** Runs it: with the arguments that policy let pass, where it changed them. */
  readonly run: (narrowed: string | undefined) => unknown
}

/** Runs a tool as policy lets the session's caller. Rejects with a `PolicyDeniedError`, or with what the tool threw. */
export const runRequested = async (
  session: Session,
  { requestedBy, name, run, text }: RequestedTool
): Promise<unknown> => {
  const { args } = argumentsOf(text)
  const handler: ToolHandler = async (judged, { call }) => {
    if (judged === call.params) return run(undefined)
    return run(args === undefined ? String(judged["input"]) : narrowedText(text, args, judged))
  }
  const options = { handler, isText: args === undefined, requestedBy }
  return (await runTool(session, name, args ?? { input: text }, options)).value
}

const judged = (session: Session, tool: RunnableFunction): RunnableFunction => {
  const { parse } = tool
  const name = tool.name ?? tool.function.name
  const run = (text: string, parsed: unknown, rest: ReadonlyArray<unknown>): Promise<unknown> =>
    orRefusal(() =>
      runRequested(session, {
        name,
        text,
        requestedBy: requestedInRun(session, rest[0], name, text),
        run: async (narrowed) => {
          if (narrowed === undefined) return tool.function(parsed, ...rest)
          return tool.function(parse === undefined ? narrowed : await parse(narrowed), ...rest)
        }
      })
    )
  if (parse === undefined) return { ...tool, name, function: (text, ...rest) => run(String(text), text, rest) }
  return {
    ...tool,
    name,
    parse: async (text) => ({ text, parsed: await parse(text) }),
    function: (given, ...rest) => {
      const { parsed, text } = given as { readonly text: string; readonly parsed: unknown }
      return run(text, parsed, rest)
    }
  }
}

/** The call that asked for a tool which the SDK's runner runs: the runner's last answer asked for it. */
const requestedInRun = (session: Session, runner: unknown, name: string, args: string): Lineage | undefined => {
  const messages = (runner as { readonly messages?: ReadonlyArray<OpenAI.ChatCompletionMessageParam> } | undefined)
    ?.messages
  const last = messages?.findLast(({ role }) => role === "assistant")
  const calls = last?.role === "assistant" ? (last.tool_calls ?? []) : []
  const asked = calls.find(
    (call) => call.type === "function" && call.function.name === name && call.function.arguments === args
  )
  return asked && requestedBy(session, asked.id)
}

/** Has `runTools` run each tool only as policy lets the session's caller. */
export const judgeTools = (completions: OpenAI["chat"]["completions"], session: Session): void => {
  const theirs = completions.runTools.bind(completions) as (body: RunToolsBody, options?: object) => never
  const runTools = (body: RunToolsBody, options?: object): never =>
    theirs({ ...body, tools: judgedTools(session, body.tools) } as RunToolsBody, options)
  Object.defineProperty(completions, "runTools", { value: runTools, configurable: true, writable: true })
}

type RunToolsBody = Parameters<OpenAI["chat"]["completions"]["runTools"]>[0]
