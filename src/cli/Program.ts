/**
 * The command as a function: what its arguments do, and the exit code that this ends with. It reads the environment and the
 * working folder of its process, and prints by the process's streams.
 */
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodePath from "@effect/platform-node-shared/NodePath"
import * as NodeStdio from "@effect/platform-node-shared/NodeStdio"
import * as NodeTerminal from "@effect/platform-node-shared/NodeTerminal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import { version } from "../base/Version.ts"
import { CheckFailed } from "./Ending.ts"
import { presenter, reported, root } from "./Root.ts"

/** What the command needs of Node: files, paths, processes, and the streams of this process. */
export const platform = NodeChildProcessSpawner.layer.pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      NodeFileSystem.layer,
      NodePath.layer,
      NodeTerminal.layer,
      NodeStdio.layer,
      CliOutput.layerPresenter(presenter)
    )
  )
)

/** Does what these arguments, those after `secure-openai`, say; fails where the exit code is not 0. */
export const run = (args: ReadonlyArray<string>): Effect.Effect<void, unknown> =>
  Command.runWith(root, { version })(args).pipe(reported, Effect.provide(platform))

/** 0: done. 1: what was checked does not hold. 2: could not do it. 130: stopped by the user. */
export const exitCode = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.hasInterruptsOnly(exit.cause)) return 130
  return Cause.squash(exit.cause) instanceof CheckFailed ? 1 : 2
}
