/**
 * What a third party verifies with public keys alone: receipts, and prompts by the envelope that belongs to a receipt.
 */
import * as Result from "effect/Result"
import * as ReceiptOf from "../audit/proof/Receipt.ts"
import type { Receipt as ReceiptType } from "../call/Reply.ts"
import * as Envelope from "../signing/Envelope.ts"
import { faultOf } from "../signing/Prompt.ts"

/** What the log says of one call; see `SecureOpenAI.receipt`. */
export type Receipt = ReceiptType

/** Verifies receipts. Neither function throws. */
export const Receipt = {
  /** Verifies a receipt, a compact JWS, with the public JWK of the agent key that signed it, and nothing else. */
  verify: ReceiptOf.verify,
  /** Verifies a receipt against the records of its log, where its key must be in use at the receipt's place. */
  verifyInLog: ReceiptOf.verifyInLog
}

/** What proves a prompt. */
export interface PromptProof {
  /** `receipt.envelope`. */
  readonly envelope: string
  /** `receipt.jws`: with it the envelope is the one of that receipt. */
  readonly receipt?: string | undefined
  /** The public JWK of the agent key that signed both. */
  readonly jwk: ReceiptOf.PublicJwk
}

/** Verifies what was asked. */
export const Prompt = {
  /**
   * Verifies that a prompt is what was asked: `prompt` is the operation's prompt field with its value, as `{ messages }`,
   * `{ input }` or `{ prompt }`, or the fields that a tool was registered with. Any other text, order, element or field is
   * noticed, and the reason names it. The envelope's time does not matter: it was in time when the call was made.
   */
  verify: ({ envelope, jwk, receipt }: PromptProof, prompt: object): ReceiptOf.Verified<Envelope.EnvelopeClaims> => {
    const key = ReceiptOf.agentKeyOf(jwk)
    if (Result.isFailure(key)) return { valid: false, reason: key.failure }
    const { kid: own, publicKey } = key.success
    const read = Envelope.open(envelope, (_, kid) => (kid === own ? publicKey : undefined))
    if (Result.isFailure(read)) return { valid: false, reason: `the envelope ${read.failure}` }
    const { claims, digest } = read.success
    if (receipt !== undefined) {
      const verified = ReceiptOf.verify(receipt, jwk)
      if (!verified.valid) return verified
      if (verified.claims.inv !== `sha-256:${digest}`)
        return { valid: false, reason: "the receipt is of another envelope" }
    }
    const fault = faultOf(claims.prm, prompt)
    return fault === undefined ? { valid: true, claims } : { valid: false, reason: fault }
  }
}
