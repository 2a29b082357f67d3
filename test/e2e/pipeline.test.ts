import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { AsyncLocalStorage } from "node:async_hooks"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { APIUserAbortError, OpenAI } from "openai"
import { describe, expect, it } from "vitest"
import {
  Audit,
  Call,
  type Committed,
  Configuration,
  type EnforcementUnavailable,
  EnforcementUnavailableError,
  type Identified,
  Identity,
  IdentityInvalid,
  Invocation,
  Pipeline,
  type PolicyDenied,
  PolicyDeniedError,
  Policy,
  type Prepared,
  Refusal,
  Reply,
  SecureOpenAI,
  type Sentence,
  Signing,
  type Stages,
  Workspace
} from "../../src/index.ts"
import { mintToken, testIssuer } from "../../src/testing/Tokens.ts"
import { openProvider } from "./fixture.ts"

const messages = [{ role: "user" as const, content: "my secret plan" }]
const params = { model: "gpt-4", messages }
const tenants = Array.from({ length: 8 }, (_, i) => `tenant-${i}`)
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

const { openClient, openWorkspace, provider } = await openProvider()

const make = (layer?: Layer.Layer<Pipeline, unknown, never> | ReturnType<typeof Pipeline.layerFrom>, key = "k") => {
  const workspace = openWorkspace()
  const client = openClient({
    appName: "app",
    workspace,
    ...(key === "" && { apiKey: undefined }),
    ...(layer !== undefined && { layer })
  })
  return { client, records: () => workspace.records() }
}

/** The default sentence with a word of one's own before each stage. */
const sentence =
  (words: {
    readonly first?: (call: Call) => Effect.Effect<Call, PolicyDenied>
    readonly beforeCommit?: (state: Prepared) => Effect.Effect<Prepared, PolicyDenied>
    readonly around?: (reply: Effect.Effect<Reply, never>) => Effect.Effect<Reply, never>
    readonly gate?: (reply: Reply) => Reply
  }) =>
  (s: Stages): Sentence =>
  (call) =>
    (words.first ?? Effect.succeed)(call).pipe(
      Effect.flatMap(s.identity.resolve),
      Effect.flatMap(s.signing.sign),
      Effect.flatMap(s.policy.evaluate),
      Effect.flatMap(s.rewriting.apply),
      Effect.flatMap(words.beforeCommit ?? Effect.succeed),
      Effect.flatMap(s.audit.commit),
      Effect.flatMap(s.invocation.invoke),
      Effect.map(words.gate ?? ((reply) => reply))
    )

