/**
 * The log. Audit promises that nothing leaves unrecorded: a decision is durable before the bytes go out, a refusal before
 * the caller sees it, and an outcome always follows.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Call, Committed, type Identified, type PassThrough, type Prepared, type Reply } from "../call/Call.ts"
import type { Decision } from "../call/Decision.ts"
import { EnforcementUnavailable, type PipelineError, type PolicyRateLimited } from "../call/Errors.ts"
import { newId } from "../base/Id.ts"
import * as Redacted from "effect/Redacted"
import { saltId } from "../keys/KeyFolder.ts"
import { type AnyKey, Keys } from "../keys/Keys.ts"
import type { Principal } from "../call/Principal.ts"
import type { Target } from "./folder/Copies.ts"
import { digests, makeSalts, salted } from "./Digest.ts"
import { Disk, memoryFileSystem } from "./folder/Disk.ts"
import { endOf, endOfStream, pathsOf, type Reason, type Refusal, refusalOf } from "./Failure.ts"
import { signCheckpointBy } from "./proof/Checkpoint.ts"
import { join, newOrigin, siblingsOf } from "./folder/Journal.ts"
import { Frontier } from "./proof/MerkleTree.ts"
import type { Body, Ending, Kinds, ReadRecord } from "./Record.ts"
import { SpaceWatch } from "./folder/FreeSpace.ts"
import type { LogStatus } from "./LogStatus.ts"
import { type Ground, quantitiesOf, recordPrincipal, Trail } from "./Trail.ts"
import { messageOf, unavailable } from "./Unavailable.ts"
import type { Writer } from "./folder/Writer.ts"

/** How a pass-through request ended. */
export interface Outcome {
  readonly result: Ending
  readonly attempts: number
  readonly status?: number
  readonly error?: string
  readonly requestId?: string
}

/** A refusal outside a pipeline: of a pass-through request, a registration or a binding. */
export interface Refused extends Refusal {
  readonly call: string
  readonly tool: string
  readonly app: string
  readonly principal?: Principal | undefined
}

/** Where and how a log is kept. */
export interface AuditOptions {
  /** The log's folder. */
  readonly path: string
  /** True where the user named the path; where another process has a path that was not named, a sibling is opened. */
  readonly named: boolean
  /** Issuer of receipts. Default: the service that was called, by its agent id. */
  readonly server?: string | undefined
  /** `durable`, the default: a call waits until its decision is on the disk. `batched`: it does not. */
  readonly durability?: "durable" | "batched" | undefined
  /** Where checkpoints are copied to as they are signed. */
  readonly checkpoints?: Target | undefined
}

/**
 * The audit stage.
 *
 * @category services
 */
