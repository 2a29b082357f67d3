/**
 * The SDK's helpers that run tools which a model chose, besides `runTools` of chat completions: each tool is judged as the
 * tool of that name, for the caller of the client that the helper is given.
 *
 * - `ResponsesToolRunner` (`openai/helpers/responses-tool-runner`): functions, browser members, each action of a computer, and
 *   the approval of a tool of a remote MCP server.
 * - `ComputerToolset.run` (`openai/helpers/computer`): each action.
 * - `DecisionsToolRunner` (`openai/helpers/decisions-tool-runner`): each candidate, by its id.
 * - `toolHandlers` of `beta.agents.sessions.create` and `.stream`.
 *
 * The model is told of a refusal where the protocol has a place for it. A computer call and a decision have none: there the
 * run ends with the SDK's error. The runners' classes take tools first and a client later, so they are told apart by
 * client: for any but a secure client they are the SDK's own.
 */
import { createRequire } from "node:module"
import { OpenAIError, type OpenAI } from "openai"
import { requestedBy } from "./ToolRequests.ts"
import type { Session } from "./Session.ts"
import { type RequestedTool, orRefusal, runRequested } from "./Tools.ts"

type Unknowns = ReadonlyArray<unknown>

/** Replaces a method of a class or of an object. */
const replace = (holder: object, name: string, value: (...args: Array<never>) => unknown): void =>
  void Object.defineProperty(holder, name, { value, configurable: true, writable: true })

// ---------------------------------------------------------------------------------------------------------------------
// One tool
// ---------------------------------------------------------------------------------------------------------------------

/** A tool that a model asked for; `id` is that of the tool call, where the answer has one. */
type Requested = Omit<RequestedTool, "askedBy"> & { readonly id?: string | undefined }

const runRequestedBy = (session: Session, { id, ...asked }: Requested): Promise<unknown> =>
  runRequested(session, { ...asked, requestedBy: id === undefined ? undefined : requestedBy(session, id) })

const unchangeable = (name: string): OpenAIError =>
  new OpenAIError(`Policy would change the arguments of ${name}, and this helper of the SDK cannot run it with others.`)

// ---------------------------------------------------------------------------------------------------------------------
// Responses
// ---------------------------------------------------------------------------------------------------------------------

/** An item of a response, as far as it is looked at here. */
interface Item {
  readonly type: string
  readonly call_id?: string
  readonly id?: string
  readonly name?: string
  readonly arguments?: string
  readonly action?: object
  readonly actions?: ReadonlyArray<object>
}

/** What the SDK's runner is made of. Its functions come to light as it prepares a call; nothing runs before {@link dispatch}. */
interface ResponsesRunner {
  readonly iterate: (client: OpenAI, ...rest: Unknowns) => unknown
  readonly prepareFunction: (
    item: Item,
    turn: { readonly functions: Map<string, () => unknown> },
    ...rest: Unknowns
  ) => void
  readonly dispatch: (item: Item, ...rest: Unknowns) => Promise<void>
  readonly browser: { readonly executeWithStatus: (call: Item, ...rest: Unknowns) => Promise<object> } | undefined
  readonly computer: { readonly execute: (call: Item, ...rest: Unknowns) => Promise<object> } | undefined
}

/** Where `dispatch` takes its options, behind the item. */
const optionsPlace = 6

