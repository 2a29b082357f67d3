/**
 * The agents of a workspace by id: who may sign invocations, with which key, and in whose name.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { Configuration } from "../call/Errors.ts"
import { thumbprint } from "../keys/Keys.ts"
import type { Principal } from "../call/Principal.ts"

/** A registered agent. An agent of kind `user` has the principal that its token gave. */
export interface Agent {
  readonly agentId: string
  /** RFC 7638 thumbprint of `publicKey`. */
  readonly kid: string
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
  readonly kind: "user" | "agent" | "service"
  /** Name of the application that the agent belongs to. */
  readonly app: string
  readonly principal?: Principal
}

/**
 * The directory: a table in memory, read at every invocation.
 *
 * @category services
 */
export class Directory extends Context.Service<
  Directory,
  {
    /** Registers an agent. Throws {@link Configuration} where the id is taken, or the key is none that may sign. */
    readonly add: (agent: Agent) => void
    /** Forgets an agent; from then on it may sign nothing. False where there was none. */
    readonly remove: (agentId: string) => boolean
    readonly get: (agentId: string) => Agent | undefined
  }
>()("secure-openai/Directory") {
  /** An empty directory. @category layers */
  static readonly layer: Layer.Layer<Directory> = Layer.sync(Directory, () => make())
}

const make = (): Directory["Service"] => {
  const agents = new Map<string, Agent>()
  return {
    add: (agent) => {
      const fault = agents.has(agent.agentId) ? "the id is taken" : faultOf(agent)
      if (fault !== undefined)
        throw new Configuration({ message: `Agent ${agent.agentId} cannot be registered: ${fault}.` })
      agents.set(agent.agentId, Object.freeze({ ...agent, publicKey: Uint8Array.from(agent.publicKey) }))
    },
    remove: (agentId) => agents.delete(agentId),
    get: (agentId) => agents.get(agentId)
  }
}

const faultOf = ({ agentId, kid, kind, principal, publicKey }: Agent): string | undefined => {
  if (agentId === "") return "it has no id"
  if (publicKey.length !== 32 || isSmallOrder(publicKey)) return "its key is not an Ed25519 public key"
  if (thumbprint(Buffer.from(publicKey).toString("base64url")) !== kid) return "its kid is not its key's thumbprint"
  return kind === "user" && principal?.kind !== "user" ? "a user needs a verified principal" : undefined
}

/**
 * The points of small order, for which anyone can sign (RFC 8032 §5.1.7 leaves them to the verifier): y-coordinates in
 * hexadecimal, little-endian, without the sign bit; 0, 1, −1, two of order 8, and two unreduced spellings.
 */
const smallOrder: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
])

const isSmallOrder = (publicKey: Uint8Array): boolean => {
  const y = Buffer.from(publicKey)
  y[31] = (y[31] ?? 0) & 0x7f
  return smallOrder.has(y.toString("hex"))
}