export class Audit extends Context.Service<
  Audit,
  {
    /**
     * Claims what the call spends of limits and writes the decision, in one step; succeeds once that is on the disk. Where a limit
     * is spent it claims and writes nothing, and the call is refused.
     */
    readonly commit: (prepared: Prepared) => Effect.Effect<Committed, PolicyRateLimited | EnforcementUnavailable>
    /** Notes the principal of a call under way, so that a later refusal can name it. */
    readonly identified: (identified: Identified) => void
    /**
     * Follows a call to its end: writes its refusal (see `refuse`), or its outcome, and follows a stream until it is complete, failed,
     * abandoned or aborted. A reply gains its receipt.
     */
    readonly observe: (call: Call) => (run: Effect.Effect<Reply, PipelineError>) => Effect.Effect<Reply, PipelineError>
    /** Writes that a request passes through; succeeds once that is on the disk, with the way to tell its end. */
    readonly passThrough: (
      request: PassThrough,
      principal: Principal,
      observed?: Decision
    ) => Effect.Effect<(outcome: Outcome) => Effect.Effect<void>, EnforcementUnavailable>
    /**
     * Writes a refusal made outside a pipeline; succeeds once it is on the disk. One of a caller of whose token no signature was
     * verified succeeds at once: it is counted, and written with others within a second.
     */
    readonly refuse: (refused: Refused) => Effect.Effect<void, EnforcementUnavailable>
    /** Writes that an agent's key is in use (`key.active`), so that an outsider can verify what it signed. */
    readonly keyActive: (key: {
      readonly kid: string
      readonly jwk: JsonWebKey
    }) => Effect.Effect<void, EnforcementUnavailable>
    /** Writes that an agent's key is in use no more (`key.retired`): what it signs from here on does not count. */
    readonly keyRetired: (key: { readonly kid: string }) => Effect.Effect<void, EnforcementUnavailable>
    /** Writes that a policy set came into force (`policy.activated`); the first one, with `previous` undefined, waits for no disk. */
    readonly policyActivated: (policies: {
      readonly revision: string
      readonly count: number
      readonly previous?: string
      readonly mode?: "observe" | "enforce"
    }) => Effect.Effect<void, EnforcementUnavailable>
    /** Writes that a change of the policies does not load (`policy.rejected`); `revision` is the one that stays in force. */
    readonly policyRejected: (change: {
      readonly revision: string
      readonly reason: string
    }) => Effect.Effect<void, EnforcementUnavailable>
    /**
     * Ends an open call as abandoned: for a stream that was collected without being read. `call` is the receipt's. A call
     * that is over stays as it is.
     */
    readonly abandon: (call: string) => Effect.Effect<void>
    /**
     * Fails with what a call would be refused with now. `record` asks only whether anything is taken in: a log that lets no
     * call begin may still take refusals. A log that failed is opened anew for it, as for a call, once it is time.
     */
    readonly serving: (what: "call" | "record") => Effect.Effect<void, EnforcementUnavailable>
    /** How the log stands; reads memory alone. A log that failed is opened anew soon after, in the background. */
    readonly status: Effect.Effect<LogStatus>
    /**
     * The other logs of the same default path, by their folders: other processes have them open, or had. None for a path that was
     * named.
     */
    readonly siblings: Effect.Effect<ReadonlyArray<string>>
    /** Succeeds once every record so far is on the disk, whatever the option `durability` says. */
    readonly flush: Effect.Effect<void, EnforcementUnavailable>
    /** Every record of the log so far, oldest first: the whole log is read. */
    readonly records: Effect.Effect<ReadonlyArray<ReadRecord>, EnforcementUnavailable>
  }
>()("secure-openai/Audit") {
  /**
   * A log in a folder. Clients of one process that name one folder share one log; it is closed with the last of them.
   * Fails with {@link EnforcementUnavailable}, and says what to do, where the log cannot be opened.
   *
   * @category layers
   */
  static readonly layer = (options: AuditOptions): Layer.Layer<Audit, EnforcementUnavailable, Keys> =>
    Layer.effect(Audit, make(options))

  /**
   * A log in memory: the same records, no folder, nothing to wait for. Lives as long as the layer.
   *
   * @category layers
   */
  static readonly layerMemory = (
    options: Pick<AuditOptions, "server"> = {}
  ): Layer.Layer<Audit, EnforcementUnavailable, Keys> =>
    Layer.effect(
      Audit,
      Effect.suspend(() =>
        Effect.map(
          Effect.provideService(make({ path: "/memory", named: true, ...options }), Disk, memoryFileSystem()),
          (audit) => ({ ...audit, status: Effect.map(audit.status, (status) => ({ ...status, path: "memory" })) })
        )
      )
    )
}

/** How long after a failure a log is opened anew that nobody asks anything of, in ms; as long again after each further one. */
const tendingDelay = 1000

const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)