/** The same runner, whose tools run as policy lets the session's caller. */
const judgedResponses = (session: Session, runner: ResponsesRunner): ResponsesRunner => {
  const { browser, computer } = runner
  const judged: ResponsesRunner = Object.create(runner, {
    prepareFunction: {
      value: (item: Item, turn: { readonly functions: Map<string, () => unknown> }, ...rest: Unknowns): void => {
        const { arguments: text = "", call_id: id = "", name = "" } = item
        if (turn.functions.has(id)) return
        runner.prepareFunction(item, turn, ...rest)
        const prepared = turn.functions.get(id)
        if (prepared === undefined) return
        const run = (narrowed: string | undefined): unknown => {
          if (narrowed === undefined) return prepared()
          const functions = new Map<string, () => unknown>()
          runner.prepareFunction({ ...item, arguments: narrowed }, { ...turn, functions }, ...rest)
          return functions.get(id)?.()
        }
        turn.functions.set(id, () => orRefusal(() => runRequestedBy(session, { id, name, text, run })))
      }
    },
    dispatch: {
      value: (item: Item, ...rest: Unknowns): Promise<void> =>
        runner.dispatch.call(
          judged,
          item,
          ...(item.type === "mcp_approval_request"
            ? rest.with(optionsPlace, judgedApproval(session, rest[optionsPlace]))
            : rest)
        )
    },
    browser: {
      value: browser && {
        executeWithStatus: (call: Item, ...rest: Unknowns) => {
          const { arguments: text = "", call_id: id, name = "" } = call
          const run = (narrowed: string | undefined) =>
            browser.executeWithStatus(narrowed === undefined ? call : { ...call, arguments: narrowed }, ...rest)
          return toldOr(
            () => runRequestedBy(session, { id, name, text, run }),
            // As where the app declines a call: the next ones of the same answer were planned for another page.
            (output) => ({ output: { type: "function_call_output", call_id: id, output }, ok: false })
          )
        }
      }
    },
    computer: {
      value: computer && {
        execute: (call: Item, ...rest: Unknowns) => runComputer(session, call, () => computer.execute(call, ...rest))
      }
    }
  })
  return judged
}

const toldOr = async (run: () => Promise<unknown>, told: (refusal: string) => unknown): Promise<unknown> => {
  let ran: { readonly value: unknown } | undefined
  const refusal = await orRefusal(async () => {
    ran = { value: await run() }
    return ""
  })
  return ran === undefined ? told(refusal) : ran.value
}

/** What the SDK's toolset for a computer is made of, where it asks the model itself. */
interface Computer {
  readonly run: (client: OpenAI, ...rest: Unknowns) => Promise<unknown>
  readonly executeOwned: (call: Item, ...rest: Unknowns) => Promise<object>
}

const judgedComputer = (session: Session, toolset: Computer): Computer =>
  Object.create(toolset, {
    executeOwned: {
      value: (call: Item, ...rest: Unknowns) => runComputer(session, call, () => toolset.executeOwned(call, ...rest))
    }
  })

/** Has a computer act where policy lets the caller make each action. None is made before all were judged: they come as one. */
const runComputer = (session: Session, call: Item, execute: () => Promise<object>): Promise<unknown> => {
  const actions = [...(call.action === undefined ? [] : [call.action]), ...(call.actions ?? [])]
  const from = async (at: number): Promise<unknown> => {
    const action = actions[at]
    if (action === undefined) return execute()
    const run = (narrowed: string | undefined): unknown => {
      if (narrowed !== undefined) throw unchangeable("computer")
      return from(at + 1)
    }
    return runRequestedBy(session, { id: call.call_id, name: "computer", text: JSON.stringify(action), run })
  }
  return from(0)
}

/** Options of a run whose approval of a tool of an MCP server is asked for what policy lets the caller use. */
const judgedApproval = (session: Session, options: unknown): unknown => {
  const { approveMcp } = options as { readonly approveMcp?: (request: Item) => unknown }
  if (approveMcp === undefined) return options
  const judged = async (request: Item): Promise<unknown> => {
    const { arguments: text = "", id, name = "" } = request
    const run = (narrowed: string | undefined) => (narrowed === undefined ? approveMcp(request) : false)
    return toldOr(
      () => runRequestedBy(session, { id, name, text, run }),
      () => false
    )
  }
  return { ...(options as object), approveMcp: judged }
}

// ---------------------------------------------------------------------------------------------------------------------
// Decisions
// ---------------------------------------------------------------------------------------------------------------------

interface Candidate {
  readonly id: string
  readonly execute?: () => unknown
}
interface Registration {
  readonly candidates: (observation: unknown) => unknown
}
interface DecisionsRunner {
  readonly run: (client: OpenAI, ...rest: Unknowns) => Promise<unknown>
  readonly registration: Registration
}

