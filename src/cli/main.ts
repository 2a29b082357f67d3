#!/usr/bin/env node
/**
 * The command `secure-openai`.
 *
 * @since 0.1.0
 */
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodePath from "@effect/platform-node-shared/NodePath"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import * as NodeStdio from "@effect/platform-node-shared/NodeStdio"
import * as NodeTerminal from "@effect/platform-node-shared/NodeTerminal"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import { checkProof } from "./checkProof.ts"
import { CannotRun, CheckFailed } from "./Ending.ts"
import { identity } from "./identity/identity.ts"
import { keys } from "./keys/keys.ts"
import { prove } from "./prove.ts"
import { receipt } from "./receipt.ts"
import { policy } from "./policy/policy.ts"
import { show } from "./show.ts"
import { tail } from "./tail.ts"
import { verify } from "./verify.ts"

const audit = Command.make("audit").pipe(
  Command.withDescription("Reads and verifies the log"),
  Command.withSubcommands([verify, show, tail, prove, checkProof, receipt])
)

/** Help where it is asked for; what is wrong with an invocation in one line. */
const presenter: CliOutput.Presenter = {
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Console.error(
          `${event.commandPath.join(" ")}: ${event.errors.map(({ message }) => message).join("; ")}. See ${event.commandPath.join(" ")} --help`
        )
      : CliOutput.defaultPresenter.present(event)
}

const platform = Layer.mergeAll(
  NodeFileSystem.layer,
  NodePath.layer,
  NodeTerminal.layer,
  NodeStdio.layer,
  CliOutput.layerPresenter(presenter)
)

/** 0: done. 1: what was checked does not hold. 2: could not do it. 130: stopped by the user. */
const exitCode = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.hasInterruptsOnly(exit.cause)) return 130
  return Cause.squash(exit.cause) instanceof CheckFailed ? 1 : 2
}

Command.make("secure-openai").pipe(
  Command.withSubcommands([audit, policy, identity, keys]),
  Command.run({ version: "0.1.0" }),
  Effect.tapError((error) => (error instanceof CannotRun ? Console.error(error.message) : Effect.void)),
  Effect.provide(NodeChildProcessSpawner.layer.pipe(Layer.provideMerge(platform))),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: (exit, onExit) => onExit(exitCode(exit)) })
)
