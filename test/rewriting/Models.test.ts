import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Url from "node:url"
import * as Util from "node:util"
import { operations, outputTokenCaps } from "../../src/call/Operation.ts"
import {
  capsOf,
  type Catalogue,
  type CatalogueRow,
  likeness,
  lookup,
  Models,
  openai
} from "../../src/rewriting/Models.ts"
import { membersOf } from "../sdkTypes.ts"
import { modelNames } from "./sdk.ts"
import { hostedTypes, namedTypes } from "../../src/call/ToolTypes.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const find = (name: string) => lookup(openai, name)

describe("the catalogue of OpenAI's models", () => {
  const named = modelNames(Path.join(root, "node_modules/openai"))

  it("knows every model that the SDK's types name", () => {
    assert.deepStrictEqual(
      [...named].filter(([name]) => find(name) === undefined),
      []
    )
  })

  it("is tested against what the types name now", () => {
    const places = new Set([...named.values()].flatMap((all) => [...all]))
    for (const place of [
      "AllModels",
      "ChatModel",
      "ResponsesModel",
      "EmbeddingModel",
      "AudioModel",
      "SpeechModel",
      "ImageModel",
      "VideoModel",
      "ModerationModel",
      "completions.model",
      "assistants.model",
      "realtime.model",
      "live.model"
    ])
      assert.include([...places], place)
    assert.isAbove(named.size, 150)
  })

  it.each([
    ["ChatModel", "/chat/completions"],
    ["ChatModel", "/responses"],
    ["ResponsesModel", "/responses"],
    ["completions.model", "/completions"],
    ["EmbeddingModel", "/embeddings"],
    ["SpeechModel", "/audio/speech"],
    ["AudioModel", "/audio/transcriptions"],
    ["ImageModel", "/images/generations"],
    ["VideoModel", "/videos"],
    ["ModerationModel", "/moderations"],
    ["calls.model", "/realtime"],
    ["live.model", "/live"]
  ])("says that every %s is served at %s", (place, path) => {
    const names = [...named].filter(([, places]) => places.has(place)).map(([name]) => name)
    assert.isNotEmpty(names)
    assert.deepStrictEqual(
      names.filter((name) => find(name)?.endpoints.has(path) !== true),
      []
    )
  })

  it("serves chat completions only with those of the Responses API's models that chat completions take", () => {
    const responsesOnly = [...named].filter(([, places]) => places.has("AllModels") && !places.has("ChatModel"))
    assert.isNotEmpty(responsesOnly)
    assert.deepStrictEqual(
      responsesOnly.filter(([name]) => find(name)?.endpoints.has("/chat/completions")),
      []
    )
  })

  it("gives a place in a modality", () => {
    const modalities = {
      chat: ["gpt-4o", "gpt-6-astra", "gpt-4.5-preview", "o1-pro"],
      completion: ["davinci-002"],
      embedding: ["text-embedding-3-small"],
      audio: ["gpt-audio-mini-2025-10-06"],
      search: ["gpt-4o-search-preview"],
      code: ["gpt-5.1-codex-max"],
      research: ["o3-deep-research"],
      computer: ["computer-use-preview"],
      security: ["gpt-6-cyber", "gpt-daybreak-blue-latest"],
      science: ["gpt-6-rosalind"],
      law: ["gpt-6.2-astra-law"],
      realtime: ["gpt-realtime-2.1", "gpt-live-1"],
      speech: ["tts-1-hd"],
      transcription: ["whisper-1", "gpt-live-transcribe"],
      image: ["dall-e-3", "gpt-image-2.6-flare"],
      video: ["sora-2-pro-2025-10-06"],
      moderation: ["omni-moderation-2024-09-26"]
    }
    for (const [modality, names] of Object.entries(modalities))
      for (const name of names) assert.strictEqual(find(name)?.modality, modality, name)
  })

  it("has each name once", () => {
    const names = openai.flatMap(({ models }) => models.flatMap(({ family, names = [family] }) => names))
    assert.deepStrictEqual(
      names.filter((name, i) => names.indexOf(name) !== i),
      []
    )
    assert.isTrue(openai.every(({ provider }) => provider === "openai"))
  })

  it("ranks what does more higher", () => {
    const ranks = [
      "gpt-3.5-turbo",
      "gpt-4.1-nano",
      "gpt-4o-mini",
      "gpt-4",
      "gpt-4-turbo",
      "gpt-4o",
      "gpt-4.1",
      "o1",
      "gpt-5",
      "gpt-6-sol",
      "gpt-6.2-sol",
      "gpt-6-astra",
      "gpt-6.2-astra",
      "o3-pro",
      "gpt-5.5-pro"
    ].map((name) => find(name)?.rank ?? 0)
    assert.deepStrictEqual(
      ranks,
      [...new Set(ranks)].toSorted((a, b) => a - b)
    )
    // The hundreds are the class, and 100 generations are enough for each.
    for (const { models } of openai) for (const { rank } of models) assert.isTrue(rank >= 1 && rank < 600, String(rank))
  })
})

