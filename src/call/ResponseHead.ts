/**
 * The head of a provider's response: what a caller of the SDK can read of it besides its status and body.
 */

/**
 * The head of a response, as received. `statusText` is the reason phrase of HTTP/1.1 (RFC 9112 §4); `url` is where a redirect
 * led, absent where none was followed.
 */
export interface ResponseHead {
  readonly headers: Headers
  readonly statusText?: string | undefined
  readonly url?: string | undefined
}