const judgedDecisions = (session: Session, runner: DecisionsRunner): DecisionsRunner => {
  const { registration } = runner
  const candidates = async (observation: unknown): Promise<unknown> => {
    const given = await registration.candidates(observation)
    return Array.isArray(given) ? given.map((one: unknown) => judgedCandidate(session, one)) : given
  }
  return Object.create(runner, {
    registration: { value: Object.create(registration, { candidates: { value: candidates } }) }
  })
}

const judgedCandidate = (session: Session, candidate: unknown): unknown => {
  if (!isObject(candidate) || typeof candidate["execute"] !== "function") return candidate
  const { description, done, execute, id } = candidate as unknown as Candidate & Record<string, unknown>
  const run = (narrowed: string | undefined): unknown => {
    if (narrowed !== undefined) throw unchangeable(id)
    return Reflect.apply(execute as () => unknown, candidate, [])
  }
  return { id, description, done, execute: () => runRequestedBy(session, { name: id, text: "{}", run }) }
}

// ---------------------------------------------------------------------------------------------------------------------
// Agents
// ---------------------------------------------------------------------------------------------------------------------

type Handler = (args: unknown, ...rest: Unknowns) => unknown

/** The handlers of an agent's tools, each run as policy lets the session's caller. */
const judgedHandlers = (session: Session, handlers: object): object =>
  Object.fromEntries(
    Object.entries(handlers).map(([name, handler]: [string, unknown]) =>
      typeof handler === "function" ? [name, judgedHandler(session, name, handler as Handler)] : [name, handler]
    )
  )

const judgedHandler = (session: Session, name: string, handler: Handler): Handler => {
  const judged: Handler = (args, ...rest) => {
    const run = (narrowed: string | undefined) =>
      handler(narrowed === undefined ? args : (JSON.parse(narrowed) as unknown), ...rest)
    return orRefusal(() => runRequestedBy(session, { name, text: JSON.stringify(args), run }))
  }
  // The SDK marks handlers that say how far they are.
  for (const mark of Object.getOwnPropertySymbols(handler))
    Object.defineProperty(judged, mark, Object.getOwnPropertyDescriptor(handler, mark)!)
  return judged
}

/** The same body with judged handlers, its other members as they are: the SDK reads them one by one. */
const withJudgedHandlers = <A>(session: Session, body: A): A => {
  if (!isObject(body) || !Object.hasOwn(body, "toolHandlers")) return body
  const value = body["toolHandlers"]
  if (!isObject(value)) return body
  const descriptors = Object.getOwnPropertyDescriptors(body)
  const toolHandlers = { value: judgedHandlers(session, value), enumerable: true, configurable: true, writable: true }
  return Object.create(Object.getPrototypeOf(body), { ...descriptors, toolHandlers })
}