describe("what the catalogue says of parameters", () => {
  const chat = membersOf("chat/completions/completions.d.ts", "ChatCompletionCreateParamsBase")
  const known = openai.flatMap(({ models, parameters }) => (parameters === undefined ? [] : [{ models, parameters }]))

  it("has a source and a date in every row, of the SDK that is installed", () => {
    const { version } = JSON.parse(Fs.readFileSync(Path.join(root, "node_modules/openai/package.json"), "utf8")) as {
      readonly version: string
    }
    const short = version.split(".").slice(0, 2).join(".")
    for (const { date = "", models, source = "" } of openai) {
      assert.match(date, /^\d{4}-\d{2}-\d{2}$/u, models[0].family)
      assert.include(source, `openai ${short}`, models[0].family)
    }
    assert.strictEqual(Models.asOf, "2026-11-17")
  })

  it("names parameters and values of the SDK's types", () => {
    assert.isNotEmpty(known)
    for (const { models, parameters } of known)
      for (const [name, taken] of Object.entries(parameters)) {
        assert.isTrue(chat.has(name) || name === "reasoning" || name === "tool_types", name)
        if (taken === false) continue
        if (name === "tool_types") {
          for (const type of taken) assert.isTrue(namedTypes.has(type) || hostedTypes.has(type), type)
          continue
        }
        const literals = chat.get(name === "response_format" ? "response_format.type" : name)?.literals ?? new Set()
        assert.includeMembers([...literals], [...taken], `${name} of ${models[0].family}`)
      }
  })

  it("says of every model with tools which types it takes, and of every reasoning model that it gives one answer", () => {
    for (const { models, parameters = {}, tools, modality, date, source } of openai) {
      if (modality === "realtime" || modality === "computer") continue
      if (tools) assert.isDefined(parameters.tool_types, models[0].family)
      if (parameters.tool_types) assert.match(`${source} ${date}`, /New tools and features.* 2026-11-17/u)
      if (parameters.temperature === false) assert.isFalse(parameters.n, models[0].family)
    }
  })

  it("is known of every model that writes text", () => {
    const without = openai.filter(({ endpoints, parameters }) => {
      return parameters === undefined && ("/chat/completions" in endpoints || "/responses" in endpoints)
    })
    assert.deepStrictEqual(
      without.flatMap(({ models }) => models.map(({ family }) => family)),
      ["computer-use-preview"]
    )
  })

  it("keeps samplers from reasoning models, and reasoning from all others", () => {
    const samplers = [
      "temperature",
      "top_p",
      "presence_penalty",
      "frequency_penalty",
      "logprobs",
      "logit_bias"
    ] as const
    for (const { models, parameters } of known)
      for (const { family } of models) {
        const reasons = /^(?:o\d|gpt-[56](?!-chat)|codex|gpt-(?:daybreak|rosalind))/u.test(family)
        const searches = family.includes("search-preview")
        for (const name of samplers.slice(0, 4))
          assert.strictEqual(parameters[name], reasons || searches ? false : undefined, `${name} of ${family}`)
        if (!reasons) assert.deepInclude(parameters, { reasoning: false, reasoning_effort: false, verbosity: false })
        else if (!/^o1-(?:mini|preview)$/u.test(family)) assert.isArray(parameters.reasoning_effort, family)
      }
  })
})

