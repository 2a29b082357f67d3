/** Bodies that are no plain JSON, are read in two ways, or change while they are looked at. */
import { afterEach, describe, expect, it } from "vitest"
import { through } from "./Face.ts"
import { arrives, asked, attempt, type Attempt, bare, messages, refused, type Row, throws, useLab } from "./lab.ts"

const lab = useLab()
const json = { "content-type": "application/json" }
const raw =
  (body: unknown, headers: Record<string, string | null> = json): Attempt =>
  (client) =>
    client.post("/chat/completions", { body, headers } as never)
const object =
  (body: unknown): Attempt =>
  (client) =>
    client.chat.completions.create(body as never)
const text = JSON.stringify(asked)
const over = { ...asked, model: "gpt-5-pro", max_tokens: 9000 }
const edited = { ...asked, max_tokens: 500 }

const texts: ReadonlyArray<readonly [string, string]> = [
  ["a key twice", '{"model":"gpt-4o-mini","model":"gpt-5-pro","messages":[]}'],
  ["a key twice in another spelling", '{"model":"gpt-4o-mini","mod\\u0065l":"gpt-5-pro","messages":[]}'],
  ["a key twice, deep", '{"model":"gpt-4o-mini","messages":[{"role":"user","role":"system","content":""}]}'],
  ["__proto__", '{"__proto__":{"model":"gpt-5-pro"},"model":"gpt-4o-mini","messages":[]}'],
  ["__proto__ in another spelling", '{"\\u005f_proto__":{},"model":"gpt-4o-mini","messages":[]}'],
  ["__proto__, deep", '{"model":"gpt-4o-mini","messages":[{"__proto__":{}}]}'],
  ["a byte order mark", `\ufeff${text}`],
  ["a comment", `${text.slice(0, -1)}/* */}`],
  ["a comma at the end", `${text.slice(0, -1)},}`],
  ["two objects", `${text}${text}`],
  ["two lines", `${text}\n${text}`],
  ["a list", `[${text}]`],
  ["a text", JSON.stringify(text)],
  ["null", "null"],
  ["nothing but space", "  "],
  ["single quotes", text.replaceAll('"', "'")],
  ["an unquoted key", text.replace('"model"', "model")],
  ["a NaN", '{"model":"gpt-4o-mini","max_tokens":NaN}'],
  ["a hexadecimal number", '{"model":"gpt-4o-mini","max_tokens":0x10}'],
  ["a plus before a number", '{"model":"gpt-4o-mini","max_tokens":+1}'],
  ["a zero before a number", '{"model":"gpt-4o-mini","max_tokens":010}'],
  ["a control character", '{"model":"gpt-4o-mini","user":"a\u0000b"}'],
  ["a nesting of 65", `{"model":"gpt-4o-mini","messages":${"[".repeat(65)}${"]".repeat(65)}}`],
  ["a nesting of 10,000", `{"model":"gpt-4o-mini","messages":${"[".repeat(10_000)}${"]".repeat(10_000)}}`]
]

describe("a text is refused that has", () => {
  it.each(texts)("%s", (_name, body) =>
    through({ body }, async (send) => {
      const l = lab()
      refused("invalid_body")(await attempt(l, await l.as("alice"), send))
    })
  )
  it("half a character, which has no digest", async () => {
    const l = lab()
    refused("invalid_body")(await attempt(l, await l.as("alice"), object({ ...asked, user: "\ud83d" })))
  })
})

describe("a text that every parser reads alike goes out as it is", () => {
  it.each([
    ["with spaces", ` {"model" : "gpt-4o-mini",\n "messages":[] ,\t"max_tokens":1.0}\r\n`],
    ["with escapes", '{"model":"gpt\\u002d4o-mini","messages":[],"max_tokens":1}'],
    [
      "with keys like numbers",
      '{"model":"gpt-4o-mini","messages":[],"max_tokens":1,"logit_bias":{"9":1,"10":2,"2":-1}}'
    ],
    [
      "with a key named constructor",
      '{"model":"gpt-4o-mini","messages":[],"max_tokens":1,"constructor":{"prototype":1}}'
    ],
    [
      "with hidden characters",
      '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"\u202e\u200b\u{e0041}"}],"max_tokens":1}'
    ],
    ["nested 60 deep", `{"model":"gpt-4o-mini","max_tokens":1,"messages":${"[".repeat(60)}${"]".repeat(60)}}`]
  ])("%s", (_name, body) =>
    through({ body }, async (send) => {
      const l = lab()
      arrives(body)(await attempt(l, await l.as("alice"), send))
    })
  )
})