describe("a pipeline of one's own", () => {
  it("redacts before identity: the log and the wire have what came out", async () => {
    const redact = (call: Call) =>
      Effect.succeed(Call.withParams(call, JSON.parse(JSON.stringify(call.params).replaceAll("secret", "[redacted]"))))
    const { client, records } = make(Pipeline.layerFrom(sentence({ first: redact })))
    await client.chat.completions.create(params)
    expect(provider.hits[0]?.text).toBe(JSON.stringify(params).replace("secret", "[redacted]"))
    expect((await records()).filter((r) => r.call !== undefined).map((r) => r.kind)).toEqual(["decision", "outcome"])
  })

  it("runs its words in the async context of the call, also where many come at once", async () => {
    const tenant = new AsyncLocalStorage<string>()
    const seen: Array<string> = []
    const see = <A extends { readonly call: Call } | Call>(state: A) =>
      Effect.sync(() => {
        const { params: asked } = "call" in state ? state.call : state
        seen.push(`${String(asked["user"])} in ${tenant.getStore()}`)
        return state
      })
    const { client } = make(Pipeline.layerFrom(sentence({ first: see, beforeCommit: see })))
    await Promise.all(
      tenants.map((user) => tenant.run(user, () => client.chat.completions.create({ ...params, user })))
    )
    expect(seen.toSorted()).toEqual(tenants.flatMap((name) => [`${name} in ${name}`, `${name} in ${name}`]))
  })

  it("runs a tool in the async context of who called it, also where the log writes many calls at once", async () => {
    const tenant = new AsyncLocalStorage<string>()
    const home = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-tenants-"))
    const workspace = openWorkspace({ home, audit: {} })
    const client = openClient({ appName: "app", workspace })
    client.registerTool("whoami", () => tenant.getStore())
    const called = { id: "1", type: "function" as const, function: { name: "whoami", arguments: "{}" } }
    const answers = tenants.map((name) => tenant.run(name, () => client.invokeTool(called)))
    expect((await Promise.all(answers)).map(({ content }) => content)).toEqual(tenants)
    await workspace.close()
    Fs.rmSync(home, { recursive: true })
  })

  const ends: ReadonlyArray<[string, (client: SecureOpenAI, call: AbortController) => unknown, string]> = [
    ["whose client is closed by force", (client) => client.close({ force: true }), "ClosedError"],
    ["that is given up", (_client, call) => call.abort(), "APIUserAbortError"]
  ]
  it.each(ends)("sends nothing for a call %s just before it starts", async (_name, end, error) => {
    for (const microtasks of [0, 10, 20, 40, 80]) {
      const { client } = make()
      await client.ready()
      const call = new AbortController()
      const asked = client.chat.completions.create(params, { signal: call.signal }).then(
        () => "answered",
        (cause: Error) => cause.constructor.name
      )
      for (let i = 0; i < microtasks; i++) await Promise.resolve()
      await end(client, call)
      expect(await asked).toBe(error)
    }
    expect(provider.hits).toEqual([])
  })

  it("refuses with a code of its own, and the log names the stage", async () => {
    const closed = () => Refusal.make({ stage: "office-hours", code: "closed", message: "Open from 9 to 5." })
    const { client, records } = make(Pipeline.layerFrom(sentence({ beforeCommit: closed })))
    const refused = await client.chat.completions.create(params).catch((e: unknown) => e)
    expect(refused).toBeInstanceOf(PolicyDeniedError)
    expect(String(refused)).toContain("tool:app/generate was refused: Open from 9 to 5.")
    expect(provider.hits).toHaveLength(0)
    expect((await records()).at(-1)).toMatchObject({ kind: "refused", stage: "custom:office-hours", status: 403 })
  })

  it.each([false, true])("looks at the end of a token again before anything leaves, stream: %s", async (stream) => {
    const token = mintToken({}, { expiresIn: 2 })
    const { exp } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString())
    const waited = (state: Prepared) =>
      Effect.as(
        Effect.promise(async () => {
          while (Date.now() < exp * 1000) await wait(20)
        }),
        state
      )
    const workspace = openWorkspace({ issuers: { ...testIssuer, clockTolerance: 0 } })
    const client = openClient({
      appName: "app",
      workspace,
      jwtToken: token,
      layer: Pipeline.layerFrom(sentence({ beforeCommit: waited }))
    })
    const hits = provider.hits.length
    await expect(client.chat.completions.create({ ...params, stream })).rejects.toMatchObject({ reason: "expired" })
    expect(provider.hits).toHaveLength(hits)
    expect((await workspace.records()).at(-1)).toMatchObject({ kind: "refused", stage: "identity", status: 401 })
  })

  it("lets a stream that runs go on past the end of its token, and refuses the next", async () => {
    const jwtToken = mintToken({}, { expiresIn: 5 })
    const { exp } = JSON.parse(Buffer.from(jwtToken.split(".")[1] ?? "", "base64url").toString())
    const workspace = openWorkspace({ issuers: { ...testIssuer, clockTolerance: 0 } })
    const client = openClient({ appName: "app", workspace, jwtToken })
    provider.behave({ chunks: 8 })
    let seen = 0
    for await (const chunk of await client.chat.completions.create({ ...params, stream: true })) {
      seen += chunk.choices.length
      while (Date.now() < exp * 1000) await wait(20)
    }
    expect(seen).toBeGreaterThan(7)
    expect((await workspace.records()).at(-1)).toMatchObject({ kind: "outcome", result: "complete" })
    await expect(client.chat.completions.create({ ...params, stream: true })).rejects.toMatchObject({
      reason: "expired"
    })
  })

  it("gates a stream: the released part, then the refusal, and the provider is let go", async () => {
    const gate = (reply: Reply): Reply =>
      reply._tag === "Json"
        ? reply
        : Reply.stream(
            Stream.mapEffect(reply.stream, (chunk) =>
              JSON.stringify(chunk).includes("t3")
                ? Refusal.make({ code: "said_t3", message: "t3 may not be said" })
                : Effect.succeed(chunk)
            ),
            reply.meta
          )
    const { client, records } = make(Pipeline.layerFrom(sentence({ gate })))
    provider.behave({ chunks: 200, every: 5 })
    const seen: Array<unknown> = []
    const read = async () => {
      for await (const chunk of await client.chat.completions.create({ ...params, stream: true })) seen.push(chunk)
    }
    await expect(read()).rejects.toBeInstanceOf(PolicyDeniedError)
    expect(seen).toHaveLength(3)
    await wait(40)
    expect(provider.closed()).toBe(1)
    const log = await records()
    expect(log.find((r) => r.kind === "stream.close")).toMatchObject({ reason: "refused", chunks: 3 })
    expect(log.at(-1)).toMatchObject({ kind: "outcome", result: "refused" })
  })

  it("may answer late calls itself: the SDK's request is let go", async () => {
    const impatient = Pipeline.layerFrom(
      (s) => (call) =>
        s.identity.resolve(call).pipe(
          Effect.flatMap(s.signing.sign),
          Effect.flatMap(s.policy.evaluate),
          Effect.flatMap(s.rewriting.apply),
          Effect.flatMap(s.audit.commit),
          Effect.flatMap((committed) =>
            s.invocation
              .invoke(committed)
              .pipe(Effect.timeoutOrElse({ duration: 40, orElse: () => Effect.succeed(Reply.json({ late: true })) }))
          )
        )
    )
    const { client } = make(impatient)
    provider.behave({ hang: true })
    expect(await client.chat.completions.create(params)).toEqual({ late: true })
    await wait(30)
    expect(provider.closed()).toBe(1)
    expect(provider.hits).toHaveLength(1)
  })

  it("is interrupted by the caller's signal in any stage", async () => {
    let interrupted = false
    const slow = (call: Call) =>
      Effect.as(Effect.sleep(5000), call).pipe(Effect.onInterrupt(() => Effect.sync(() => void (interrupted = true))))
    const { client, records } = make(Pipeline.layerFrom(sentence({ first: slow })))
    const controller = new AbortController()
    const pending = client.chat.completions.create(params, { signal: controller.signal })
    setTimeout(() => controller.abort(), 20)
    await expect(pending).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
    expect(interrupted).toBe(true)
    expect(provider.hits).toHaveLength(0)
    expect((await records()).at(-1)).toMatchObject({ kind: "refused", code: "aborted" })
  })
})

