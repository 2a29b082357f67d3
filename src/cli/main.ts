#!/usr/bin/env node
/**
 * The command `secure-openai`.
 */
import "../base/NodeVersion.ts"
import * as NodeRuntime from "@effect/platform-node-shared/NodeRuntime"
import { exitCode, run } from "./Program.ts"

NodeRuntime.runMain(run(process.argv.slice(2)), {
  disableErrorReporting: true,
  teardown: (exit, onExit) => onExit(exitCode(exit))
})