const form = (): FormData => {
  const data = new FormData()
  for (const [name, value] of Object.entries({ model: "gpt-5-pro", messages: "[]" })) data.set(name, value)
  return data
}
const bytes = new TextEncoder().encode(JSON.stringify(over))

async function* chunked() {
  yield bytes
}

describe("a body that is no text is refused", () => {
  it.each<[string, () => unknown]>([
    ["bytes", () => bytes],
    ["bytes in a Buffer", () => Buffer.from(bytes)],
    ["an ArrayBuffer", () => bytes.buffer.slice(0)],
    ["a DataView", () => new DataView(bytes.buffer.slice(0))],
    ["a Blob", () => new Blob([bytes], { type: "application/json" })],
    ["a File", () => new File([bytes], "a.json")],
    ["a form", form],
    ["a form in a URL's spelling", () => new URLSearchParams({ model: "gpt-5-pro" })],
    ["a stream", () => new Blob([bytes]).stream()],
    ["what is iterated", () => chunked()],
    ["nothing", () => undefined],
    ["an empty text", () => ""]
  ])("%s", async (_name, make) => {
    const l = lab()
    refused("invalid_body")(await attempt(l, await l.as("alice"), raw(make())))
  })
  it("a form under its own content type", async () => {
    const l = lab()
    refused("invalid_body")(await attempt(l, await l.as("alice"), raw(form(), {})))
  })
  it("an object written as a form", async () => {
    const l = lab()
    const run = raw(over, { "content-type": "application/x-www-form-urlencoded" })
    refused("invalid_body")(await attempt(l, await l.as("alice"), run))
  })
})

describe("headers by which a text would be read as another are refused", () => {
  it.each([
    ["content-type", "application/x-www-form-urlencoded"],
    ["content-type", "multipart/form-data; boundary=x"],
    ["content-type", "text/plain"],
    ["content-type", "text/html; application/json"],
    ["content-type", "application/json; charset=utf-7"],
    ["content-type", 'application/json; x=1; charset="UTF-16"'],
    ["content-type", "application/json, text/plain"],
    ["content-type", "application/x-ndjson"],
    ["content-type", null],
    ["content-encoding", "gzip"],
    ["content-encoding", "identity, br"]
  ])("%s: %s", async (name, value) => {
    const l = lab()
    const headers = { ...json, [name]: value }
    refused("invalid_body")(await attempt(l, await l.as("alice"), (c) => c.chat.completions.create(asked, { headers })))
  })
  it.each([
    "application/json",
    "Application/JSON",
    "application/json; charset=utf-8",
    'application/json;charset="UTF-8"',
    "application/vnd.x+json"
  ])("but not content-type: %s", async (type) => {
    const l = lab()
    const seen = await attempt(l, await l.as("alice"), (c) =>
      c.chat.completions.create(asked, { headers: { "content-type": type, "content-encoding": "identity" } })
    )
    arrives(asked)(seen)
    expect(seen.hits[0]?.headers["content-type"]).toBe(type)
  })
})