describe("tracing", () => {
  it("has a span for the call and one for each stage, and none for a chunk", async () => {
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const { client } = make(Layer.provideMerge(Pipeline.layer, Layer.succeed(Tracer.Tracer, tracer)))
    await Array.fromAsync(await client.chat.completions.create({ ...params, stream: true }))
    expect(spans.map((span) => span.name)).toEqual([
      "chat gpt-4",
      ...["identity", "signing", "policy", "rewriting", "audit", "invocation"].map((stage) => `secure_openai.${stage}`)
    ])
    expect(Object.fromEntries(spans[0]?.attributes ?? [])).toMatchObject({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": "gpt-4"
    })
    expect(JSON.stringify(spans.map((span) => [...span.attributes]))).not.toContain("secret")
  })
})

describe("families", () => {
  const officeHours = (open: boolean) => ({
    families: () =>
      open ? Effect.void : Refusal.make({ code: "closed", message: "Open from 9 to 5.", stage: "hours" })
  })

  it("are identified and judged by the layers of a pipeline of one's own", async () => {
    const none = Layer.succeed(Identity, {
      principal: () => Effect.fail(new IdentityInvalid({ reason: "missing", message: "not here" }))
    } as never)
    const { client, records } = make(Pipeline.layer.pipe(Layer.provide(none)) as never)
    await expect(client.models.list()).rejects.toMatchObject({ status: 401, reason: "missing" })
    expect(provider.hits).toHaveLength(0)
    expect((await records()).at(-1)).toMatchObject({ kind: "refused", stage: "identity", tool: "api:app/models" })
  })

  it("are refused by the check of a pipeline of one's own, and the log names the stage", async () => {
    const { client, records } = make(Pipeline.layerFrom(sentence({}), officeHours(false)))
    const refused = await client.models.list().catch((e: unknown) => e)
    expect(refused).toBeInstanceOf(PolicyDeniedError)
    expect(String(refused)).toContain("api:app/models was refused")
    expect(provider.hits).toHaveLength(0)
    expect((await records()).at(-1)).toMatchObject({
      kind: "refused",
      stage: "custom:hours",
      code: "policy_denied",
      principal: { kind: "app" }
    })
  })

  it("pass where the check lets them, and their end is recorded", async () => {
    const { client, records } = make(Pipeline.layerFrom(sentence({}), officeHours(true)))
    await client.models.list()
    const kinds = (await records()).map(({ kind }) => kind)
    expect(kinds.slice(-2)).toEqual(["passthrough", "outcome"])
  })

  it("have a deadline, and a refusal is recorded when it passes", async () => {
    const { client, records } = make(
      Pipeline.layerFrom(sentence({}), { deadline: 30, families: () => Effect.sleep(5000) })
    )
    await expect(client.models.list()).rejects.toThrow(/did not decide within 30 ms/)
    expect(provider.hits).toHaveLength(0)
    expect((await records()).at(-1)).toMatchObject({ kind: "refused", code: "enforcement_unavailable" })
  })

  it("fail closed where the check throws, or is interrupted", async () => {
    const throws = make(
      Pipeline.layerFrom(sentence({}), {
        families: () => {
          throw new Error("boom")
        }
      })
    )
    await expect(throws.client.models.list()).rejects.toThrow(/The custom:families stage threw: Error: boom/)
    expect((await throws.records()).at(-1)).toMatchObject({ kind: "refused", stage: "custom:families" })
    const stops = make(Pipeline.layerFrom(sentence({}), { families: () => Effect.interrupt }))
    await expect(stops.client.models.list()).rejects.toBeInstanceOf(APIUserAbortError)
    expect(provider.hits).toHaveLength(0)
  })

  it("fail closed where a stage throws, and the refusal says which", async () => {
    const broken = Layer.succeed(Policy, {
      pass: () => {
        throw new Error("no memory")
      }
    } as never)
    const { client } = make(Pipeline.layer.pipe(Layer.provide(broken)) as never)
    const refused = await client.models.list().catch((e: unknown) => e)
    expect(refused).toBeInstanceOf(EnforcementUnavailableError)
    expect(String(refused)).toContain("policy stage threw")
    expect(provider.hits).toHaveLength(0)
  })

  it("have a span, and one for each stage", async () => {
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const { client } = make(Layer.provideMerge(Pipeline.layer, Layer.succeed(Tracer.Tracer, tracer)))
    await client.models.list()
    expect(spans.map((span) => span.name)).toEqual([
      "pass models",
      ...["identity", "policy", "audit"].map((stage) => `secure_openai.${stage}`)
    ])
    expect(spans[0]?.attributes.get("secure_openai.resource")).toBe("api:app/models")
  })

  it("pass as by default through a pipeline that only runs calls", async () => {
    const { client, records } = make(
      Layer.succeed(Pipeline, { run: () => Effect.succeed(Reply.json({ made: "here" })) })
    )
    await client.models.list()
    expect((await records()).map(({ kind }) => kind)).toContain("passthrough")
  })
})

