/** Calls as the stages before policy leave them. */
import { Call, type CallOptions } from "../../src/call/Call.ts"
import { Identified, Signed } from "../../src/call/States.ts"
import type { IntentPolicy } from "../../src/call/Lineage.ts"
import type { Principal } from "../../src/call/Principal.ts"

export const principal = (kind: Principal["kind"], id: string, more: Partial<Principal> = {}): Principal => ({
  kind,
  id,
  roles: [],
  groups: [],
  documents: [],
  attestations: [],
  claims: {},
  ...more
})

export const user = (id: string, more?: Partial<Principal>): Principal => principal("user", id, more)

export const signed = (call: Call, by: Principal): Signed =>
  new Signed(new Identified(call, by), { jws: "", kid: "", digest: "" })

export const generate = (params: object, by: Principal, options: CallOptions = {}): Signed =>
  signed(
    Call.generate({ messages: [{ role: "user", content: "Hello" }], ...params }, { app: "my-app", ...options }),
    by
  )

export const withIntent = (intent: IntentPolicy): CallOptions => ({ intents: [intent] })
