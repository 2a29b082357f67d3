#!/usr/bin/env node
/**
 * The command `secure-openai`.
 *
 * @since 0.1.0
 */
import "../NodeVersion.ts"
import * as NodeChildProcessSpawner from "@effect/platform-node-shared/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node-shared/NodeFileSystem"
import * as NodePath from "@effect/platform-node-shared/NodePath"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import * as NodeStdio from "@effect/platform-node-shared/NodeStdio"
import * as NodeTerminal from "@effect/platform-node-shared/NodeTerminal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import { CheckFailed } from "./Ending.ts"
import { presenter, reported, root } from "./Root.ts"

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

root.pipe(
  Command.run({ version: "0.1.0" }),
  reported,
  Effect.provide(NodeChildProcessSpawner.layer.pipe(Layer.provideMerge(platform))),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown: (exit, onExit) => onExit(exitCode(exit)) })
)
