/** Requests of a growing size: `n` is in bytes of the body, or in characters of a path. */
import * as Crypto from "node:crypto"
import type { OpenAI } from "openai"
import { classify } from "../../../src/call/Operation.ts"
import type { Case } from "./Case.ts"

type Body = Parameters<OpenAI["chat"]["completions"]["create"]>[0]

/** A body of about 20 MB after five doublings. */
const from = 640 * 1024

const body = (name: string, make: (n: number) => object): Case<object> => ({
  name: `${name}, bytes`,
  from,
  isCall: true,
  make: (n) => ({ model: "gpt-4o", max_tokens: 1000, ...make(n) }),
  run: (params, client) => client.chat.completions.create(params as Body)
})

const embedding = (name: string, input: (n: number) => ReadonlyArray<unknown>): Case<object> => ({
  name: `${name}, bytes`,
  from,
  isCall: true,
  make: (n) => ({ model: "text-embedding-3-small", encoding_format: "float", input: input(n) }),
  run: (params, client) => client.embeddings.create(params as never)
})

const text = (content: string): object => ({ messages: [{ role: "user", content }] })

/** As many parts as give a body of about `n` bytes. */
const parts = <A>(n: number, size: number, part: (i: number) => A): ReadonlyArray<A> =>
  Array.from({ length: Math.ceil(n / size) }, (_, i) => part(i))

const prose = "The quick brown fox jumps over the lazy dog. "

export const requests: ReadonlyArray<Case<never>> = [
  {
    name: "a path of dots before a letter, characters",
    from: 5000,
    isCall: false,
    make: (n: number) => `https://api.openai.com/v1/${".".repeat(n)}a/chat/completions`,
    run: (url: string) => classify("POST", url, "https://api.openai.com/v1")
  } satisfies Case<string>,
  body("prose", (n) => text(prose.repeat(n / prose.length))),
  body("an image", (n) => ({
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "What is this?" },
          {
            type: "image_url",
            image_url: { url: `data:image/png;base64,${Crypto.randomBytes(Math.floor(n * 0.75)).toString("base64")}` }
          }
        ]
      }
    ]
  })),
  body("many messages", (n) => ({
    messages: parts(n, 200, (i) => ({ role: i % 2 === 0 ? "user" : "assistant", content: `${i} ${prose.repeat(3)}` }))
  })),
  embedding("a token list", (n) => parts(n, 6, (i) => (i * 7919) % 100_000)),
  body("text with 16 digits", (n) => text(`1234567890123456 ${prose}`.repeat(n / 62))),
  body("text with e+ and __proto__", (n) => text(`e+ __proto__ ${prose}`.repeat(n / 58))),
  body("text of quotes and line breaks", (n) => text('"a"\n'.repeat(n / 7))),
  body("text beyond ASCII", (n) => text("Größe, 東京, 😀 ".repeat(n / 27))),
  body("small objects", (n) => ({ metadata: { points: parts(n, 24, (i) => ({ y: i, x: i, id: 7 })) }, ...text("Hi") })),
  body("many texts", (n) => ({ x: parts(n, 12, (i) => `text ${i}`), ...text("Hi") })),
  embedding("large integers", (n) => parts(n, 20, (i) => 2 ** 62 + i * 4096)),
  embedding("fractions", (n) => parts(n, 21, (i) => i / 7))
] as unknown as ReadonlyArray<Case<never>>
