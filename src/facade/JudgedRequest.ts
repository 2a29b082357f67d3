/**
 * A request between the decision and the moment it leaves: what was judged, to compare with what arrives at the guarded `fetch`.
 */
import type { OpenAI } from "openai"
import type { BuiltRequest } from "./Options.ts"
import { seal, type Sealed, unseal } from "./SealedRequest.ts"

/** What leaves, or the name of what was changed since the decision. */
export type CheckedRequest = { readonly init: RequestInit } | { readonly changed: string }

/** The request of one exchange; of several attempts the last counts. */
export class JudgedRequest {
  #method = ""
  #url = ""
  #sealed: Sealed | undefined

  /** The URL as it was judged. */
  get url(): string {
    return this.#url
  }

  /** True for a request of a user's client: the SDK carries another in its place. */
  get isSealed(): boolean {
    return this.#sealed !== undefined
  }

  /** Notes what was judged. */
  judged(method: string, url: string): void {
    this.#method = method.toUpperCase()
    this.#url = url
  }

  /** Seals a request that `maker` built; returns what the SDK carries in its place. */
  seal(req: BuiltRequest["req"], maker: OpenAI): RequestInit {
    this.#sealed = seal(req, maker)
    return this.#sealed.carried
  }

  /** Opens what arrived: the sealed request in its place, if there is one. `mayBeSet` says which headers may be added on the way. */
  open(url: string, arrived: RequestInit, mayBeSet: (header: string) => boolean): CheckedRequest {
    const opened: CheckedRequest =
      this.#sealed === undefined ? { init: arrived } : unseal(this.#sealed, arrived, mayBeSet)
    if ("changed" in opened) return opened
    const isSame = url === this.#url && this.#isMethod(arrived) && this.#isMethod(opened.init)
    return isSame ? opened : { changed: "the request" }
  }

  #isMethod({ method = "GET" }: RequestInit): boolean {
    return method.toUpperCase() === this.#method
  }
}