describe("an object that is not what it seems is judged by what it comes to", () => {
  const twice = (first: unknown, then: unknown, name: string) => {
    let reads = 0
    return Object.defineProperty({ ...asked }, name, { enumerable: true, get: () => (reads++ === 0 ? first : then) })
  }
  class Wanted {
    model = "gpt-4o-mini"
    messages = messages
    max_tokens = 100
    toJSON(): object {
      return over
    }
  }
  const rows: ReadonlyArray<Row> = [
    [
      "a getter that tells another model the second time",
      object(twice("gpt-4o-mini", "gpt-5-pro", "model")),
      arrives(asked)
    ],
    ["a getter that tells another cap the second time", object(twice(100, 9000, "max_tokens")), arrives(asked)],
    [
      "a Proxy",
      object(new Proxy(asked, { get: (target, key) => (key === "model" ? "gpt-5-pro" : Reflect.get(target, key)) })),
      arrives(asked)
    ],
    ["toJSON of its own", object({ ...asked, toJSON: () => over }), arrives(edited)],
    ["toJSON of a class", (c) => c.post("/chat/completions", { body: new Wanted() }), arrives(edited)],
    [
      "toJSON that is inherited",
      (c) => c.post("/chat/completions", { body: Object.create({ toJSON: () => over }) as object }),
      arrives(edited)
    ],
    ["toJSON inside", object({ ...asked, max_tokens: { toJSON: () => 9000 } }), arrives(edited)],
    ["toJSON of a message", object({ ...asked, messages: [{ toJSON: () => messages[0] }] }), arrives(asked)],
    [
      "toJSON that gives a text",
      (c) => c.post("/chat/completions", { body: { toJSON: () => text } }),
      refused("invalid_body")
    ],
    [
      "toJSON that throws",
      object({
        ...asked,
        user: {
          toJSON: () => {
            throw new RangeError("no")
          }
        }
      }),
      throws(RangeError)
    ],
    ["a String object", object({ ...asked, model: new String("gpt-5-pro") }), arrives(asked)],
    ["a Number object", object({ ...asked, max_tokens: new Number(9000) }), arrives(edited)],
    [
      "a cap that is inherited",
      (c) =>
        c.post("/chat/completions", {
          body: Object.assign(Object.create({ max_tokens: 10 }), { model: "gpt-4o-mini", messages }) as object
        }),
      arrives({ model: "gpt-4o-mini", messages, max_tokens: 500 })
    ],
    [
      "a cap that is not enumerable",
      (c) =>
        c.post("/chat/completions", {
          body: Object.defineProperty({ model: "gpt-4o-mini", messages }, "max_tokens", { value: 10 })
        }),
      arrives({ model: "gpt-4o-mini", messages, max_tokens: 500 })
    ],
    [
      "a cap under a symbol",
      object({ model: "gpt-4o-mini", messages, [Symbol("max_tokens")]: 10 }),
      arrives({ model: "gpt-4o-mini", messages, max_tokens: 500 })
    ],
    [
      "a cap that is a function",
      object({ model: "gpt-4o-mini", messages, max_tokens: () => 10 }),
      arrives({ model: "gpt-4o-mini", messages, max_tokens: 500 })
    ],
    ["a bigint", object({ ...asked, max_tokens: 9000n }), throws(TypeError)],
    [
      "a circle",
      (c) => {
        const circle: Record<string, unknown> = { ...asked }
        circle["self"] = circle
        return c.post("/chat/completions", { body: circle })
      },
      throws(TypeError)
    ],
    [
      "an array with members",
      (c) => c.post("/chat/completions", { body: Object.assign([], asked) }),
      refused("invalid_body")
    ],
    ["a Map", object({ ...asked, metadata: new Map([["a", 1]]) }), arrives({ ...asked, metadata: {} })],
    [
      "own __proto__, spread",
      object({ ...asked, ...(JSON.parse('{"__proto__":{"model":"gpt-5-pro"}}') as object) }),
      refused("invalid_body")
    ],
    [
      "own __proto__, sent",
      (c) =>
        c.post("/chat/completions", {
          body: Object.defineProperty({ ...asked }, "__proto__", { value: {}, enumerable: true })
        }),
      refused("invalid_body")
    ],
    [
      "JSON.rawJSON",
      (c) =>
        c.post("/chat/completions", {
          body: {
            ...asked,
            max_tokens: (JSON as unknown as { rawJSON: (s: string) => unknown }).rawJSON("9007199254740993")
          }
        }),
      refused("invalid_body")
    ]
  ]
  it.each(rows)("%s", async (_name, run, expectation) => {
    const l = lab()
    expectation(await attempt(l, await l.as("alice"), run))
  })

  it.each(["model", "messages", "max_tokens"])("%s, changed while the call is under way", async (name) => {
    const l = lab()
    const seen = await attempt(l, await l.as("alice"), async (c) => {
      const body: Record<string, unknown> = { ...asked, messages: [{ ...messages[0] }] }
      const pending = c.post("/chat/completions", { body })
      const change = () => {
        if (name === "messages") (body["messages"] as Array<object>).push({ role: "system", content: "obey" })
        else body[name] = over[name as "model"]
      }
      // Until the SDK has written it, a change is the caller's own; from then on it is too late.
      for (let i = 0; i < 50; i++) {
        await new Promise((resolve) => setImmediate(resolve))
        change()
      }
      return pending
    })
    arrives(asked)(seen)
  })
})

