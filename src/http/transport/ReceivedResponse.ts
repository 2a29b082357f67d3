/**
 * A `Response` over what a dispatcher received: genuine for whoever reads it, and free of what most readers never
 * ask for. Text and network reads come straight from the network; a web stream is there once it is asked for.
 */
import { Readable } from "node:stream"
import { reads, type ReadableResponse, type Reads } from "../../invocation/Sse.ts"
import type { ReceivedBody } from "./Body.ts"
import { bodiless, fieldsOf, type ResponseHead } from "./Head.ts"

type Bytes = Uint8Array<ArrayBuffer>

/** A `Response` over a body that a dispatcher receives; everything that a `fetch` gives it has is made when it is asked for. */
export class ReceivedResponse extends Response implements ReadableResponse {
  readonly #url: string
  readonly #head: ResponseHead
  #body: ReceivedBody | undefined
  #headers: ReceivedHeaders | undefined
  /** The body as a web stream, once somebody asked for it; of a clone, its half. */
  #stream: ReadableStream<Bytes> | undefined
  #used = false

  constructor(url: string, head: ResponseHead, body: ReceivedBody | ReadableStream<Bytes> | null) {
    super()
    this.#url = url
    this.#head = head
    if (body instanceof ReadableStream) this.#stream = body
    else if (!bodiless.has(head.status)) this.#body = body ?? undefined
  }

  override get url(): string {
    return this.#url
  }
  override get type(): ResponseType {
    return "basic"
  }
  override get status(): number {
    return this.#head.status
  }
  override get statusText(): string {
    return this.#head.statusText
  }
  override get ok(): boolean {
    return this.status >= 200 && this.status < 300
  }
  override get headers(): Headers {
    return (this.#headers ??= new ReceivedHeaders(this.#head))
  }
  override get bodyUsed(): boolean {
    return this.#used || (this.#stream !== undefined && isDisturbed(this.#stream))
  }
  override get body(): ReadableStream<Bytes> | null {
    if (this.#stream === undefined && this.#body !== undefined) {
      this.#stream = this.#streamOf(this.#body)
      if (this.#used) this.#stream.getReader()
    }
    return this.#stream ?? null
  }

  /** The body by network reads; undefined where it is read as a web stream. */
  [reads](): Reads | undefined {
    return this.#body !== undefined && this.#take() ? this.#body : undefined
  }

  override async text(): Promise<string> {
    const body = this.#body
    if (body === undefined) return this.#genuine().text()
    if (!this.#take()) throw new TypeError("Body is unusable: Body has already been read")
    const parts: Array<Uint8Array> = []
    for (let part = await body.next(); part !== undefined; part = await body.next()) parts.push(part)
    return utf8.decode(parts.length === 1 ? parts[0] : Buffer.concat(parts))
  }
  override async json(): Promise<unknown> {
    return JSON.parse(await this.text())
  }
  override async bytes(): Promise<Bytes> {
    return this.#genuine().bytes()
  }
  override async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#genuine().arrayBuffer()
  }
  override async blob(): Promise<Blob> {
    return this.#genuine().blob()
  }
  override async formData(): ReturnType<Response["formData"]> {
    return this.#genuine().formData()
  }

  override clone(): Response {
    const { body } = this
    if (this.bodyUsed || body?.locked === true) throw new TypeError("Response.clone: Body has already been consumed.")
    if (body === null) return new ReceivedResponse(this.#url, this.#head, null)
    const [one, other] = body.tee()
    this.#stream = one
    this.#body = undefined
    return new ReceivedResponse(this.#url, this.#head, other)
  }

  /** True once: the body is the caller's to read, and looks it to whoever has the web stream. */
  #take(): boolean {
    if (this.bodyUsed || this.#stream?.locked === true) return false
    this.#used = true
    this.#stream?.getReader()
    return true
  }

  /** The fetch implementation's own response with this body, for the readings that are rare. */
  #genuine(): Response {
    if (this.bodyUsed || this.#stream?.locked === true)
      throw new TypeError("Body is unusable: Body has already been read")
    const { body, headers } = this
    this.#used = body !== null
    return new Response(body, { headers })
  }

  #streamOf(body: ReceivedBody): ReadableStream<Bytes> {
    return new ReadableStream(
      {
        type: "bytes",
        pull: async (controller) => {
          const data = await body.next()
          // A byte stream takes the memory that it is given, and a socket's is shared.
          if (data !== undefined) return controller.enqueue(Uint8Array.from(data))
          controller.close()
          controller.byobRequest?.respond(0)
        },
        cancel: () => body.cancel()
      },
      { highWaterMark: 0 }
    )
  }
}
Object.defineProperty(ReceivedResponse, "name", { value: "Response" })

// It knows web streams as well; only its type does not.
const isDisturbed = Readable.isDisturbed as (stream: object) => boolean

const utf8 = new TextDecoder()

/** Header fields as received: read-only, as those of any response of `fetch`. */
class ReceivedHeaders extends Headers {
  constructor(head: ResponseHead) {
    super()
    for (const [name, value] of fieldsOf(head)) super.append(name, value)
  }

  override append(): void {
    throw immutable()
  }
  override set(): void {
    throw immutable()
  }
  override delete(): void {
    throw immutable()
  }
}
Object.defineProperty(ReceivedHeaders, "name", { value: "Headers" })

const immutable = (): TypeError => new TypeError("immutable")
