/**
 * What a client is behind the SDK's face: in whose name it calls, with which intents, in which workspace, and whether it is
 * still alive. Clones of a client share its session; a binding is a session of its own.
 */
import type * as ManagedRuntime from "effect/ManagedRuntime"
import type { OpenAI } from "openai"
import type { Credentials, IntentPolicy } from "../call/Call.ts"
import type { Door } from "./Door.ts"
import { type PolicyDenied, toSdkError } from "../call/Errors.ts"
import { newId } from "../base/Id.ts"
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
  door: Door
  /** True where the option `layer` brought another pipeline than the default one. */
  readonly hasOwnPipeline: boolean
  /** In another's name than the service's: what the service itself is to its workspace. */
  readonly service?: Session
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

const sessions = new WeakMap<OpenAI, Session>()

/** Remembers whose session a client is. */
export const rememberSession = (client: OpenAI, session: Session): void => {
  sessions.set(client, session)
}

/** The session of a secure client; of any other object there is none. */
export const sessionOf = (client: OpenAI): Session | undefined => sessions.get(client)

/** Refuses at the door, before a pipeline has begun: recorded, and thrown as a `PolicyDeniedError`. */
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