/** Has an agent's sessions run each tool only as policy lets the session's caller. */
const judgeAgents = (client: OpenAI, session: Session): void => {
  const sessions: object | undefined = (client as Partial<OpenAI>).beta?.agents?.sessions
  if (sessions === undefined) return
  for (const [name, place] of [
    ["create", 0],
    ["stream", 1]
  ] as const) {
    const theirs: unknown = Reflect.get(sessions, name)
    if (typeof theirs !== "function") continue
    replace(sessions, name, (...args: Array<unknown>) => {
      const judged = place < args.length ? args.with(place, withJudgedHandlers(session, args[place])) : args
      return Reflect.apply(theirs, sessions, judged)
    })
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The SDK's classes
// ---------------------------------------------------------------------------------------------------------------------

/** A client's mark. It is no object, so that what wraps a client, a tracer's proxy for one, hands it on as it is. */
const markKey = Symbol("secure-openai/runners")
// A table by a mark, for the mark stands in the open: it must not lead to the session.
const sessions = new WeakMap<symbol, Session>()

/** Has the SDK's runners, given this client, run each tool only as policy lets the session's caller. */
export const judgeRunners = (client: OpenAI, session: Session): void => {
  const mark = Symbol("secure-openai/client")
  sessions.set(mark, session)
  Object.defineProperty(client, markKey, { value: mark })
  judgeAgents(client, session)
  for (const { ResponsesToolRunner } of copiesOf("responses-tool-runner"))
    judgeClass(
      ResponsesToolRunner,
      "iterate",
      ["prepareFunction", "dispatch"],
      ["browser", "computer"],
      judgedResponses
    )
  for (const { ComputerToolset } of copiesOf("computer"))
    judgeClass(ComputerToolset, "run", ["executeOwned"], [], judgedComputer)
  for (const { DecisionsToolRunner } of copiesOf("decisions-tool-runner"))
    judgeClass(DecisionsToolRunner, "run", [], ["registration"], judgedDecisions)
}

/** Classes that were made to look at the client that they are given. */
const judgedClasses = new WeakSet<object>()

/**
 * Has a runner's class begin each run for a secure client with a judged copy of itself. A class that is built in another way
 * than this module knows runs nothing for a secure client.
 */
const judgeClass = <Runner extends object>(
  runnerClass: unknown,
  entry: string & keyof Runner,
  methods: ReadonlyArray<string & keyof Runner>,
  fields: ReadonlyArray<string & keyof Runner>,
  judge: (session: Session, runner: Runner) => Runner
): void => {
  if (typeof runnerClass !== "function" || judgedClasses.has(runnerClass)) return
  judgedClasses.add(runnerClass)
  const prototype: object = runnerClass.prototype
  const theirs: unknown = Reflect.get(prototype, entry)
  if (typeof theirs !== "function") return
  const isKnown = methods.every((name) => typeof Reflect.get(prototype, name) === "function")
  replace(prototype, entry, function (this: Runner, ...args: Array<unknown>): unknown {
    const mark: unknown = isObject(args[0]) ? Reflect.get(args[0], markKey) : undefined
    const session = typeof mark === "symbol" ? sessions.get(mark) : undefined
    if (session === undefined) return Reflect.apply(theirs, this, args)
    if (!isKnown || !fields.every((name) => Object.hasOwn(this, name)))
      throw new OpenAIError(
        `${runnerClass.name} of this version of openai is not known to secure-openai, so its tools cannot be judged. Use another version of either, or run the tools with invokeTool.`
      )
    return Reflect.apply(theirs, judge(session, this), args)
  })
}

const require = createRequire(import.meta.url)

/**
 * A helper of the SDK: its ES module and its CommonJS one, none before the SDK had it, and where the latter is. An app may ask
 * for either once its clients are made, and would get the module that was loaded here.
 */
interface Helper {
  readonly modules: ReadonlyArray<unknown>
  readonly path: string
}

const helpers = new Map<string, Helper>()

/** A helper, looked for once: clients are made by the thousand. */
const helperOf = (name: string): Helper => {
  const known = helpers.get(name)
  if (known !== undefined) return known
  const found = find(name)
  helpers.set(name, found)
  return found
}

const find = (name: string): Helper => ({
  modules: [load(`openai/helpers/${name}.mjs`, require), load(`openai/helpers/${name}`, require)],
  path: String(load(`openai/helpers/${name}`, require.resolve))
})

/** Codes of what cannot be loaded: the SDK of this version does not have it, or Jest has no ES modules without a flag. */
const absent = /^(MODULE_NOT_FOUND|ERR_PACKAGE_PATH_NOT_EXPORTED|ERR_REQUIRE_ESM)$/

const load = (specifier: string, by: (specifier: string) => unknown): unknown => {
  try {
    return by(specifier)
  } catch (error) {
    if (isObject(error) && absent.test(String(error["code"]))) return undefined
    throw error
  }
}

/** A helper of the SDK as this process may use it; its CommonJS module also where it was loaded anew. */
const copiesOf = (name: string): ReadonlyArray<Readonly<Record<string, unknown>>> => {
  const { modules, path } = helperOf(name)
  return [...modules, require.cache[path]?.exports as unknown].filter(isObject)
}

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> => typeof u === "object" && u !== null
