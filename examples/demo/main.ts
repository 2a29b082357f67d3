/**
 * The demo: everything that secure-openai does, over real sockets, without a key and without the network.
 *
 *   npm run demo
 *
 * Each section checks what it shows: where anything did not happen as it says, the demo stops with an error.
 */
import { agents } from "./Agents.ts"
import { called, registerFunctions } from "./Functions.ts"
import { allowed, capped, downgraded, reduced, refused } from "./Limits.ts"
import { tampered, verified } from "./Log.ts"
import { end, line, lines, title } from "./Screen.ts"
import { streamed } from "./Streaming.ts"
import { forged, sideBySide } from "./Users.ts"
import { openWorld } from "./World.ts"

const began = performance.now()
await using resources = new AsyncDisposableStack()
const world = await openWorld(resources)
const ran = registerFunctions(world.service)

title("secure-openai", "One service, two users, real sockets. No key, no network.")
line("provider", `${world.provider.url}, an OpenAI-compatible server on this machine`)
line("issuer", `${world.issuer.options.issuer}, an OpenID provider that signs alice's and bob's tokens`)
lines("policies", ["company:Acme → team:Support → user:alice", "company:Acme → team:Finance → user:bob"])
line("log", `${world.home}/audit`)

await allowed(world)
await downgraded(world)
const index = await reduced(world)
await capped(world)
await refused(world)
await streamed(world)
await called(world, ran)
await agents(world)
await forged(world)
await sideBySide(world)
await world.service.workspace.close()
await verified(world.home, index)
await tampered(world.home, index)

end(`All of it happened as it says, in ${((performance.now() - began) / 1000).toFixed(1)} s.`)
