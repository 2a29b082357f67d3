/**
 * Redirects of protected requests: followed only where they change nothing of what was judged.
 */

/** True for a redirect that keeps method and body. */
export const isRedirect = ({ status }: Response): boolean => status === 307 || status === 308

/**
 * Follows redirects that keep method, body and origin (RFC 9110 §15.4.8, §15.4.9) where they lead to the `same` request; any
 * other is answered as it came.
 */
export const followHome = async (
  fetch: typeof globalThis.fetch,
  first: Response,
  from: string,
  init: RequestInit,
  same: (url: string) => boolean
): Promise<Response> => {
  let url = from
  let response = first
  for (let hops = 0; hops < 5 && isRedirect(response); hops++) {
    const location = response.headers.get("location")
    const next = location === null ? undefined : new URL(location, url)
    if (next === undefined || next.origin !== new URL(url).origin || !same(next.href)) return response
    await response.body?.cancel()
    url = next.href
    response = await fetch(url, init)
  }
  return response
}