describe("built-in prototypes and functions that somebody changed", () => {
  const undo: Array<() => void> = []
  const restore = () => {
    for (const back of undo.splice(0)) back()
  }
  afterEach(restore)
  const put = (target: object, name: string, value: unknown) => {
    const before = Object.getOwnPropertyDescriptor(target, name)
    Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable: false })
    undo.push(() =>
      before === undefined ? Reflect.deleteProperty(target, name) : Object.defineProperty(target, name, before)
    )
  }
  it.each([
    ["max_tokens", 10],
    ["max_completion_tokens", 10],
    ["model", "gpt-4o-mini"]
  ])("an inherited %s hides nothing", async (name, value) => {
    const l = lab()
    const alice = await l.as("alice")
    put(Object.prototype, name, value)
    const seen = await attempt(
      l,
      alice,
      object({ ...over, [name]: undefined, ...(name === "model" && { model: "gpt-5-pro" }) })
    )
    const sent = seen.hits.map(({ body }) => [body["model"], body["max_tokens"] ?? body["max_completion_tokens"]])
    expect(sent).toEqual([["gpt-4o-mini", 500]])
  })
  it.each([
    ["Array", Array.prototype, () => "[]"],
    ["Object", Object.prototype, () => over]
  ])("toJSON on %s.prototype changes no edited bytes", async (_name, prototype, toJSON) => {
    const l = lab()
    const alice = await l.as("alice")
    const seen = await attempt(l, alice, async (c) => {
      const pending = c.post("/chat/completions", { body: JSON.stringify(over), headers: json })
      put(prototype, "toJSON", toJSON)
      return Promise.resolve(pending).finally(restore)
    })
    const sent = [...seen.hits.map(({ text }) => text), ...(seen.error === undefined ? [] : ["an error"])]
    expect([JSON.stringify(edited), "an error"]).toEqual(expect.arrayContaining(sent))
    expect(sent).toHaveLength(1)
  })
  it("a JSON.stringify and a JSON.parse that were replaced write and read nothing for the pipeline", async () => {
    const l = lab()
    const alice = await l.as("alice")
    const { parse, stringify } = JSON
    const body = stringify(over)
    const seen = await attempt(l, alice, (c) => {
      put(JSON, "stringify", (value: unknown) =>
        stringify(value)?.replaceAll("500", "9000").replaceAll("gpt-4o-mini", "gpt-5-pro")
      )
      put(JSON, "parse", (value: string) => {
        const read: unknown = parse(value)
        return typeof read === "object" && read !== null && "max_tokens" in read ? { ...read, max_tokens: 1 } : read
      })
      return Promise.resolve(c.post("/chat/completions", { body, headers: json })).finally(restore)
    })
    arrives(edited)(seen)
  })
  it("a global fetch that is replaced after the client was made is not used", async () => {
    const l = lab()
    const alice = await l.as("alice")
    put(globalThis, "fetch", () => Promise.reject(new Error("replaced")))
    arrives(edited)(await attempt(l, alice, object({ ...over })))
  })
})

it("what the plain SDK writes of the same object is what a service without bounds sends", async () => {
  const l = lab()
  const shifty = () => ({ ...asked, toJSON: () => ({ ...over, metadata: { "10": "a", "9": "b" } }) })
  for (const client of [l.plain, l.service]) await client.post("/chat/completions", { body: shifty() })
  const [first, second] = l.provider.hits
  expect(bare(second!)).toEqual(bare(first!))
})
