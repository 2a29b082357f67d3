/**
 * What clients share: the policies, the issuers whose tokens are trusted, the keys, the log, and the directory of agents. One
 * runtime builds it all, once.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Path from "node:path"
import process from "node:process"
import { Audit, type Refused } from "../audit/Audit.ts"
import { copyTargetOf } from "../audit/folder/Copies.ts"
import { refusalFields } from "../audit/FailureFields.ts"
import type { ReadRecord } from "../audit/Record.ts"
import type { Call } from "../call/Call.ts"
import type { Credentials } from "../call/Credentials.ts"
import type { IntentPolicy } from "../call/Lineage.ts"
import type { Service } from "../call/Delivery.ts"
import type { Decision } from "../call/Decision.ts"
import { ClosedError, ConfigurationError, toSdkError } from "../call/SdkErrors.ts"
import { Configuration, type EnforcementUnavailable } from "../call/Errors.ts"
import { createFile, makeFolders, realPath } from "../base/Files.ts"
import { now, scheduler } from "../base/EventLoop.ts"
import { type Health, healthSince, healthUnopened, requireServing } from "./Health.ts"
import { newId } from "../base/Id.ts"
import { Identity } from "../identity/Identity.ts"
import { Keys, type PublicKey } from "../keys/Keys.ts"
import { keysOfEnvironment } from "../keys/KeyOptions.ts"
import type { Limits } from "../policy/Limits.ts"
import type { Revision } from "../policy/ActivePolicies.ts"
import { Policy } from "../policy/Policy.ts"
import type { Principal } from "../call/Principal.ts"
import { type PublicKeys, publicKeysOf } from "./PublicKeys.ts"
import { Models } from "../rewriting/Models.ts"
import { reopening } from "./Reopening.ts"
import * as Revisions from "./Revisions.ts"
import { Rewriting } from "../rewriting/Rewriting.ts"
import { Directory } from "../signing/Directory.ts"
import { Replay } from "../signing/Replay.ts"
import { markCopy, otherCopy, shared } from "../base/Shared.ts"
import { Signer } from "../keys/Signer.ts"
import { Signing } from "../signing/Signing.ts"
import { fromEnvironment, requireKnown, type WorkspaceOptions } from "./WorkspaceOptions.ts"

/** The stages that a workspace provides; with an Invocation they make a pipeline. */
export type WorkspaceServices = Identity | Signing | Policy | Rewriting | Audit | Keys | Directory

/**
 * A workspace.
 *
 * @category models
 */
export class Workspace {
  readonly #runtime: () => ManagedRuntime.ManagedRuntime<WorkspaceServices, Configuration | EnforcementUnavailable>
  readonly #services = new Map<string, WeakRef<Service>>()
  readonly #since = now()
  #closed = false

  static {
    markCopy(Workspace.prototype)
  }

  /** A workspace that opens on first use. Prefer {@link Workspace.open}, which tells at once what is wrong. */
  constructor(options: WorkspaceOptions = {}) {
    requireKnown(options)
    // What an app prints is its own.
    this.#runtime = reopening(Layer.provideMerge(Workspace.layer(options), Layer.succeed(Logger.LogToStderr, true)))
  }

  /** What its stages are built in; another one after a log that could not be opened. */
  get runtime(): ManagedRuntime.ManagedRuntime<WorkspaceServices, Configuration | EnforcementUnavailable> {
    return this.#runtime()
  }

  /** Opens a workspace; rejects with a `ConfigurationError`, `IdentityError` or `EnforcementUnavailableError`. */
  static async open(options: WorkspaceOptions = {}): Promise<Workspace> {
    const workspace = new Workspace(options)
    await workspace.ready()
    return workspace
  }

