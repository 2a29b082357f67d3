/**
 * An identity for tests: everyone is who the test says.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Identified } from "../call/States.ts"
import { Identity } from "../identity/Identity.ts"
import { app, type Principal } from "../call/Principal.ts"

/** Every caller is `principal`; fields that are left out are empty. Default: the call's own app. */
export const layer = (principal?: Partial<Principal>): Layer.Layer<Identity> => {
  const of = (name: string): Principal => ({ ...app(name), ...principal })
  return Layer.succeed(Identity, {
    resolve: (call) => Effect.succeed(new Identified(call, of(call.app))),
    principal: (_credentials, name) => Effect.succeed(of(name)),
    ready: Effect.void,
    status: Effect.succeed({ issuers: [], refusals: [] })
  })
}
