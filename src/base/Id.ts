/**
 * Identifiers of calls and records.
 */
import * as Crypto from "node:crypto"
import { v7 } from "uuid"

const random = new Uint8Array(8192)
let used = random.length

/**
 * A new UUIDv7 (RFC 9562 §5.7) for a time in ms since 1970. Its random bytes are drawn in bulk: drawn one by one they cost
 * more than everything else that an identifier is for.
 */
export const newId = (msecs: number = Date.now()): string => {
  if (used === random.length) {
    Crypto.randomFillSync(random)
    used = 0
  }
  used += 16
  return v7({ msecs, random: random.subarray(used - 16, used) })
}
