/**
 * A secure client is an `OpenAI` to the compiler: it goes where one goes, and its calls have the same parameters and results.
 */
import { type AzureOpenAI, OpenAI } from "openai"
import type { APIPromise } from "openai/api-promise"
import type { Stream } from "openai/streaming"
import { type BoundSecureOpenAI, secure, type SecureAzureOpenAI, SecureOpenAI } from "../../src/index.ts"

declare const secured: SecureOpenAI
declare const azure: SecureAzureOpenAI
declare const bound: BoundSecureOpenAI
declare const plain: OpenAI

/** True where two types are one. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <T extends true>(): T => true as T

// It goes where an OpenAI goes.
const takesClient = (client: OpenAI): OpenAI => client
export const taken: ReadonlyArray<OpenAI> = [secured, azure, bound].map(takesClient)
export const asAzure: AzureOpenAI = azure
export const withClass = (make: new (options?: { readonly apiKey?: string }) => OpenAI): OpenAI => new make()
export const made: OpenAI = withClass(SecureOpenAI)
// @ts-expect-error and an OpenAI is no secure client
export const widened: SecureOpenAI = plain

// Each member of a client has the type that it has there; a clone is of the client's own class.
type Members = Exclude<keyof OpenAI, "withOptions">
same<Same<Pick<SecureOpenAI, Members>, Pick<OpenAI, Members>>>()
same<Same<SecureOpenAI["chat"]["completions"], OpenAI["chat"]["completions"]>>()
same<Same<ReturnType<SecureOpenAI["models"]["list"]>, ReturnType<OpenAI["models"]["list"]>>>()
// @ts-expect-error so that this says what is not
same<Same<SecureOpenAI["chat"], OpenAI["models"]>>()

// Clones stay what they are.
export const clone: SecureOpenAI = secured.withOptions({ timeout: 1 })
export const azureClone: SecureAzureOpenAI = azure.withOptions({ timeout: 1 })

// Overloads are told apart.
const body = { model: "m", messages: [] }
export const answer: APIPromise<OpenAI.ChatCompletion> = secured.chat.completions.create(body)
export const stream: APIPromise<Stream<OpenAI.ChatCompletionChunk>> = secured.chat.completions.create({
  ...body,
  stream: true
})
// @ts-expect-error a stream is no completion
export const confused: APIPromise<OpenAI.ChatCompletion> = secured.chat.completions.create({ ...body, stream: true })

// Namespaces and statics.
export const failure: typeof OpenAI.APIError = SecureOpenAI.APIError
export const limited = (error: unknown): number | undefined =>
  error instanceof SecureOpenAI.RateLimitError ? error.status : undefined

// A class of one's own keeps its members and options.
class Mine extends OpenAI {
  greeting = "hello"
}
export const greeting: string = new (secure(Mine))({ appName: "a", timeout: 1 }).greeting
