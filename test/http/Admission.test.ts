/** Admission, as pure functions over plain data: what a request is, or why it is refused. */
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import { Call } from "../../src/call/Call.ts"
import {
  admit,
  admitRequest,
  type Caller,
  type AdmissionSettings,
  isBelow,
  type RequestHead
} from "../../src/http/Admission.ts"

const settings: AdmissionSettings = {
  baseURL: "https://api.test/v1",
  query: new Map([["tenant", ["a"]]]),
  headers: new Map([["x-team", "blue"]]),
  allowedQuery: new Set(["include"]),
  allowedHeaders: new Set(["x-trace"])
}
const service: Caller = { isUser: false, staysHome: false, own: new Map([["authorization", "Bearer k"]]) }
const user: Caller = { ...service, isUser: true, staysHome: true }
const body = '{"model":"gpt-4o-mini","messages":[]}'
const head = (
  path: string,
  headers: Record<string, string> = {},
  method = "POST",
  base = "https://api.test/v1"
): RequestHead => ({
  method,
  url: base + path,
  headers: new Headers({ authorization: "Bearer k", "content-type": "application/json", ...headers })
})
const codeOf = (request: RequestHead, caller: Caller, text: unknown) =>
  Result.match(admit(request, text, settings, caller), { onFailure: ({ code }) => code, onSuccess: () => "admitted" })

const cases: ReadonlyArray<[name: string, request: RequestHead, user: string, service: string]> = [
  ["a chat", head("/chat/completions"), "admitted", "admitted"],
  ["a family", head("/models", {}, "GET"), "admitted", "admitted"],
  ["another method", head("/chat/completions", {}, "PUT"), "invalid_method", "invalid_method"],
  ["another host", head("/chat/completions", {}, "POST", "https://b.test/v1"), "foreign_url", "admitted"],
  ["another host by header", head("/models", { host: "b.test" }, "GET"), "foreign_url", "admitted"],
  ["an override", head("/models", { "x-http-method": "POST" }, "GET"), "rerouted", "rerouted"],
  ["another type", head("/chat/completions", { "content-type": "text/plain" }), "invalid_body", "invalid_body"],
  ["an account", head("/chat/completions", { "openai-organization": "o" }), "foreign_header", "admitted"],
  ["another key", head("/chat/completions", { authorization: "Bearer x" }), "foreign_header", "admitted"],
  ["a header of the service's", head("/chat/completions", { "x-team": "blue" }), "admitted", "admitted"],
  ["its header with another value", head("/chat/completions", { "x-team": "red" }), "foreign_header", "admitted"],
  ["a header that is allowed", head("/chat/completions", { "x-trace": "1" }), "admitted", "admitted"],
  ["a query", head("/chat/completions?model=x"), "foreign_query", "admitted"],
  ["a query of a family", head("/models?model=x", {}, "GET"), "admitted", "admitted"],
  ["a query of the service's", head("/chat/completions?tenant=a"), "admitted", "admitted"],
  ["its query with another value", head("/chat/completions?tenant=b"), "foreign_query", "admitted"],
  ["its query twice", head("/chat/completions?tenant=a&tenant=a"), "foreign_query", "admitted"],
  ["its query, and more behind a semicolon", head("/chat/completions?tenant=a;model=x"), "foreign_query", "admitted"],
  ["a query that is allowed", head("/chat/completions?include[]=a&include=b"), "admitted", "admitted"],
  ["a version twice", head("/chat/completions?api-version=1&api-version=2"), "foreign_query", "admitted"]
]

describe("admission", () => {
  it.each<[string, RequestHead, string, string]>(cases)("%s", (_name, request, forUser, forService) => {
    expect([codeOf(request, user, body), codeOf(request, service, body)]).toEqual([forUser, forService])
  })
  it.each([new Uint8Array([123, 125]), '{"a":1,"a":2}', "[]", undefined])("refuses the body %j", (text) => {
    expect(codeOf(head("/chat/completions"), service, text)).toBe("invalid_body")
  })

  it("says what a request is", () => {
    const request = head("/Chat%2fCompletions?tenant=a&x=%20", { "x-team": "blue", "openai-beta": "b" })
    const admitted = Result.getOrThrow(admit(request, body, settings, service))
    expect(admitted).toMatchObject({
      target: { _tag: "Protected", operation: { name: "generate" } },
      endpoint: "POST https://api.test/v1/Chat%2fCompletions",
      query: { text: "tenant=a&x=%20", names: ["tenant", "x"], foreign: ["x"] },
      added: ["x-team"],
      body: { content: { text: body }, params: { model: "gpt-4o-mini", messages: [] } }
    })
  })

  it.each([
    ["https://api.test/v1", "https://api.test/v1/models", true],
    ["https://api.test/v1/", "https://api.test/v1/models", true],
    ["https://api.test/v1?tenant=a", "https://api.test/v1/models?tenant=a", true],
    ["https://api.test/v1", "https://api.test/v10/models", false],
    ["https://api.test/v1", "https://api.test.evil/v1/models", false]
  ])("below %s is %s: %s", (base, url, expected) => {
    expect(isBelow(base, url)).toBe(expected)
  })
})

describe("what goes into a pipeline", () => {
  const from = {
    app: "lab",
    server: "app:lab:1",
    credentials: { _tag: "App" as const },
    intents: [{ policy_id: "i" }]
  }
  const enter = (request: RequestHead, text: unknown, caller = service) =>
    admitRequest(request, text, settings, caller, from)

  it("is a call of a protected request, with its bytes, query and headers", () => {
    const call = Result.getOrThrow(enter(head("/chat/completions?include=b", { "x-trace": "1" }), body))
    if (!Call.is(call)) throw new Error("no call")
    expect(call).toMatchObject({
      operation: "generate",
      params: { model: "gpt-4o-mini" },
      app: "lab",
      server: "app:lab:1",
      endpoint: "POST https://api.test/v1/chat/completions",
      headers: ["x-trace"],
      intents: from.intents
    })
    expect([call.bytes, call.resource]).toEqual([body, "tool:lab/generate"])
    expect(call.query?.text).toContain("include=b")
  })

  it("is a request of a family otherwise, whose body is not read", () => {
    const request = Result.getOrThrow(enter(head("/models/x", {}, "GET"), new Uint8Array(1)))
    expect(Call.is(request)).toBe(false)
    expect(request).toMatchObject({
      family: "models",
      resource: "api:lab/models",
      endpoint: "GET https://api.test/v1/models/x",
      headers: []
    })
  })

  it.each<[string, RequestHead, string, string]>(cases)("%s: or the refusal", (_name, request, forUser, forService) => {
    const codeFor = (caller: Caller) =>
      Result.match(enter(request, body, caller), {
        onFailure: ({ decision, stage }) => {
          expect([stage, decision.resource]).toEqual(["egress", expect.stringMatching(/^(tool|api):lab\//)])
          return decision.violations[0]?.code
        },
        onSuccess: () => "admitted"
      })
    expect([codeFor(user), codeFor(service)]).toEqual([forUser, forService])
  })

  it("is a refusal where no deployment is known to serve what is asked", () => {
    const base = "https://lab.openai.azure.com/openai/deployments/other"
    const served = { ...from, deployments: { "prod-4o": "gpt-4o" } }
    const asked = admitRequest(head("/chat/completions", {}, "POST", base), body, settings, service, served)
    expect(Result.isFailure(asked) && asked.failure.decision.violations).toMatchObject([{ code: "unknown_deployment" }])
  })
})