describe("fails closed", () => {
  it("when a stage throws, and says which", async () => {
    const broken = Layer.succeed(Signing, {
      sign: () => {
        throw new Error("no entropy")
      }
    })
    const { client, records } = make(Pipeline.layer.pipe(Layer.provide(broken)) as never)
    const refused = await client.chat.completions.create(params).catch((e: unknown) => e)
    expect(refused).toBeInstanceOf(EnforcementUnavailableError)
    expect(refused).toMatchObject({ status: 503, code: "enforcement_unavailable" })
    expect(String(refused)).toContain("signing stage threw")
    expect(provider.hits).toHaveLength(0)
    expect((await records()).at(-1)).toMatchObject({ kind: "refused", stage: "signing", status: 503 })
  })

  it("when the pipeline's own deadline passes", async () => {
    const late = Pipeline.layerFrom(sentence({ first: (call) => Effect.as(Effect.sleep(5000), call) }), {
      deadline: 30
    })
    const { client } = make(late)
    await expect(client.chat.completions.create(params)).rejects.toThrow(/did not decide within 30 ms/)
    expect(provider.hits).toHaveLength(0)
  })

  it("but gives the provider all the time that it takes", async () => {
    const { client } = make(Pipeline.layerFrom(sentence({}), { deadline: 30 }))
    provider.behave({ chunks: 20, every: 5 })
    const chunks = await Array.fromAsync(await client.chat.completions.create({ ...params, stream: true }))
    expect(chunks).toHaveLength(21)
  })

  it.each([
    ["copied", (state: Prepared) => Object.assign({}, state)],
    ["cloned", (state: Prepared) => structuredClone(state)],
    ["inherited", (state: Prepared) => Object.create(state) as Prepared]
  ])("when a state was %s", async (_how, forge) => {
    const { client, records } = make(
      Pipeline.layerFrom(sentence({ beforeCommit: (state) => Effect.sync(() => forge(state)) }))
    )
    await expect(client.chat.completions.create(params)).rejects.toBeInstanceOf(EnforcementUnavailableError)
    expect(provider.hits).toHaveLength(0)
    expect((await records()).filter((r) => r.call !== undefined).map((r) => r.kind)).toEqual(["refused"])
  })

  it("when a committed call is invoked twice", async () => {
    const twice = Pipeline.layerFrom(
      (s) => (call) =>
        s.identity.resolve(call).pipe(
          Effect.flatMap(s.signing.sign),
          Effect.flatMap(s.policy.evaluate),
          Effect.flatMap(s.rewriting.apply),
          Effect.flatMap(s.audit.commit),
          Effect.flatMap((committed) => {
            const invoke = s.invocation.invoke(committed)
            return Effect.andThen(invoke, invoke)
          })
        )
    )
    let sent = 0
    const counting = Layer.succeed(Invocation, { invoke: () => Effect.sync(() => Reply.json({ sent: ++sent })) })
    const { client } = make(twice.pipe(Layer.provide(counting)) as never)
    await expect(client.chat.completions.create(params)).rejects.toThrow(/invoked once/)
    expect(sent).toBe(1)
  })

  it("when a committed call is spent by another call", async () => {
    let kept: Committed | undefined
    const twice = Pipeline.layerFrom(
      (s) => (call) =>
        s.identity.resolve(call).pipe(
          Effect.flatMap(s.signing.sign),
          Effect.flatMap(s.policy.evaluate),
          Effect.flatMap(s.rewriting.apply),
          Effect.flatMap(s.audit.commit),
          Effect.flatMap((committed) => {
            const spent = kept ?? committed
            kept ??= committed
            return s.invocation.invoke(spent)
          })
        )
    )
    const { client } = make(twice)
    await client.chat.completions.create(params)
    await expect(client.chat.completions.create(params)).rejects.toBeInstanceOf(EnforcementUnavailableError)
    expect(provider.hits).toHaveLength(1)
  })
})

