/**
 * How a command ends when it does not end well, and what the shell is told.
 */
import * as Schema from "effect/Schema"

/** The command did its work, and what it checked does not hold: exit code 1. */
export class CheckFailed extends Schema.TaggedError<CheckFailed>()("CheckFailed", {}) {}

/** The command could not do its work: exit code 2. */
export class CannotRun extends Schema.TaggedError<CannotRun>()("CannotRun", { message: Schema.String }) {}