describe("the names that the SDK's types give", () => {
  it("are found in every form of a union, comments left out", () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-sdk-"))
    try {
      Fs.mkdirSync(Path.join(folder, "resources"))
      Fs.writeFileSync(
        Path.join(folder, "resources/things.d.ts"),
        [
          "/** model: 'in-a-comment'; */",
          "export type ThingModel = (string & {}) | 'a-1' | Shared.ChatModel | \"a-2\";",
          "export type ModelKind = 'no-model';",
          "interface Params {",
          "  // model: 'in-a-line';",
          "  model?:",
          "    | 'b-1'",
          "    | 'b-2'",
          "    | null;",
          "  models: Array<'c-1' | 'c-2'>; mode: 'fast' | 'slow';",
          "  fallback: 'a-1' | 'd-1';",
          "  nested: { model: 'e-1'; size: 'large' };",
          "}"
        ].join("\n")
      )
      Fs.writeFileSync(Path.join(folder, "resources/voices.d.ts"), "  model?: 'auto' | '2026-10-08' | 'voice-2';")
      assert.deepStrictEqual([...modelNames(folder)].map(([name, places]) => [name, ...places]).toSorted(), [
        ["a-1", "ThingModel", "things.fallback"],
        ["a-2", "ThingModel"],
        ["b-1", "things.model"],
        ["b-2", "things.model"],
        ["c-1", "things.models"],
        ["c-2", "things.models"],
        ["d-1", "things.fallback"],
        ["e-1", "things.model"],
        ["voice-2", "voices.model"]
      ])
    } finally {
      Fs.rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe("a model's name", () => {
  const family = (name: string) => find(name)?.family

  it("may be a dated snapshot of one", () => {
    assert.strictEqual(family("gpt-4-0613"), "gpt-4")
    assert.strictEqual(family("gpt-4o-2030-01-01"), "gpt-4o")
    assert.strictEqual(family("o1-preview-2024-09-12"), "o1-preview")
    assert.strictEqual(family("gpt-4-1106-preview"), "gpt-4-turbo")
    assert.strictEqual(family("gpt-4-turbo-preview"), "gpt-4-turbo")
    assert.deepInclude(find("gpt-4-0314"), { family: "gpt-4", tools: false }, "a row of its own comes first")
  })

  it("may be fine-tuned from one, and is then like it", () => {
    for (const name of [
      "ft:gpt-4o-mini:acme",
      "ft:gpt-4o-mini:acme::id",
      "ft:gpt-4o-mini-2024-07-18:acme:weather:B7R9VjQd",
      "ft:gpt-4o-mini-2024-07-18:acme:weather:B7R9VjQd:ckpt-step-80"
    ])
      assert.strictEqual(find(name), find("gpt-4o-mini"), name)
    assert.deepInclude(find("ft:gpt-4-0314:acme"), { family: "gpt-4", rank: 301, tools: false })
    assert.deepInclude(find("ft:davinci-002:acme"), { modality: "completion" })
  })

  it("may be an alias", () => {
    assert.deepInclude(find("chatgpt-4o-latest"), { rank: 304, tools: false })
    assert.deepInclude(find("gpt-5.1-chat-latest"), { rank: 406 })
  })

  it.each([
    "",
    "llama-3",
    "gpt",
    "gpt-4ofoo",
    "gpt-4o-foo",
    "xgpt-4o",
    "GPT-4o",
    " gpt-4o",
    "gpt-4o\n",
    "gpt-4o-latest",
    "gpt-4-0409-preview",
    "gpt-4o-2024-13-01",
    "gpt-4o-2024-08-32",
    "gpt-4o-2024-08",
    "gpt-4o-2024",
    "gpt-4o-06131",
    "gpt-4o-2024-08-06-2024-08-06",
    "gpt-4-0314-0613",
    "chatgpt-4o-latest-2024-08-06",
    "-0613",
    "ft:",
    "ft:gpt-4o",
    "ft:gpt-4o:",
    "ft::acme",
    "ft:llama-3:acme",
    "ft:ft:gpt-4o:acme:acme",
    "FT:gpt-4o:acme",
    "x-ft:gpt-4o:acme",
    "constructor",
    "__proto__",
    "toString",
    "ft:constructor:acme",
    "constructor-2024-08-06"
  ])("is never guessed: %s is unknown", (name) => {
    assert.isUndefined(find(name))
  })
})

describe("a name that is not known is like the nearest of its line", () => {
  const like = (name: string) => likeness(openai, name)?.family
  it.each([
    ["gpt-4o", "gpt-4o"],
    ["ft:gpt-4o-2024-08-06:acme", "gpt-4o"],
    ["gpt-6.3-foo", "gpt-6.2-sol"],
    ["gpt-6.2-astra-tax", "gpt-6.2-astra-law"],
    ["gpt-6-sol-next", "gpt-6-sol"],
    ["gpt-5.9-chat-latest", "gpt-5.3-chat-latest"],
    ["gpt-5.9-mini", "gpt-5.4-mini"],
    ["gpt-7", "gpt-6-sol"],
    ["gpt-9", "gpt-6-sol"],
    ["ft:gpt-7-mini:acme::1", "gpt-6-sol"],
    ["o5-mini", "o4-mini"],
    ["o2", "o1"],
    ["gpt-4.2", "gpt-4.1"],
    ["gpt-audio-3", "gpt-audio-1.5"],
    ["gpt-image-4", "gpt-image-2"],
    ["gpt-realtime-3", "gpt-realtime-2"],
    ["openai/gpt-6.2-sol", "gpt-6.2-sol"],
    ["openai/gpt-6.3", "gpt-6.2-sol"],
    ["openrouter/openai/o5-mini:free", "o4-mini"],
    ["azure/ft:gpt-4o-2024-08-06:acme", "gpt-4o"]
  ])("%s is like %s", (name, family) => {
    assert.strictEqual(like(name), family)
  })

  it.each([
    "llama-3",
    "gpt",
    "gpt-35-turbo",
    "gpt-30",
    "gpt-2",
    "gpt-oss-120b",
    "openai/",
    "gpt-6.3/llama-3",
    "GPT-7",
    " gpt-7",
    "xgpt-4o",
    "o",
    "olmo-2",
    "",
    "7",
    "ft:llama-3:acme",
    "constructor",
    `gpt-6.3-${"x".repeat(200)}`
  ])("%s is like none", (name) => {
    assert.isUndefined(like(name))
  })

  it("in a catalogue of one's own too, and never found by its name", () => {
    const [row] = openai
    const mine: Catalogue = [{ ...row!, models: [{ family: "llama-3-large", rank: 1 }] }]
    assert.strictEqual(likeness(mine, "llama-4-small")?.family, "llama-3-large")
    assert.isUndefined(likeness(mine, "gpt-7"))
    assert.isUndefined(likeness([], "gpt-7"))
    assert.isUndefined(find("gpt-6.3-foo"))
    assert.isUndefined(find("openai/gpt-4o"))
    const routed: Catalogue = [{ ...row!, models: [{ family: "acme/gpt-4o", rank: 1 }] }, ...openai]
    assert.strictEqual(likeness(routed, "acme/gpt-4o")?.family, "acme/gpt-4o")
  })
})

describe("the spelling of the cap", () => {
  it("depends on the model and the endpoint", () => {
    const caps = (name: string, path: string) => capsOf(find(name), path)
    for (const name of ["o1", "o3-mini", "gpt-5", "gpt-5-mini-2025-08-07", "ft:o4-mini:acme"])
      assert.deepStrictEqual(caps(name, "/chat/completions"), ["max_completion_tokens"], name)
    for (const name of ["gpt-4", "gpt-4o-mini", "gpt-audio-mini"])
      assert.deepStrictEqual(caps(name, "/chat/completions"), ["max_tokens", "max_completion_tokens"], name)
    for (const name of ["o1", "gpt-4o", "o1-pro", "gpt-4-turbo-2024-04-09"])
      assert.deepStrictEqual(caps(name, "/responses"), ["max_output_tokens"], name)
    assert.deepStrictEqual(caps("davinci-002", "/completions"), ["max_tokens"])
    assert.deepStrictEqual(caps("text-embedding-3-small", "/embeddings"), [])
    assert.deepStrictEqual(caps("gpt-realtime", "/realtime"), ["max_output_tokens"])
  })

  it("is the endpoint's own for a model that nobody knows, and its newest for one that is not served there", () => {
    for (const { caps, path } of served) assert.deepStrictEqual(capsOf(undefined, path), caps)
    assert.deepStrictEqual(capsOf(undefined, "/embeddings"), [])
    assert.deepStrictEqual(capsOf(find("o1-pro"), "/chat/completions"), ["max_completion_tokens"])
    assert.deepStrictEqual(capsOf(find("gpt-4"), "/constructor"), [])
    assert.deepStrictEqual(capsOf(find("gpt-4"), "constructor"), [])
  })

  it("is one that policies and operations know", () => {
    for (const { caps } of served) assert.includeMembers([...outputTokenCaps], [...caps])
    // At an endpoint that is judged, whatever is served can be capped.
    for (const { endpoints, models } of openai)
      for (const { path } of served.filter(({ caps }) => caps.length > 0)) {
        const caps = endpoints[path as keyof typeof endpoints]
        if (caps !== undefined) assert.isNotEmpty(caps, `${models[0].family} at ${path}`)
      }
  })
})

const served = Object.values(operations).flatMap(({ endpoints }) => endpoints)

describe("a catalogue of one's own", () => {
  const row: CatalogueRow = {
    provider: "acme",
    modality: "chat",
    tools: true,
    images: false,
    endpoints: { "/chat/completions": ["max_tokens"] },
    models: [{ family: "acme-large", rank: 3 }]
  }
  const found = (catalogue: Catalogue, ...names: ReadonlyArray<string>) =>
    Models.pipe(
      Effect.map(({ find }) => names.map((name) => find(name)?.rank)),
      Effect.provide(Models.layerOf(catalogue))
    )

  it.effect("takes the place of OpenAI's, or is added to it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* found([row], "acme-large", "acme-large-0613", "gpt-4o"), [3, 3, undefined])
      assert.deepStrictEqual(yield* found([...Models.openai, row], "acme-large", "gpt-4o"), [3, 304])
      assert.deepStrictEqual(yield* found([], "gpt-4o"), [undefined])
    })
  )

  it.effect("may know better than the row above it", () =>
    Effect.gen(function* () {
      const better: CatalogueRow = { ...row, provider: "openai", models: [{ family: "gpt-4o", rank: 999 }] }
      assert.deepStrictEqual(yield* found([...Models.openai, better], "gpt-4o", "gpt-4o-2024-08-06"), [999, 999])
      const tuned: CatalogueRow = { ...row, models: [{ family: "gpt-4o", names: ["ft:gpt-4o:acme::1"], rank: 7 }] }
      assert.deepStrictEqual(
        yield* found([...Models.openai, tuned], "ft:gpt-4o:acme::1", "ft:gpt-4o:acme::2"),
        [7, 304]
      )
    })
  )

  it.effect("is read when the layer is built: a later change of the caller's rows changes nothing", () =>
    Effect.gen(function* () {
      const mine = [structuredClone(row)]
      const names = yield* Effect.gen(function* () {
        const models = yield* Models
        mine.length = 0
        return models.find("acme-large")?.rank
      }).pipe(Effect.provide(Models.layerOf(mine)))
      assert.strictEqual(names, 3)
    })
  )

  it.effect.each<[unknown, string]>([
    [
      { ...row, models: [{ family: "acme-large", rank: "high" }] },
      `[1].models[0].rank (acme-large): Expected number, got "high"`
    ],
    [
      { ...row, models: [{ family: "acme-large", rank: Infinity }] },
      `[1].models[0].rank (acme-large): Expected a finite number`
    ],
    [{ ...row, models: [{ family: "acme-large" }] }, `[1].models[0].rank (acme-large): Missing key`],
    [{ ...row, models: [] }, `[1].models[0] (acme): Missing key`],
    [
      { ...row, models: [{ family: "acme-large", names: [], rank: 1 }] },
      `[1].models[0].names[0] (acme-large): Missing key`
    ],
    [{ ...row, models: [{ family: "", rank: 1 }] }, `[1].models[0].family`],
    [{ ...row, modality: "chatting" }, `[1].modality (acme): Expected "chat" |`],
    [{ ...row, tool: true }, `[1].tool (acme): Unknown key`],
    [{ ...row, endpoints: { "/chat/completion": [] } }, `[1].endpoints["/chat/completion"] (acme): Unknown key`],
    [
      { ...row, endpoints: { "/chat/completions": ["max_new_tokens"] } },
      `[1].endpoints["/chat/completions"][0] (acme): Expected "max_tokens" | "max_completion_tokens" | "max_output_tokens", got "max_new_tokens"`
    ],
    [{ ...row, parameters: { temprature: false } }, `[1].parameters.temprature (acme): Unknown key`],
    [{ ...row, parameters: { temperature: true } }, `[1].parameters.temperature (acme): Expected false, got true`],
    [{ ...row, date: "today" }, `[1].date (acme)`],
    ["gpt-4o", `[1]: Expected object, got "gpt-4o"`]
  ])("is refused where a row is not well-formed: %j", ([wrong, says]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(found([row, wrong as CatalogueRow], "acme-large"))
      assert.strictEqual(error._tag, "Configuration")
      assert.include(error.message, `The catalogue of models is not well-formed: ${says}`)
    })
  )

  it.effect("is refused with everything that is wrong", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(found([{ ...row, provider: "", tools: "yes" } as never], "acme-large"))
      assert.include(error.message, "[0].provider")
      assert.include(error.message, `[0].tools: Expected boolean, got "yes"`)
    })
  )
})

it("the example of layerOf says what its comments say", async () => {
  const source = Fs.readFileSync(Path.join(root, "src/rewriting/Models.ts"), "utf8")
  const program = (/```ts\n(.*?)```/su.exec(source)?.[1] ?? "").replaceAll(/^ *\* ?/gmu, "")
  const said = [...program.matchAll(/ \/\/ (.*)$/gmu)].map(([, comment]) => comment)
  assert.isAbove(said.length, 2)
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-models-"))
  try {
    const here = JSON.stringify(Url.pathToFileURL(Path.join(root, "src/index.ts")).href)
    Fs.writeFileSync(
      Path.join(folder, "example.mts"),
      program
        .replaceAll('"secure-openai"', () => here)
        .replaceAll(/"(effect\/\w+)"/gu, (_, name: string) => JSON.stringify(import.meta.resolve(name)))
    )
    const { stdout } = await Util.promisify(execFile)(process.execPath, ["example.mts"], { cwd: folder })
    assert.deepStrictEqual(stdout.trimEnd().split("\n"), said)
  } finally {
    Fs.rmSync(folder, { recursive: true, force: true })
  }
})
