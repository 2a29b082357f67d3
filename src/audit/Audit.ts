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
import { newId } from "../base/Id.ts"
import type { Call } from "../call/Call.ts"
import { Committed, type Identified, type Prepared } from "../call/States.ts"
import type { PassThrough } from "../call/PassThrough.ts"
import type { Reply } from "../call/Reply.ts"
import type { CallResult } from "../call/CallEnd.ts"
import type { Decision } from "../call/Decision.ts"
import { EnforcementUnavailable, type PipelineError, type PolicyRateLimited } from "../call/Errors.ts"
import type { Principal } from "../call/Principal.ts"
import { Keys } from "../keys/Keys.ts"
import { LogClock } from "./Clock.ts"
import { digests, makeSalts, salted } from "./Digest.ts"
import { endFields, pathsOf, type Reason, type RefusalFields, refusalFields } from "./FailureFields.ts"
import type { CopyTarget } from "./folder/Copies.ts"
import { decodeLine, recordAt } from "./folder/Segment.ts"
import { folderLog } from "./folder/SharedLogs.ts"
import { followed } from "./FollowedStream.ts"
import type { Appended, Boot, Log, LogReader } from "./Log.ts"
import { makeAccess } from "./LogAccess.ts"
import type { LogStatus } from "./LogStatus.ts"
import { memoryLog } from "./MemoryLog.ts"
import { keyRecord } from "./OpeningRecords.ts"
import type { Body, Kinds, ReadRecord } from "./Record.ts"
import { quantitiesOf, recordPrincipal } from "./RecordFields.ts"
import { Trail, type TrailContext } from "./Trail.ts"
import { messageOf, unavailable } from "./Unavailable.ts"

/** How a pass-through request ended. */
export interface Outcome {
  readonly result: CallResult
  readonly attempts: number
  readonly status?: number
  readonly error?: string
  readonly requestId?: string
}

/** A refusal outside a pipeline: of a pass-through request, a registration or a binding. */
export interface Refused extends RefusalFields {
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
  readonly checkpoints?: CopyTarget | undefined
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
     * Claims what the call spends of limits and writes the decision, in one step; succeeds once that is durable. Where a limit is
     * spent it claims and writes nothing, and the call is refused.
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
   * Fails with {@link EnforcementUnavailable}, and with what to do about it, where the log cannot be opened.
   *
   * @category layers
   */
  static readonly layer = (options: AuditOptions): Layer.Layer<Audit, EnforcementUnavailable, Keys> =>
    Audit.layerOf(folderLog(options), options)

  /**
   * A log in memory: the same records, no folder, nothing to wait for. Lives as long as the layer.
   *
   * @category layers
   */
  static readonly layerMemory = (
    options: Pick<AuditOptions, "server"> = {}
  ): Layer.Layer<Audit, EnforcementUnavailable, Keys> => Audit.layerOf(memoryLog, options)

  /**
   * A log in any store: `log` opens it, and closes it with its scope.
   *
   * @category layers
   */
  static readonly layerOf = (
    log: Effect.Effect<Log, EnforcementUnavailable, Keys | Scope.Scope>,
    options: Pick<AuditOptions, "server" | "durability"> = {}
  ): Layer.Layer<Audit, EnforcementUnavailable, Keys> =>
    Layer.effect(
      Audit,
      Effect.flatMap(log, (opened) => make(opened, options))
    )
}