  /** The default workspace of this process, from `SECURE_OPENAI_POLICIES`, `_ISSUER`, `_AUDIENCE`, `_JWKS_URI`, `_CLAIMS`, `_AUDIT`, `_CHECKPOINTS`, `_POLICY_MODE`. */
  static default(): Workspace {
    if (defaultWorkspace === undefined || defaultWorkspace.#closed) {
      const defaults = shared<Defaults>("default workspace", () => ({ options: undefined, open: [] }))
      defaults.open = defaults.open.filter(({ closed }) => !closed)
      if (defaults.open.length === 0 || defaults.options === undefined)
        defaults.options = { home: homeOf({}), ...fromEnvironment() }
      defaultWorkspace = new Workspace(defaults.options)
      defaults.open = [...defaults.open, defaultWorkspace]
    }
    return defaultWorkspace
  }

  /** The stages of a workspace as a layer, for programs without the facade. */
  static layer(options: WorkspaceOptions = {}): Layer.Layer<WorkspaceServices, Configuration | EnforcementUnavailable> {
    const inMemory = options.audit === "memory"
    const home = homeOf(options)
    const { checkpoints, durability, path: named } = options.audit === "memory" ? {} : (options.audit ?? {})
    const path = Path.resolve(named ?? Path.join(home, "audit"))
    const kept = typeof options.keys === "string" ? { folder: options.keys } : (options.keys ?? keysOfEnvironment())
    const held = inMemory
      ? kept === undefined
        ? Keys.layerMemory
        : Keys.layerKept(kept, undefined)
      : Layer.unwrap(Effect.as(makeHome(home), Keys.layerKept(kept ?? {}, Path.join(home, "keys"))))
    const keys = options.signer === undefined ? held : Layer.provide(Signer.keys(held), options.signer)
    const audit = inMemory
      ? Audit.layerMemory()
      : Audit.layer({
          path,
          named: named !== undefined,
          durability,
          checkpoints: checkpoints === undefined ? undefined : copyTargetOf(checkpoints)
        })
    const issuers = options.issuers === undefined ? [] : [options.issuers].flat()
    // Clients that share a log share what may be used once.
    const replay = inMemory ? Replay.layerMemory : Replay.layerShared(realPath(path))
    const stages = Layer.mergeAll(
      Identity.layer({ issuers }),
      Policy.layer({ policies: options.policies, mode: options.policyMode }),
      Rewriting.layer.pipe(Layer.provide(options.models === undefined ? Models.layer : Models.layerOf(options.models))),
      Signing.layer,
      audit
    ).pipe(Layer.provideMerge(Layer.mergeAll(keys, Directory.layer)), Layer.provide(replay))
    return Revisions.layer(options.policies, stages)
  }