describe("mocked stages", () => {
  it("answer without the network, and without a key", async () => {
    const saved = process.env["OPENAI_API_KEY"]
    delete process.env["OPENAI_API_KEY"]
    try {
      const mock = (reply: Reply) =>
        make(
          Pipeline.layer.pipe(
            Layer.provide(Layer.succeed(Invocation, { invoke: () => Effect.succeed(reply) }))
          ) as never,
          ""
        )
      const json = mock(Reply.json({ choices: [1] })).client
      expect(await json.chat.completions.create(params)).toEqual({ choices: [1] })
      const { response } = await json.chat.completions.create(params).withResponse()
      expect(response.status).toBe(200)
      expect(await (await json.chat.completions.create(params).asResponse()).json()).toEqual({ choices: [1] })
      const chunk = (content: string) => ({
        id: "c",
        choices: [{ index: 0, delta: { role: "assistant", content }, finish_reason: null }]
      })
      const streamed = mock(Reply.stream(Stream.make(chunk("a"), chunk("b")))).client
      expect(await Array.fromAsync(await streamed.chat.completions.create({ ...params, stream: true }))).toHaveLength(2)
      expect(provider.hits).toHaveLength(0)
      const real = make(Pipeline.layer, "").client
      await expect(real.chat.completions.create(params)).rejects.toThrow(/there is no API key/)
      expect(provider.hits).toHaveLength(0)
    } finally {
      if (saved !== undefined) process.env["OPENAI_API_KEY"] = saved
    }
  })

  it("swap one stage and keep the others", async () => {
    const seen: Array<Identified["principal"]["id"]> = []
    const Swapped = Layer.effect(
      Policy,
      Effect.map(Policy, (policy) =>
        Policy.of({
          ...policy,
          evaluate: (signed) => {
            seen.push(signed.principal.id)
            return policy.evaluate(signed)
          }
        })
      )
    )
    const { client } = make(Pipeline.layer.pipe(Layer.provide(Swapped)))
    await client.chat.completions.create(params)
    expect(seen).toEqual(["app"])
  })
})