const make = (
  log: Log,
  options: Pick<AuditOptions, "server" | "durability">
): Effect.Effect<Audit["Service"], never, Keys | Scope.Scope> =>
  Effect.gen(function* () {
    const keys = yield* Keys
    const context = yield* Effect.context<never>()
    const trails: TrailContext = {
      origin: log.origin,
      salts: makeSalts(keys.salt),
      agent: keys.agent,
      server: options.server,
      clock: yield* LogClock,
      subscriberFailed: (cause) => {
        Effect.runForkWith(context)(Effect.logError("A subscriber of a call's end failed.", cause))
      }
    }
    /** Calls whose pipeline runs, by the id that the pipeline knows them by. */
    const underWay = new Map<string, Trail>()
    /** Calls whose outcome is still to be recorded, by the id that the log knows them by. */
    const open = new Map<string, Trail>()
    const seen = new WeakSet<Call>()
    const committed = new WeakSet<Call>()
    const access = yield* makeAccess(log, options.durability === "batched")
    const { durable } = access

    const closeTrails = (): void => {
      for (const trail of open.values()) trail.end({ result: "abandoned" })
    }
    log.closing.add(closeTrails)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closeTrails()
        log.closing.delete(closeTrails)
      })
    )

    const begin = (id: string, parent?: string): Trail =>
      new Trail(trails, { id, parent, ended: (trail) => open.delete(trail.id) })

    /** As {@link durable}, for what a call begins with: not while the log is blocked; an outcome must follow from then on. */
    const beginning = <E = never>(
      trail: Trail,
      append: (boot: Boot) => Result.Result<Appended, E | EnforcementUnavailable>,
      known?: () => void
    ): Effect.Effect<void, E | EnforcementUnavailable> =>
      durable((boot) => {
        const blocked = log.blocked()
        if (blocked !== undefined) return Result.fail(blocked)
        const appended = append(boot)
        if (Result.isSuccess(appended)) open.set(trail.id, trail)
        return appended
      }, known)

    const write = (body: Body): Effect.Effect<void, EnforcementUnavailable> => durable((boot) => boot.append(body))

    /** As {@link write}, without waiting: it is durable before what follows it. */
    const writeSoon = (body: Body): Effect.Effect<void, EnforcementUnavailable> =>
      Effect.suspend(() => Effect.asVoid(Effect.fromResult(log.append(body))))

    /** Writes a refusal; one of a caller whom nothing identified is counted, and waits for nothing. */
    const refuse = (
      { unverified, ...reason }: RefusalFields,
      about: () => Omit<Kinds["refused"], keyof Reason>
    ): Effect.Effect<void, EnforcementUnavailable> =>
      Effect.suspend(() => {
        if (unverified === undefined) return write({ kind: "refused", ...about(), ...reason })
        log.refusals.add(unverified)
        return Effect.void
      })

    const commit = (prepared: Prepared): Effect.Effect<Committed, PolicyRateLimited | EnforcementUnavailable> =>
      Effect.suspend(() => {
        const { call } = prepared
        const running = underWay.get(call.id)
        if (running === undefined && committed.has(call))
          return Effect.fail(unavailable(`The call ${call.id} was committed before, and is not under way.`))
        committed.add(call)
        const trail = running ?? begin(call.id)
        return Effect.map(
          beginning(
            trail,
            (boot) => trail.decide(prepared, boot),
            () => (trail.acknowledged = true)
          ),
          () => new Committed(prepared, trail.entry())
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
      if (trail.decided)
        return Effect.andThen(Effect.fromResult(trail.end(endFields(cause, trail.acknowledged))), handOn)
      const { principal } = trail
      const refused = refuse(refusalFields(cause, { credentials: call.credentials, principal }), () => ({
        call: trail.id,
        tool: call.resource,
        app: call.app,
        principal: principal && recordPrincipal(principal),
        requested: salted(trails.salts(trail.id, "requested"), call.content),
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

    const flush = Effect.callback<void, EnforcementUnavailable>((resume) => {
      log.refusals.write()
      log.whenDurable((fault) => resume(fault === undefined ? Effect.void : Effect.fail(fault)))
    })

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
          const passed = beginning(trail, (boot) => trail.pass(request, principal, observed, boot))
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
        return previous === undefined ? writeSoon(body) : write(body)
      },
      policyRejected: ({ reason, revision }) => write({ kind: "policy.rejected", rev: revision, reason }),
      serving: (what) =>
        Effect.suspend(() => {
          const refusal = log.current().fault ?? (what === "call" ? log.blocked() : undefined)
          return refusal === undefined ? Effect.void : Effect.fail(refusal)
        }),
      siblings: Effect.sync(log.siblings),
      status: Effect.sync(() => {
        const status = log.status()
        if (status.refusal !== undefined) access.reopen()
        return status
      }),
      abandon: (call) => Effect.sync(() => void open.get(call)?.end({ result: "abandoned" })),
      flush,
      records: Effect.andThen(flush, Effect.tryPromise({ try: () => readRecords(log.reader), catch: asUnavailable }))
    })
  })

const readRecords = async (log: LogReader): Promise<ReadonlyArray<ReadRecord>> => {
  const records: Array<ReadRecord> = []
  for await (const { lines } of log.records())
    for (const line of lines)
      records.push(
        Result.getOrThrowWith(recordAt(decodeLine(line), records.length), ({ message }) => new Error(message))
      )
  return records
}

const asUnavailable = (cause: unknown): EnforcementUnavailable =>
  cause instanceof EnforcementUnavailable ? cause : unavailable(`The log failed: ${messageOf(cause)}`, cause)

const thrown = (cause: Cause.Cause<PipelineError>): EnforcementUnavailable =>
  new EnforcementUnavailable({
    stage: "custom:sentence",
    message: `The pipeline threw: ${String(Cause.squash(cause))}`,
    cause: Cause.squash(cause)
  })