const make = (options: AuditOptions): Effect.Effect<Audit["Service"], EnforcementUnavailable, Keys | Scope.Scope> =>
  Effect.gen(function* () {
    const keys = yield* Keys
    const disk = yield* Disk
    const logKeys = keys.nextLog === undefined ? [keys.log] : [keys.log, keys.nextLog]
    const first = logKeys.some((key) => "signLater" in key)
      ? yield* Effect.tryPromise({ try: async () => signedEmpty(logKeys), catch: unsigned })
      : undefined
    const journal = yield* Effect.acquireRelease(
      join({
        path: options.path,
        named: options.named,
        key: keys.log,
        next: keys.nextLog,
        first,
        disk,
        checkpoints: options.checkpoints,
        opening: openingRecords(keys)
      }),
      (opened) => Effect.promise(opened.close)
    )
    const { signed } = journal
    if (signed !== undefined) yield* Effect.tryPromise({ try: () => signed, catch: unsigned })
    const ground: Ground = { journal, salts: makeSalts(keys.salt), agent: keys.agent, server: options.server }
    /** Calls whose pipeline runs, by the id that the pipeline knows them by. */
    const underWay = new Map<string, Trail>()
    /** Calls that are owed an outcome, by the id that the log knows them by. */
    const open = new Map<string, Trail>()
    const seen = new WeakSet<Call>()

    const context = yield* Effect.context<never>()
    const space = new SpaceWatch(disk, journal.path, ({ free, total }) => {
      Effect.runForkWith(context)(
        Effect.logWarning(
          `The disk of the log at ${journal.path} has ${mebibytes(free)} MiB left of ${mebibytes(total)}. Make space on it: once it is full, every call is refused.`
        )
      )
    })
    let wasFull = false
    space.look()

    let tending: NodeJS.Timeout | undefined
    let isOver = false
    /** A log that failed is opened anew by what it is asked for; where nothing is asked, by itself. */
    const tend = (): void => {
      if (tending !== undefined || isOver) return
      tending = setTimeout(() => {
        tending = undefined
        if (journal.current().fault !== undefined) tend()
      }, tendingDelay).unref()
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isOver = true
        clearTimeout(tending)
      })
    )

    const closeTrails = (): void => {
      for (const trail of open.values()) trail.end({ result: "abandoned" })
    }
    journal.closing.add(closeTrails)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closeTrails()
        journal.closing.delete(closeTrails)
      })
    )

    const begin = (id: string, parent?: string): Trail =>
      new Trail(ground, { id, parent, ended: (trail) => open.delete(trail.id) })

    /** Waits until what was said is on the disk, unless the log does not make calls wait. */
    const durable = <A, E>(
      say: (writer: Writer) => Result.Result<A, E | EnforcementUnavailable>,
      known?: (a: A) => void
    ): Effect.Effect<A, E | EnforcementUnavailable> =>
      Effect.callback((resume) => {
        const writer = journal.current()
        const said = say(writer)
        if (Result.isFailure(said)) {
          if (writer.fault !== undefined) tend()
          return resume(Effect.fail(said.failure))
        }
        space.look()
        const settled = (fault: EnforcementUnavailable | undefined): void => {
          if (fault !== undefined) return resume(Effect.fail(fault))
          known?.(said.success)
          resume(Effect.succeed(said.success))
        }
        if (options.durability === "batched") settled(undefined)
        else writer.whenDurable(settled)
      })

    /** What a call begins with: nothing does while the log has a hindrance, and what has begun is owed an outcome. */
    const beginning = <A, E>(
      trail: Trail,
      say: (writer: Writer) => Result.Result<A, E | EnforcementUnavailable>,
      known?: (a: A) => void
    ): Effect.Effect<A, E | EnforcementUnavailable> =>
      durable((writer) => {
        const hindrance = journal.hindrance()
        if (hindrance !== undefined) return Result.fail(hindrance)
        const said = say(writer)
        if (Result.isSuccess(said)) open.set(trail.id, trail)
        return said
      }, known)

    const write = (body: Body): Effect.Effect<void, EnforcementUnavailable> =>
      Effect.asVoid(durable((writer) => writer.append(body)))

    /** As {@link write}, without waiting: it is on the disk before what follows it. */
    const say = (body: Body): Effect.Effect<void, EnforcementUnavailable> =>
      Effect.suspend(() => Effect.asVoid(Effect.fromResult(journal.append(body))))

    /** Writes a refusal; one of which nobody knows whose it is is counted, and waits for nothing. */
    const refuse = (
      { unverified, ...reason }: Refusal,
      about: () => Omit<Kinds["refused"], keyof Reason>
    ): Effect.Effect<void, EnforcementUnavailable> =>
      Effect.suspend(() => {
        if (unverified === undefined) return write({ kind: "refused", ...about(), ...reason })
        journal.refusals.add(unverified)
        space.look()
        return Effect.void
      })

    const commit = (prepared: Prepared): Effect.Effect<Committed, PolicyRateLimited | EnforcementUnavailable> =>
      Effect.suspend(() => {
        const trail = underWay.get(prepared.call.id) ?? begin(prepared.call.id)
        return Effect.map(
          beginning(
            trail,
            (writer) => trail.decide(prepared, writer),
            () => (trail.acknowledged = true)
          ),
          (entry) => new Committed(prepared, entry)
        )
      })

    /** The answer to a call whose pipeline came to its end. */
    const replied = (call: Call, trail: Trail, reply: Reply): Effect.Effect<Reply, PipelineError> => {
      if (!trail.decided)
        return failed(
          call,
          trail,
          Cause.fail(unavailable("The pipeline answered a call that it had not committed to the log."))
        )
      if (reply._tag === "Json") return Effect.fromResult(trail.answered(reply))
      return Effect.map(Effect.fromResult(trail.streamed(reply.meta)), (meta) => ({
        ...reply,
        meta,
        stream: followed(trail, reply.stream)
      }))
    }

    const failed = (
      call: Call,
      trail: Trail,
      cause: Cause.Cause<PipelineError>
    ): Effect.Effect<never, PipelineError> => {
      const handOn = Effect.failCause(Cause.hasDies(cause) ? Cause.fail(thrown(cause)) : cause)
      if (trail.decided) return Effect.andThen(Effect.fromResult(trail.end(endOf(cause, trail.acknowledged))), handOn)
      const { principal } = trail
      const refused = refuse(refusalOf(cause, { credentials: call.credentials, principal }), () => ({
        call: trail.id,
        tool: call.resource,
        app: call.app,
        principal: principal && recordPrincipal(principal),
        requested: salted(ground.salts(trail.id, "requested"), call.content),
        digests,
        asked: quantitiesOf(call, pathsOf(cause))
      }))
      return Effect.andThen(refused, handOn)
    }

    const observe =
      (call: Call) =>
      (run: Effect.Effect<Reply, PipelineError>): Effect.Effect<Reply, PipelineError> =>
        Effect.uninterruptibleMask((restore) =>
          Effect.suspend(() => {
            if (underWay.has(call.id)) return Effect.fail(unavailable(`The call ${call.id} is under way already.`))
            // Another run of a call is another call to the log, made because of the first.
            const trail = seen.has(call) ? begin(newId(), call.id) : begin(call.id)
            seen.add(call)
            underWay.set(call.id, trail)
            return Effect.matchCauseEffect(restore(run), {
              onSuccess: (reply) => {
                underWay.delete(call.id)
                return replied(call, trail, reply)
              },
              onFailure: (cause) => {
                underWay.delete(call.id)
                return failed(call, trail, cause)
              }
            })
          })
        )

    return Audit.of({
      commit,
      observe,
      identified: (identified) => {
        const trail = underWay.get(identified.call.id)
        if (trail !== undefined) trail.principal = identified.principal
      },
      passThrough: (request, principal, observed) =>
        Effect.suspend(() => {
          const trail = begin(request.id, request.lineage?.call)
          const passed = beginning(trail, (writer) => trail.pass(request, principal, observed, writer))
          return Effect.onExit(
            Effect.as(passed, (outcome: Outcome) =>
              Effect.sync(() => {
                trail.end({ ...outcome, request: outcome.requestId })
              })
            ),
            (exit) =>
              Exit.isFailure(exit)
                ? Effect.sync(() => {
                    trail.end({ result: "aborted" })
                  })
                : Effect.void
          )
        }),
      refuse: ({ app, call, principal, tool, ...refusal }) =>
        refuse(refusal, () => ({ call, tool, app, principal: principal && recordPrincipal(principal) })),
      keyActive: (key) => write(keyRecord("agent", key)),
      keyRetired: ({ kid }) => write({ kind: "key.retired", use: "agent", kid }),
      policyActivated: ({ count, mode, previous, revision }) => {
        const body: Body = {
          kind: "policy.activated",
          rev: revision,
          count,
          previous,
          mode: mode === "observe" ? mode : undefined
        }
        return previous === undefined ? say(body) : write(body)
      },
      policyRejected: ({ reason, revision }) => write({ kind: "policy.rejected", rev: revision, reason }),
      serving: (what) =>
        Effect.suspend(() => {
          const refusal = journal.current().fault ?? (what === "call" ? journal.hindrance() : undefined)
          return refusal === undefined ? Effect.void : Effect.fail(refusal)
        }),
      siblings: Effect.sync(() =>
        options.named ? [] : siblingsOf(disk, disk.makeFolder(options.path)).filter((path) => path !== journal.path)
      ),
      status: Effect.sync(() => {
        const status = journal.status()
        if (status.refusal !== undefined) tend()
        // The figure of before a write found the disk full does not stand beside that.
        const isFull = status.refusal?.reason === "disk_full"
        if (isFull && !wasFull) space.lookAnew()
        else space.look()
        wasFull = isFull
        return space.known === undefined ? status : { ...status, disk: space.known }
      }),
      abandon: (call) => Effect.sync(() => void open.get(call)?.end({ result: "abandoned" })),
      flush: Effect.callback((resume) => {
        journal.refusals.write()
        journal.whenDurable((fault) => resume(fault === undefined ? Effect.void : Effect.fail(fault)))
      }),
      records: Effect.flatMap(
        durable(() => {
          journal.refusals.write()
          return Result.void
        }),
        () => Effect.try({ try: journal.records, catch: asUnavailable })
      )
    })
  })

