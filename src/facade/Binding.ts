/**
 * Bindings: who a service's client may be bound to, and how a binding ends.
 */
import { type AgentClient, type Standing, standingOf } from "../agents/AgentClient.ts"
import { newId } from "../base/Id.ts"
import { Life } from "../base/Life.ts"
import { otherCopy } from "../base/Shared.ts"
import type { Credentials } from "../call/Credentials.ts"
import { BindError, ConfigurationError, UnboundError } from "../call/SdkErrors.ts"
import type { Binding, Session } from "./Session.ts"

/** The error for a member that a bound client does not give its holder: `does` says what only the service's client does. */
export const onlyService = (does: string): ConfigurationError =>
  new ConfigurationError(
    `A bound client is all that its holder gets of a service: only the service's own client ${does}.`
  )

/**
 * A registered user of the service's workspace, to whom its client may be bound. Throws a `BindError` for anything else, and records
 * the refusal.
 */
export const requireUser = (service: Session, user: AgentClient): Standing & { readonly life: Life } => {
  const { app, workspace } = service
  const refuse = (code: BindError["code"], message: string, caller: Credentials = service.credentials): never => {
    const refused = { call: newId(), tool: "identity:register", app, stage: "identity", code, status: 403 }
    void workspace.refuse({ ...refused, violations: [{ code }] }, caller).catch(() => {})
    throw new BindError(code, message)
  }
  if (service.credentials._tag !== "App")
    return refuse("not_service", "Only a client in service mode can be bound; this one already acts for a user.")
  const standing = standingOf(user)
  if (standing === undefined) {
    const copy = otherCopy(user)
    return refuse(
      copy === undefined ? "not_registered" : "other_copy",
      `bindToUser takes a registered AgentClient, and ${copy ?? "this is none."}`
    )
  }
  if (standing.workspace !== workspace)
    return refuse(
      "other_workspace",
      `${user.agentId} is registered in another workspace; make it with { workspace: client.workspace }.`
    )
  if (user.agentType !== "user")
    return refuse("not_user", `${user.agentId} is an agent of type "${user.agentType}"; only a user can be bound.`)
  const { credentials, life } = standing
  if (life === undefined)
    return refuse("not_registered", `${user.agentId} is not registered; await register() first.`, credentials)
  return { ...standing, life }
}

/** The session of a service's client that is bound to a user; `settings` are those of the binding. */
export const boundSession = (
  service: Session,
  settings: Pick<Session, "settings" | "drain">,
  { credentials, intentPolicy, life }: Standing & { readonly life: Life },
  binding: Binding
): Session => ({
  ...service,
  ...settings,
  credentials,
  intents: intentPolicy === undefined ? service.intents : [...service.intents, intentPolicy],
  life: new Life(service.life, life),
  service,
  asked: new Map(),
  binding
})

/** Ends a binding once what was begun has ended, or at once with `force`; its service waits until a user that it owns has left. */
export const giveBack = async (
  { drain, life, service, workspace }: Session,
  { owned, user }: Binding,
  { force = false, inBackground = false }: { readonly force?: boolean; readonly inBackground?: boolean }
): Promise<void> => {
  const leaving = service?.life.begin()
  try {
    if (force) life.end(new UnboundError())
    await life.drain(() => new UnboundError(), drain, { inBackground })
    if (owned && user.registered && !workspace.closed) await user.unregister()
  } finally {
    leaving?.end()
  }
}
