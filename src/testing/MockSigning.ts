/**
 * Signing for tests: envelopes without a key.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Signed } from "../call/States.ts"
import { Signing } from "../signing/Signing.ts"

/** Every envelope is the same text, signed by nobody. */
export const layer: Layer.Layer<Signing> = Layer.succeed(Signing, {
  sign: (identified) => Effect.succeed(new Signed(identified, { jws: "test.test.test", kid: "test", digest: "test" }))
})
