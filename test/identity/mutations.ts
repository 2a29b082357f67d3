/** Single-byte mutations of valid tokens: random, by seed, half of them within the base64url alphabet. */
import { Result } from "effect"
import { IdentityInvalid } from "../../src/call/Errors.ts"
import { issuers } from "../../src/identity/Issuer.ts"
import * as Jwt from "../../src/identity/Jwt.ts"
import { makeSigner, now } from "./tokens.ts"

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
const time = { wall: () => now, steady: () => 0 }

/** How a run ended: reasons by count, and what was accepted or failed otherwise. */
export interface Outcome {
  readonly reasons: Map<string, number>
  readonly faults: Array<string>
}

/** Tries `count` mutations from a seed on, over all default algorithms. */
export const mutate = async (count: number, seed: number): Promise<Outcome> => {
  const signers = (["Ed25519", "ES256", "RS256", "PS256"] as const).map((alg) => {
    const signer = makeSigner(alg)
    return { token: signer.token({ roles: ["analyst"] }), configured: issuers([signer.options]) }
  })
  const random = generator(seed)
  const outcome: Outcome = { reasons: new Map(), faults: [] }
  const one = async (index: number): Promise<void> => {
    const signer = signers[index % signers.length]
    if (signer === undefined) return
    const { configured, token } = signer
    // Every second one in the signature or with a letter that base64url knows: those reach the cryptography.
    const from = index % 3 === 0 ? token.lastIndexOf(".") + 1 : 0
    const at = from + Math.floor(random() * (token.length - from))
    const letter =
      index % 2 === 0 ? (alphabet[Math.floor(random() * 64)] ?? "") : String.fromCharCode(Math.floor(random() * 256))
    if (letter === token[at]) return one(index)
    const mutated = token.slice(0, at) + letter + token.slice(at + 1)
    const result = await Jwt.verify(mutated, configured, time).then(
      () => Result.succeed("accepted"),
      (error: unknown) => Result.fail(error)
    )
    if (Result.isFailure(result) && result.failure instanceof IdentityInvalid) {
      const { reason } = result.failure
      outcome.reasons.set(reason, (outcome.reasons.get(reason) ?? 0) + 1)
    } else outcome.faults.push(`byte ${at} as ${letter}: ${String(Result.merge(result))}`)
  }
  for (let done = 0; done < count; done += 256)
    await Promise.all(Array.from({ length: Math.min(256, count - done) }, (_, i) => one(done + i)))
  return outcome
}

/** mulberry32: the same numbers for the same seed. */
const generator = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}
