/**
 * What a client is behind the SDK's face: in whose name it calls, with which intents, in which workspace, and whether it is
 * still alive. Clones of a client share its session; a binding is a session of its own.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import type { OpenAI } from "openai"
import type { Credentials } from "../call/Credentials.ts"
import type { IntentPolicy, Lineage } from "../call/Lineage.ts"
import type { ServiceSettings } from "./ServiceSettings.ts"
import type { PolicyDenied } from "../call/Errors.ts"
import { toSdkError } from "../call/SdkErrors.ts"
import { scheduler } from "../base/EventLoop.ts"
import { type Health, withProblem } from "../workspace/Health.ts"
import { newId } from "../base/Id.ts"
import type { AgentClient } from "../agents/AgentClient.ts"
import type { Service } from "../call/Delivery.ts"
import type { Deployments } from "../call/Deployment.ts"
import type { Life } from "../base/Life.ts"
import type { Pipeline } from "../workspace/Pipeline.ts"
import type { Workspace } from "../workspace/Workspace.ts"
import type { RegisteredTool } from "./Tool.ts"

/** The part of a client that is ours; the rest is the SDK's. */
export interface Session {
  readonly app: string
  /** Agent id of the service in the directory. */
  readonly server: string
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  /** The models that the provider's deployments serve. */
  readonly deployments: Deployments | undefined
  readonly workspace: Workspace
  /** Lets go of a workspace that the client made of its own options. */
  readonly letGo: (() => Promise<void>) | undefined
  readonly runtime: () => ManagedRuntime.ManagedRuntime<Pipeline, unknown>
  readonly tools: Map<string, RegisteredTool>
  /** Ends by `unbind()`, by `close()`, and with what it depends on; its reason is what every later call throws. */
  readonly life: Life
  /** How long what was begun may run on once the client is closed, in ms. */
  readonly drain: number
  /** What of queries and headers is the service's own, and what callers may add. Set when the client of the session is made. */
  settings: ServiceSettings
  /** True where the option `layer` brought another pipeline than the default one. */
  readonly hasOwnPipeline: boolean
  /** In another's name than the service's: what the service itself is to its workspace. */
  readonly service?: Session
  /** Of a bound client. */
  readonly binding?: Binding
  /** What other agents reach, for as long as a client of the session lives: the workspace holds it weakly. */
  serves?: Service
  /** The calls whose answers asked for tools, by the tool calls' ids; the latest are kept. */
  readonly asked: Map<string, Lineage>
}

/** What binds a client to a user. */
export interface Binding {
  readonly user: AgentClient
  /** True where the binding made the user, and unregisters it when it ends. */
  readonly owned: boolean
}

/** Throws why a session has ended, if it has. */
export const requireAlive = ({ life }: Session): void => {
  if (life.over !== undefined) throw life.over
}

/** Throws why nothing new may begin in a session: it has ended, or takes nothing new. */
export const requireOpen = ({ life }: Session): void => {
  if (life.refusal !== undefined) throw life.refusal
}

/** Does something that its session waits for when it is drained. Rejects where nothing new may begin. */
export const during = async <A>({ life }: Session, run: () => Promise<A>): Promise<A> => {
  const task = life.begin()
  if (task === undefined) throw life.refusal
  try {
    return await task.run(run)
  } finally {
    task.end()
  }
}

// A table, for each class that `secure` makes has a private field of its own, and secureFetch takes a client of any of them.
const sessions = new WeakMap<OpenAI, Session>()

/** Remembers whose session a client is. */
export const rememberSession = (client: OpenAI, session: Session): void => {
  sessions.set(client, session)
}

/** The session of a secure client; of any other object there is none. */
export const sessionOf = (client: OpenAI): Session | undefined => sessions.get(client)

/** How a session's workspace and pipeline stand. Rejects where the session has ended. */
export const healthOf = async (session: Session): Promise<Health> => {
  requireOpen(session)
  const health = await session.workspace.health()
  if (health.log.path === undefined) return health
  // A pipeline of one's own may not come up in a workspace that did.
  const exit = await session.runtime().runPromiseExit(Effect.void, { scheduler })
  return Exit.isSuccess(exit) ? health : withProblem(health, Cause.squash(exit.cause))
}

/** Refuses a request that no pipeline has begun on: records it, and throws a `PolicyDeniedError`. */
export const refuseHere = async (session: Session, denied: PolicyDenied): Promise<never> => {
  const { resource, violations } = denied.decision
  const refused = {
    call: newId(),
    tool: resource,
    app: session.app,
    stage: "egress",
    code: violations[0]?.code ?? "policy_denied",
    status: 403,
    violations: violations.map(({ code }) => ({ code }))
  }
  await session.workspace.refuse(refused, session.credentials)
  throw toSdkError(denied)
}