  /**
   * Settles once policies, keys and log are good, every issuer's key set can be used, and nobody's calls are refused by
   * enforcement. Rejects with the error that a call would meet.
   */
  async ready(): Promise<void> {
    await this.#run(
      Effect.andThen(
        requireServing,
        Effect.flatMap(Identity, (identity) => identity.ready)
      )
    )
  }

  /**
   * How the workspace stands; cheap enough for a probe each second. It is opened, where it is not yet; an open one is read from
   * memory alone. What it reports on never makes it reject: a workspace that cannot be opened says why. Rejects with a
   * `ClosedError` after {@link close}.
   */
  async health(): Promise<Health> {
    if (this.#closed) throw new ClosedError()
    const exit = await this.runtime.runPromiseExit(healthSince(this.#since), { scheduler })
    if (this.#closed) throw new ClosedError()
    return Exit.isSuccess(exit) ? exit.value : healthUnopened(Cause.squash(exit.cause), this.#since)
  }

  /**
   * The keys to publish, for others to verify receipts, envelopes and checkpoints by, wherever they are held: those of this
   * workspace's own log. Rejects as {@link ready} where the workspace cannot be opened.
   */
  publicKeys(): Promise<PublicKeys> {
    return this.#run(
      Effect.gen(function* () {
        const { origin } = yield* (yield* Audit).status
        return publicKeysOf(yield* Keys, origin)
      })
    )
  }

  /** True once {@link close} was called. */
  get closed(): boolean {
    return this.#closed
  }

  /** Closes the log and releases everything. Calls that are under way are recorded as they stand. */
  async close(): Promise<void> {
    this.#closed = true
    await this.runtime.dispose()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Makes a service callable by its agent id, for as long as somebody else keeps it. */
  serve(service: Service): void {
    const { id } = service
    this.#services.set(id, new WeakRef(service))
    collected.register(service, () => this.#services.delete(id))
  }

  /** The service with this agent id. */
  service(id: string): Service | undefined {
    return this.#services.get(id)?.deref()
  }

  /** Verifies credentials: the principal, or an `IdentityError`. */
  principal(credentials: Credentials, app: string): Promise<Principal> {
    return this.#run(Effect.flatMap(Identity, (identity) => identity.principal(credentials, app)))
  }

  /** As {@link principal}, for one who registers or calls by hand: the log is told of a refusal first. */
  verify(credentials: Credentials, app: string): Promise<Principal> {
    return this.#run(
      Effect.gen(function* () {
        const identity = yield* Identity
        const { refuse } = yield* Audit
        const told = { call: newId(), tool: "identity:register", app }
        const caller = { credentials, principal: undefined }
        return yield* identity
          .principal(credentials, app)
          .pipe(Effect.tapError((error) => refuse({ ...told, ...refusalFields(Cause.fail(error), caller) })))
      })
    )
  }

  /** Enters an agent into the directory, and its key into the log. */
  enter(agent: {
    readonly id: string
    readonly kind: "user" | "agent"
    readonly app: string
    readonly key: PublicKey<"agent">
    readonly principal: Principal
  }): Promise<void> {
    const { app, id, key, kind, principal } = agent
    return this.#run(
      Effect.flatMap(Audit, (audit) => audit.keyActive({ kid: key.kid, jwk: key.jwk })).pipe(
        Effect.andThen(
          Effect.map(Directory, (directory) =>
            directory.add({ agentId: id, kid: key.kid, publicKey: key.publicKey, kind, app, principal })
          )
        )
      )
    )
  }

  /** Takes an agent out of the directory, and says in the log that its key is in use no more. */
  leave(id: string): Promise<void> {
    return this.#run(
      Effect.gen(function* () {
        const directory = yield* Directory
        const agent = directory.get(id)
        directory.remove(id)
        if (agent !== undefined) yield* (yield* Audit).keyRetired({ kid: agent.kid })
      })
    )
  }

  /**
   * What policy says of a call, with the edits that it would make. Nothing is sent, counted or recorded. Rejects where the call
   * would be refused for want of enforcement: what cannot be enforced is not allowed.
   */
  foresee(call: Call): Promise<Decision> {
    return this.#run(
      Effect.gen(function* () {
        const audit = yield* Audit
        const identity = yield* Identity
        const policy = yield* Policy
        const rewriting = yield* Rewriting
        const signing = yield* Signing
        // A refusal is recorded, too, unless nobody knows whose it is; and what is judged was signed.
        const caller = { credentials: call.credentials, principal: undefined }
        const principal = yield* identity
          .principal(call.credentials, call.app)
          .pipe(
            Effect.tapError((error) =>
              refusalFields(Cause.fail(error), caller).unverified === undefined ? audit.serving("record") : Effect.void
            )
          )
        yield* audit.serving("record")
        if (signing.serving !== undefined) yield* signing.serving("call")
        const { decision, judge } = yield* policy.judge(call, principal)
        const foreseen = rewriting.foresee(call, decision, judge)
        if (foreseen.verdict === "allow") yield* audit.serving("call")
        return foreseen
      })
    )
  }

  /** What a caller may ask of an operation of a service at most. */
  limits(asking: {
    readonly app: string
    readonly operation: string
    readonly credentials: Credentials
    readonly intents: ReadonlyArray<IntentPolicy>
  }): Promise<Limits> {
    return this.#run(
      Effect.gen(function* () {
        const identity = yield* Identity
        const policy = yield* Policy
        const { app, credentials, intents, operation } = asking
        const principal = yield* identity.principal(credentials, app)
        return yield* policy.limits({ principal, app, intents, operation })
      })
    )
  }

  /**
   * Reads the policies anew and puts them in force in one step; a folder or file is watched anyway. Rejects with a
   * `ConfigurationError` for policies that do not load: the ones in force stay.
   */
  reload(): Promise<Revision> {
    return this.#run(Revisions.reload)
  }

  /**
   * Settles once every record so far is on the disk: the outcomes of calls that were answered, and of streams that were read to
   * their end, are among them. What follows an answer is otherwise written a few milliseconds later, which a process that is
   * frozen or killed behind its answer does not have.
   *
   * Rejects with an `EnforcementUnavailableError` where the log cannot be written, and with a `ClosedError` once the workspace is
   * closed, which writes everything.
   */
  flush(): Promise<void> {
    return this.#run(Effect.flatMap(Audit, (audit) => audit.flush))
  }

  /** Every record of the log so far, oldest first: the whole log is read. */
  records(): Promise<ReadonlyArray<ReadRecord>> {
    return this.#run(Effect.flatMap(Audit, (audit) => audit.records))
  }

  /**
   * Records a refusal made outside a pipeline, of whoever called with these credentials: a user is identified for it first, for
   * what anybody may cause is counted with others (see {@link Audit}).
   */
  refuse(refused: Omit<Refused, "principal" | "unverified">, credentials: Credentials): Promise<void> {
    if (credentials._tag !== "User") return this.#record(refused)
    return this.#run(
      Effect.gen(function* () {
        const audit = yield* Audit
        const identity = yield* Identity
        const told = yield* Effect.match(identity.principal(credentials, refused.app), {
          onSuccess: (principal) => ({ principal }),
          onFailure: (error) => {
            const { unverified } = refusalFields(Cause.fail(error), { credentials, principal: undefined })
            return { unverified }
          }
        })
        yield* audit.refuse({ ...refused, ...told })
      })
    )
  }

  #record(refused: Refused): Promise<void> {
    return this.#run(Effect.flatMap(Audit, (audit) => audit.refuse(refused)))
  }

  /** Records that a stream was never read. */
  abandon(call: string): void {
    if (!this.#closed)
      this.runtime.runFork(
        Effect.flatMap(Audit, (audit) => audit.abandon(call)),
        { scheduler }
      )
  }

  async #run<A, E>(effect: Effect.Effect<A, E, WorkspaceServices>): Promise<A> {
    if (this.#closed) throw new ClosedError()
    const exit = await this.runtime.runPromiseExit(effect, { scheduler })
    if (Exit.isSuccess(exit)) return exit.value
    if (this.#closed && Cause.hasInterruptsOnly(exit.cause)) throw new ClosedError()
    throw toSdkError(Cause.squash(exit.cause))
  }
}

/** This copy's; that of another has the same options, and so the same log and limits. */
let defaultWorkspace: Workspace | undefined

/** What the default workspaces of all copies in this process are opened with, for as long as one is open. */
interface Defaults {
  options: WorkspaceOptions | undefined
  open: ReadonlyArray<{ readonly closed: boolean }>
}

const homeOf = (options: WorkspaceOptions): string =>
  Path.resolve(options.home ?? (process.env["SECURE_OPENAI_HOME"] || ".secure-openai"))

const collected = new FinalizationRegistry<() => void>((forget) => forget())

/** A workspace as an option gives it. Throws `ConfigurationError` for what is none, and for one of another copy of this library. */
export const requireWorkspace = (given: unknown): Workspace => {
  if (given instanceof Workspace) return given
  const why = otherCopy(given) ?? "it is none; make one with Workspace.open or new Workspace."
  throw new ConfigurationError(`The option "workspace" takes a Workspace, and ${why}`)
}

/** The home, kept out of version control. */
const makeHome = (home: string): Effect.Effect<void, Configuration> =>
  Effect.try({
    try: () => {
      makeFolders(home)
      createFile(Path.join(home, ".gitignore"), "*\n")
    },
    catch: (cause) =>
      new Configuration({
        message: `The home ${home} cannot be made: ${cause instanceof Error ? cause.message : String(cause)}. Set SECURE_OPENAI_HOME to a folder that this process may write, or use audit: "memory".`,
        cause
      })
  })
