/**
 * Authenticated prompts: the digest of each element of a call's prompt stands in its envelope, so that whoever holds the
 * text proves later what was asked, and any change of it shows.
 */
import * as Result from "effect/Result"
import * as Crypto from "node:crypto"
import type { Call } from "../call/Call.ts"
import { canonicalize, snapshot } from "../base/CanonicalJson.ts"
import type { Json, JsonObject } from "../base/Json.ts"
import type { Content } from "../base/Content.ts"
import { canonicalOf } from "../base/CanonicalText.ts"
import { elementsOf, type Member, membersOf } from "../base/JsonText.ts"
import { endpointAt, isOperation, operations } from "../call/Operation.ts"

/** A list of more elements than this (a token array, say) has one digest, not one each. */
export const maximumElements = 128

/** For each field: the digests of the elements of a list, in order, or one digest of the whole value. */
export type Digests = Readonly<Record<string, string | ReadonlyArray<string>>>

/**
 * The digests of a prompt, given by its fields. A digest is `sha-256:` and the base64url SHA-256 of the RFC 8785 text; a
 * list of at most 128 elements has one for each, anything else one. Throws for what is no JSON.
 */
export const digests = (prompt: JsonObject): Digests =>
  Object.fromEntries(Object.entries(prompt).map(([field, value]) => [field, digestsOf(value)]))

const digestsOf = (value: Json): string | ReadonlyArray<string> =>
  Array.isArray(value) && value.length <= maximumElements
    ? value.map((element) => digest(canonicalize(element)))
    : digest(canonicalize(value))

/**
 * {@link digests} of a prompt whose fields are members of a text. Of a long one they are taken from its bytes, and nothing is written
 * anew; a field that is not in the text is digested by its value.
 */
export const digestsIn = (content: Content, prompt: JsonObject): Digests => {
  if (content.text.length <= shortText) return digests(prompt)
  const members = new Map(membersOf(content.bytes).map((member) => [member.key, member]))
  return Object.fromEntries(
    Object.entries(prompt).map(([field, value]) => {
      const member = members.get(field)
      return [field, member === undefined ? digestsOf(value) : digestsAt(content.bytes, member, value)]
    })
  )
}

/** How many UTF-16 code units are written anew sooner than they are looked through by their bytes. */
const shortText = 4096

const digestsAt = (text: Buffer, { end, value: start }: Member, value: Json): string | ReadonlyArray<string> =>
  Array.isArray(value) && value.length <= maximumElements
    ? elementsOf(text, start).map((element) => digestOf(canonicalOf(text, element)))
    : digestOf(canonicalOf(text, { start, end }))

const digestOf = (pieces: ReadonlyArray<Buffer>): string => {
  const [first, ...others] = pieces
  if (first !== undefined && others.length === 0) return digest(first)
  const hash = Crypto.createHash("sha256")
  for (const piece of pieces) hash.update(piece)
  return `sha-256:${hash.digest("base64url")}`
}

/** `sha-256:` and the base64url SHA-256 of bytes, or of a text's UTF-8. */
export const digest = (text: string | Uint8Array): string => `sha-256:${Crypto.hash("sha256", text, "base64url")}`

/** What is wrong with a prompt by the digests of an envelope; undefined where it is, element for element, what was asked. */
export const faultOf = (signed: Digests | undefined, prompt: object): string | undefined => {
  const taken = Result.flatMap(snapshot(prompt), (plain) =>
    Result.try({ try: () => digests(plain as JsonObject), catch: String })
  )
  if (Result.isFailure(taken)) return `the prompt is not plain JSON: ${taken.failure}`
  const fields = taken.success
  const known = signed ?? {}
  for (const field of Object.keys(fields))
    if (!Object.hasOwn(known, field)) return `the envelope has no prompt in the field ${field}`
  for (const [field, expected] of Object.entries(known)) {
    if (!Object.hasOwn(fields, field)) return `the prompt's field ${field} is missing`
    const given = fields[field]!
    if (typeof expected === "string" || typeof given === "string") {
      if (expected !== given) return `${field} is not what was asked`
      continue
    }
    const changed = expected.findIndex((one, i) => one !== given[i])
    if (changed >= 0) return `${field}[${changed}] is not what was asked`
    if (given.length !== expected.length)
      return `${field} has ${given.length} elements, and ${expected.length} were asked`
  }
  return undefined
}

/** The prompt of a call, by its fields: the operation's own, or those that its tool was registered with. */
export const ofCall = ({ endpoint, operation, params, prompts }: Call): JsonObject | undefined => {
  const fields = isOperation(operation) ? [endpointAt(operations[operation], endpoint).prompt] : prompts
  const found = fields.flatMap((field) => (Object.hasOwn(params, field) ? [[field, params[field]!] as const] : []))
  return found.length === 0 ? undefined : Object.fromEntries(found)
}
