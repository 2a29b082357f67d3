/**
 * A log for tests: the real one, in memory.
 */
import * as Layer from "effect/Layer"
import { Audit } from "../audit/Audit.ts"
import { Keys } from "../keys/Keys.ts"

/** The real log, in memory, with keys of its own; `Audit.records` reads it. */
export const layer = Audit.layerMemory().pipe(Layer.provide(Keys.layerMemory))