/** The stream, followed to its end; it can be read once. It fails where the log does: nothing is handed on unrecorded. */
const followed = (
  trail: Trail,
  stream: Stream.Stream<unknown, PipelineError>
): Stream.Stream<unknown, PipelineError> => {
  let begun = false
  return Stream.suspend(() => {
    if (begun || trail.over) return Stream.fail(unavailable("This stream was read before, or its client is closed."))
    begun = true
    let whole = false
    let broken: Cause.Cause<PipelineError> | undefined
    const recorded = Stream.transformPull(stream, (pull) =>
      Effect.succeed(
        Effect.flatMap(pull, (chunks) => {
          const fault = trail.handed(chunks)
          return fault === undefined ? Effect.succeed(chunks) : Effect.fail(fault)
        })
      )
    )
    return recorded.pipe(
      Stream.onEnd(Effect.sync(() => void (whole = true))),
      Stream.tapCause((cause) => Effect.sync(() => void (broken = cause))),
      Stream.onExit((exit) =>
        Effect.sync(() => {
          // A reader that stops early, or fails by itself, ends a stream that is neither whole nor broken.
          const stopped = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? "aborted" : "abandoned"
          trail.end(broken === undefined ? { result: whole ? "complete" : stopped } : endOfStream(broken))
        })
      )
    )
  })
}