describe("without the facade", () => {
  const services = (baseURL: string) =>
    Pipeline.layer.pipe(
      Layer.provide(Invocation.layerOpenAI({ apiKey: "k", baseURL, maxRetries: 1 })),
      Layer.provideMerge(Workspace.layer({ audit: "memory" }))
    )
  const run = (call: Call) => Effect.flatMap(Pipeline, (pipeline) => pipeline.run(call))
  const kinds = Effect.map(
    Effect.flatMap(Audit, (audit) => audit.records),
    (records) => records.filter((r) => r.call !== undefined).map((r) => [r.kind, r["result"] ?? r["reason"]])
  )

  it("runs as an Effect program: JSON, streams and errors", async () => {
    provider.behave({ status: 503, times: 1, headers: { "retry-after-ms": "1" } })
    const program = Effect.gen(function* () {
      const options = { app: "app", baseURL: provider.url }
      const json = yield* run(Call.generate(params, options))
      const stream = yield* run(Call.generate({ ...params, stream: true }, options))
      const chunks = stream._tag === "Stream" ? yield* Stream.runCollect(stream.stream) : []
      const first = stream._tag === "Stream" ? yield* run(Call.generate({ ...params, stream: true }, options)) : stream
      if (first._tag === "Stream") yield* Stream.runDrain(Stream.take(first.stream, 1))
      return { json, chunks, kinds: yield* kinds }
    })
    const { chunks, json, kinds: story } = await Effect.runPromise(Effect.provide(program, services(provider.url)))
    expect(json).toMatchObject({ _tag: "Json", meta: { status: 200, attempts: 2 } })
    expect(chunks).toHaveLength(4)
    expect(story).toEqual([
      ["decision", undefined],
      ["outcome", "complete"],
      ["decision", undefined],
      ["stream.open", undefined],
      ["stream.segment", undefined],
      ["stream.close", "complete"],
      ["outcome", "complete"],
      ["decision", undefined],
      ["stream.open", undefined],
      ["stream.segment", undefined],
      ["stream.close", "abandoned"],
      ["outcome", "abandoned"]
    ])
  })

  it("is one layer, made of a client's options", async () => {
    const layer = SecureOpenAI.layer({
      apiKey: "k",
      baseURL: provider.url,
      audit: "memory",
      policies: [{ policy_id: "app:app", resources: ["tool:app/generate"] }]
    })
    const calls = [Call.generate(params, { app: "app", baseURL: provider.url }), Call.embed({}, { app: "app" })]
    const ends = await Effect.runPromise(
      Effect.provide(
        Effect.forEach(calls, (call) => Effect.exit(run(call))),
        layer
      )
    )
    expect(ends.map(Exit.isSuccess)).toEqual([true, false])
    expect(() => SecureOpenAI.layer({ nonsense: 1 } as never)).toThrow(/Unknown option/)
  })

  it("gives tagged errors to catch", async () => {
    provider.behave({ status: 429 })
    const failed = await Effect.runPromiseExit(
      Effect.provide(run(Call.generate(params, { baseURL: provider.url })), services(provider.url))
    )
    const error = Exit.isFailure(failed) ? Cause.squash(failed.cause) : undefined
    expect(error).toMatchObject({ _tag: "ProviderFailed", status: 429, attempts: 2 })
    const elsewhere = await Effect.runPromise(
      Effect.provide(run(Call.generate(params)), services(provider.url)).pipe(
        Effect.catchTag("EnforcementUnavailable", (e: EnforcementUnavailable) => Effect.succeed(e.message))
      )
    )
    expect(elsewhere).toContain("make the call with the same baseURL")
  })

  it("says at build time what is wrong with the set-up", async () => {
    const exit = await Effect.runPromiseExit(
      Effect.provide(
        Effect.void,
        Workspace.layer({ audit: "memory", policies: [{ policy_id: "user:x", resorces: [] } as never] })
      )
    )
    expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toBeInstanceOf(Configuration)
  })
})