/** A checkpoint of an empty log under a new origin. */
const signedEmpty = async (
  keys: ReadonlyArray<AnyKey<"log">>
): Promise<{ readonly origin: string; readonly note: string }> => {
  const origin = newOrigin()
  return { origin, note: await signCheckpointBy({ origin, size: 0, root: new Frontier().root() }, keys) }
}

const unsigned = (cause: unknown): EnforcementUnavailable =>
  unavailable(`The log's checkpoint could not be signed. ${messageOf(cause)}`, cause)

/** What a log says of its keys when it is opened: which are in use no more, then which are. */
const openingRecords = ({ agent, ended = [], log, salt }: Keys["Service"]): ReadonlyArray<Body> => [
  ...ended.map(({ kid, state, use, x }): Body => ({
    kind: state === "revoked" ? "key.revoked" : "key.retired",
    use,
    kid,
    jwk: x === undefined ? undefined : { kty: "OKP", crv: "Ed25519", x }
  })),
  keyRecord("log", log),
  keyRecord("agent", agent),
  ...(ended.some(({ use }) => use === "salt")
    ? [{ kind: "key.active", use: "salt", kid: saltId(Redacted.value(salt)) } as const]
    : [])
]

const keyRecord = (use: "agent" | "log", key: { readonly kid: string; readonly jwk: JsonWebKey }): Body => ({
  kind: "key.active",
  use,
  kid: key.kid,
  jwk: publicMembers(key.jwk)
})

/** The members of a JWK that are public; whatever else it holds stays out of the log. */
const publicMembers = (jwk: JsonWebKey): Record<string, string> =>
  Object.fromEntries(
    (["kty", "crv", "x", "y", "n", "e"] as const).flatMap((name) => {
      const value = jwk[name]
      return value === undefined ? [] : [[name, value]]
    })
  )

const asUnavailable = (cause: unknown): EnforcementUnavailable =>
  cause instanceof EnforcementUnavailable ? cause : unavailable(`The log failed: ${messageOf(cause)}`, cause)

const thrown = (cause: Cause.Cause<PipelineError>): EnforcementUnavailable =>
  new EnforcementUnavailable({
    stage: "custom:sentence",
    message: `The pipeline threw: ${String(Cause.squash(cause))}`,
    cause: Cause.squash(cause)
  })
