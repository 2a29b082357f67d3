/**
 * Small models of the language, each enumerated completely: every combination of what up to three layers may say, against
 * an expectation in closed form. Where chance would have to be lucky, nothing is left to it.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Json } from "../../src/base/Json.ts"
import type { Decision } from "../../src/call/Decision.ts"
import type { Document, Intent } from "../../src/policy/Mapl.ts"
import { depth, oneIn } from "../depth.ts"
import { type Asked, oracleAmong } from "../policy/oracle.ts"
import { principal } from "../policy/states.ts"
import { among, configured, decided, difference } from "../policy/system.ts"

const generate = "tool:app/generate"

const asking = (params: Asked["params"], more: Partial<Asked> = {}): Asked => ({
  resource: generate,
  app: "app",
  params,
  principal: principal("user", "ana"),
  intents: [],
  now: Date.parse("2026-01-10T12:00:00Z"),
  ...more
})

/** Every way to choose one item of each list. */
const product = <A>(lists: ReadonlyArray<ReadonlyArray<A>>): ReadonlyArray<ReadonlyArray<A>> =>
  lists.reduce<ReadonlyArray<ReadonlyArray<A>>>(
    (before, list) => before.flatMap((chosen) => list.map((item) => [...chosen, item])),
    [[]]
  )

/** A decision in short: its verdict, its codes, and what it edits. */
const brief = ({ remedies, verdict, violations }: Decision): string =>
  [
    verdict,
    ...[...new Set(violations.map(({ code }) => code))].sort(),
    ...remedies.map((remedy) =>
      remedy.kind === "model" ? remedy.allowed.toSorted().join("|") : `${remedy.kind}=${String(remedy.to)}`
    )
  ].join(" ")

const modes = [undefined, "rewrite", "deny"] as const
type Mode = (typeof modes)[number]

const withMode = (mode: Mode): { readonly on_violation?: "rewrite" | "deny" } =>
  mode === undefined ? {} : { on_violation: mode }

const bounding = (name: string, spec: Record<string, Json>, document: Intent = {}): Intent => ({
  ...document,
  constraints: { parameters: { "tool:**": { [name]: spec } } }
})

describe("every small policy", { timeout: 120_000 }, () => {
  it("of 3 layers that list models: 49^3 policies × 6 requests", () => {
    const models = ["gpt-4", "gpt-4o", "o1", "llama-3"]
    const subsets = Array.from({ length: 16 }, (_, mask) => mask)
    const namesOf = (mask: number) => models.filter((_, bit) => (mask & (1 << bit)) !== 0)
    const choices: ReadonlyArray<{ readonly mask: number; readonly mode: Mode } | undefined> = [
      undefined,
      ...subsets.flatMap((mask) => modes.map((mode) => ({ mask, mode })))
    ]
    // Whose words the mode is, the spec's or its document's, makes no difference: each layer takes another way to say it.
    const layers = [0, 1, 2].map((layer) =>
      choices.map((choice) => ({
        choice,
        document:
          choice === undefined
            ? {}
            : layer === 0
              ? bounding("model", { allowed_values: namesOf(choice.mask) }, withMode(choice.mode))
              : bounding("model", { allowed_values: namesOf(choice.mask), ...withMode(choice.mode) })
      }))
    )
    const requests = [...models.map((model, bit) => ({ model, bit })), { model: "gpt-9", bit: 5 }, undefined]
    let decisions = 0
    for (const policy of oneIn(5, product(layers))) {
      const system = among(policy.map(({ document }) => document))
      const lists = policy.flatMap(({ choice }) => (choice === undefined ? [] : [choice]))
      const left = lists.reduce((mask, choice) => mask & choice.mask, 15)
      for (const request of requests) {
        const decision = decided(system, asking(request === undefined ? {} : { model: request.model }))
        // A list asks for a model, and one that nobody names is on none.
        const broken = request === undefined ? [] : lists.filter(({ mask }) => (mask & (1 << request.bit)) === 0)
        const expected =
          lists.length > 0 && left === 0
            ? "deny unsatisfiable"
            : request === undefined && lists.length > 0
              ? "deny required"
              : broken.length === 0
                ? "allow"
                : lists.some(({ mode }) => mode === "deny")
                  ? "deny value_not_allowed"
                  : `allow ${namesOf(left).sort().join("|")}`
        if (brief(decision) !== expected)
          assert.fail(`${brief(decision)} instead of ${expected}: ${JSON.stringify({ policy, request })}`)
        decisions++
      }
    }
    assert.strictEqual(decisions, Math.ceil(49 ** 3 / depth(5, 1)) * 6)
  })

  it("of 3 layers with a maximum: 13^3 policies × 10 requests, of output tokens and of a plain number", () => {
    const values = [10, 20, 30, 40]
    const choices: ReadonlyArray<{ readonly max: number; readonly mode: Mode } | undefined> = [
      undefined,
      ...values.flatMap((max) => modes.map((mode) => ({ max, mode })))
    ]
    let decisions = 0
    // The layers spell one thing in three ways, or name a plain number alike.
    for (const names of [
      ["max_tokens", "max_completion_tokens", "max_output_tokens"],
      ["top_k", "top_k", "top_k"]
    ]) {
      const isCap = names[0] === "max_tokens"
      const layers = names.map((name) =>
        choices.map((choice) => ({
          choice,
          document: choice === undefined ? {} : bounding(name, { max: choice.max, ...withMode(choice.mode) })
        }))
      )
      for (const policy of product(layers)) {
        const system = among(policy.map(({ document }) => document))
        const limits = policy.flatMap(({ choice }) => (choice === undefined ? [] : [choice]))
        const max = Math.min(...limits.map((limit) => limit.max))
        for (const value of [undefined, 0, ...values.flatMap((one) => [one, one + 1])]) {
          const decision = decided(system, asking(value === undefined ? {} : { [names[1]!]: value }))
          const expected =
            value === undefined
              ? `allow${isCap && limits.length > 0 ? ` cap=${max}` : ""}`
              : value <= max && !(isCap && limits.length > 0 && value < 1)
                ? "allow"
                : limits.some(({ mode }) => mode === "deny")
                  ? `deny ${value > max ? "above_maximum" : "below_minimum"}`
                  : `allow set=${max}`
          if (brief(decision) !== expected)
            assert.fail(`${brief(decision)} instead of ${expected}: ${JSON.stringify({ policy, value })}`)
          decisions++
        }
      }
    }
    assert.strictEqual(decisions, 2 * 13 ** 3 * 10)
  })

  it("of 3 layers with a minimum and a maximum: 25^3 policies × 2 modes × 6 requests", () => {
    const values = [undefined, 1, 2, 3, 4]
    let decisions = 0
    for (const mode of ["rewrite", "deny"] as const) {
      const layers = [0, 1, 2].map(() =>
        values.flatMap((min) =>
          values.map((max) => ({
            min,
            max,
            document: bounding(
              "temperature",
              // The same bounds in the two ways to write them.
              min !== undefined && max !== undefined && min <= max
                ? { range: [min, max] }
                : { ...(min !== undefined && { min }), ...(max !== undefined && { max }) },
              { on_violation: mode }
            )
          }))
        )
      )
      for (const policy of product(layers)) {
        const system = among(policy.map(({ document }) => document))
        const min = Math.max(...policy.map((one) => one.min ?? -Infinity))
        const max = Math.min(...policy.map((one) => one.max ?? Infinity))
        for (const temperature of [undefined, 0, 1, 2.5, 4, 5]) {
          const decision = decided(system, asking(temperature === undefined ? {} : { temperature }))
          const to = temperature === undefined ? undefined : Math.min(Math.max(temperature, min), max)
          const expected =
            min > max
              ? "deny unsatisfiable"
              : temperature === undefined || to === temperature
                ? "allow"
                : mode === "rewrite"
                  ? `allow set=${to}`
                  : `deny ${temperature > max ? "above_maximum" : "below_minimum"}`
          if (brief(decision) !== expected)
            assert.fail(`${brief(decision)} instead of ${expected}: ${JSON.stringify({ policy, temperature })}`)
          decisions++
        }
      }
    }
    assert.strictEqual(decisions, 2 * 25 ** 3 * 6)
  })

  it("of 2 layers, one of which denies, by the kind of bound: 5 parameters × every two kinds × 3 modes × both orders", () => {
    // What breaks each of these, and only these, is `value`; each bound leaves `kept`.
    const kinds: ReadonlyArray<
      readonly [name: string, value: Json, kept: Json, specs: ReadonlyArray<Record<string, Json>>]
    > = [
      ["model", "gpt-4", "gpt-4o", [{ allowed_values: ["gpt-4o"] }, { allowed_values: ["gpt-4o", "o1"] }]],
      ["temperature", 2, 1, [{ max: 1 }, { range: [0, 1] }, { allowed_values: [1, 0.5] }]],
      ["temperature", 0, 1, [{ min: 1 }, { range: [1, 2] }, { allowed_values: [1, 2] }]],
      ["max_tokens", 50, 10, [{ max: 10 }, { range: [1, 10] }, { allowed_values: [10] }]],
      ["word", "c", "a", [{ allowed_values: ["a"] }, { allowed_values: ["a", "b*"] }]]
    ]
    const loose: Readonly<Record<string, ReadonlyArray<Record<string, Json>>>> = {
      model: [{ allowed_values: ["gpt-4", "gpt-4o"] }, { allowed_values: ["*"] }],
      temperature: [{ max: 2 }, { min: 0 }, { range: [0, 2] }, { allowed_values: [0, 0.5, 1, 2] }],
      max_tokens: [{ max: 50 }, { min: 1 }, { allowed_values: [10, 50] }],
      word: [{ allowed_values: ["a", "c"] }, { type: "string" }, { min_length: 1 }]
    }
    let decisions = 0
    for (const [name, value, kept, specs] of kinds)
      for (const tight of specs)
        for (const holds of [...specs, ...(loose[name] ?? [])])
          for (const mode of modes) {
            const denying = bounding(name, { ...holds, on_violation: "deny" })
            const narrowing = bounding(name, { ...tight, ...withMode(mode) })
            for (const documents of [
              [denying, narrowing],
              [narrowing, denying]
            ]) {
              const decision = decided(among(documents), asking({ [name]: value }))
              assert.match(brief(decision), /^deny (?:above_maximum|below_minimum|value_not_allowed)/u)
              assert.strictEqual(decided(among(documents), asking({ [name]: kept })).verdict, "allow")
              decisions++
            }
          }
    assert.isAbove(decisions, 300)
    // Without anyone who denies they are edited.
    for (const [name, value, , [tight = {}]] of kinds)
      assert.match(
        brief(decided(among([bounding(name, { ...tight, on_violation: "rewrite" })]), asking({ [name]: value }))),
        /^allow /u
      )
  })

  it("of a total of tokens that denies: a cap that its share breaks is refused, and one that a cap breaks", () => {
    for (const [total, cap] of [
      [{ max: 100, on_violation: "deny" }, { max: 40 }],
      [{ max: 40 }, { max: 100, on_violation: "deny" }]
    ] as const) {
      const documents = [bounding("total_tokens", total), bounding("max_tokens", cap)]
      assert.strictEqual(brief(decided(among(documents), asking({ max_tokens: 50 }))), "deny above_maximum")
      assert.strictEqual(brief(decided(among(documents), asking({ max_tokens: 40 }))), "allow")
      assert.strictEqual(brief(decided(among(documents), asking({}))), "allow cap=40")
    }
  })

  it("of a user, a team that it extends, and a service, by resources: 17^3 sets, for a user and for the service", () => {
    const resources = [undefined, [], ["tool:*/generate"], ["tool:*/embed"]]
    const denied = [undefined, ["*generate*"]]
    const validities = [undefined, { not_after: "2026-01-09" }]
    const choices = [
      undefined,
      ...resources.flatMap((resources) =>
        denied.flatMap((denied_resources) =>
          validities.map((validity): Intent => ({
            ...(resources !== undefined && { resources }),
            ...(denied_resources !== undefined && { denied_resources }),
            ...(validity !== undefined && { validity })
          }))
        )
      )
    ]
    let decisions = 0
    for (const [ana, team, app] of product([choices, choices, choices])) {
      const documents: ReadonlyArray<Document> = [
        ...(ana === undefined
          ? []
          : [{ policy_id: "user:ana", ...ana, ...(team !== undefined && { extends: "team:t" }) }]),
        ...(team === undefined ? [] : [{ policy_id: "team:t", ...team }]),
        ...(app === undefined ? [] : [{ policy_id: "app:app", ...app }]),
        { policy_id: "user:other", resources: ["**"] }
      ]
      const system = configured(documents)
      for (const caller of [principal("user", "ana"), principal("app", "app")]) {
        const own = caller.kind === "app" || ana === undefined ? [] : [ana, ...(team === undefined ? [] : [team])]
        const taking = [...own, ...(app === undefined ? [] : [app])]
        const isNobody = (caller.kind === "app" ? taking : own).length === 0
        const codes = [
          taking.some(({ validity }) => validity !== undefined) && "outside_validity",
          taking.some(({ denied_resources }) => denied_resources !== undefined) && "resource_denied",
          taking.some((one) => one.resources?.[0] === "tool:*/embed") && "resource_not_allowed",
          (isNobody || taking.every((one) => (one.resources ?? []).length === 0)) && "no_policy"
        ].filter((code) => code !== false)
        const expected = [codes.length > 0 ? "deny" : "allow", ...codes.toSorted()].join(" ")
        const decision = decided(system, asking({}, { principal: caller }))
        if (brief(decision) !== expected)
          assert.fail(`${brief(decision)} instead of ${expected}: ${JSON.stringify({ documents, caller })}`)
        decisions++
      }
    }
    assert.strictEqual(decisions, 17 ** 3 * 2)
  })

  it("of a chain of 3, a service and an intent that ask for a proof, by who says how it is obtained: 6^5 sets × 2", () => {
    const choices = [false, true].flatMap((needs) =>
      [undefined, { timeout: 60 }, { approval_criteria: "role:boss" }].map((metadata) => ({
        needs,
        approves: metadata !== undefined && "approval_criteria" in metadata,
        document: {
          ...(needs && { attestations: ["key"] }),
          ...(metadata !== undefined && { constraints: { attestations: { key: metadata } } })
        }
      }))
    )
    let decisions = 0
    for (const layers of oneIn(7, product([choices, choices, choices, choices, choices]))) {
      const [ana, team, company, app, intent] = layers.map(({ document }) => document)
      const system = configured([
        { policy_id: "user:ana", extends: "team:t", resources: ["**"], ...ana },
        { policy_id: "team:t", extends: "company:c", ...team },
        { policy_id: "company:c", ...company },
        { policy_id: "app:app", ...app }
      ])
      // Each layer's own need is external where it, or one that it extends, says who approves.
      const lineages = [
        layers.slice(0, 3),
        layers.slice(1, 3),
        layers.slice(2, 3),
        layers.slice(3, 4),
        layers.slice(4, 5)
      ]
      const needing = lineages.filter(([own]) => own?.needs === true)
      const isInternal = needing.some((lineage) => !lineage.some(({ approves }) => approves))
      for (const attestations of [[], ["key"]]) {
        const caller = principal("user", "ana", { attestations })
        const decision = decided(system, asking({}, { principal: caller, intents: [intent ?? {}] }))
        const expected =
          needing.length === 0 || attestations.length > 0
            ? "allow"
            : isInternal
              ? "deny attestation_missing"
              : "pending approval_pending"
        if (brief(decision) !== expected)
          assert.fail(`${brief(decision)} instead of ${expected}: ${JSON.stringify({ layers, attestations })}`)
        decisions++
      }
    }
    assert.strictEqual(decisions, Math.ceil(6 ** 5 / depth(7, 1)) * 2)
  })

  it("of a condition over true, false and undecided: every NOT, AND and OR of three, grouped both ways", () => {
    const truths = [
      { text: "params.n == 1", value: true },
      { text: "params.n == 2", value: false },
      { text: "params.missing > 0", value: undefined }
    ]
    type Truth = boolean | undefined
    const and = (a: Truth, b: Truth): Truth =>
      a === false || b === false ? false : a === true && b === true ? true : undefined
    const not = (a: Truth): Truth => (a === undefined ? undefined : !a)
    const or = (a: Truth, b: Truth): Truth => not(and(not(a), not(b)))
    const literals = truths.flatMap(({ text, value }) => [
      { text, value },
      { text: `NOT ${text}`, value: not(value) }
    ])
    let conditions = 0
    for (const [a, b, c] of product([literals, literals, literals]))
      for (const first of ["AND", "OR"])
        for (const second of ["AND", "OR"])
          for (const grouping of ["none", "left", "right", "negated"]) {
            if (a === undefined || b === undefined || c === undefined) continue
            const join = (word: string) => (word === "AND" ? and : or)
            const [one, two] = [join(first), join(second)]
            const left = two(one(a.value, b.value), c.value)
            const right = one(a.value, two(b.value, c.value))
            const [text, value] = {
              none: [
                `${a.text} ${first} ${b.text} ${second} ${c.text}`,
                first === "OR" && second === "AND" ? right : left
              ],
              left: [`(${a.text} ${first} ${b.text}) ${second} ${c.text}`, left],
              right: [`${a.text} ${first} (${b.text} ${second} ${c.text})`, right],
              negated: [
                `NOT (${a.text} ${first} ${b.text}) ${second} ${c.text}`,
                two(not(one(a.value, b.value)), c.value)
              ]
            }[grouping] as [string, Truth]
            const decision = decided(among([{ attestations: [`key::{${text}}`] }]), asking({ n: 1 }))
            const expected = value === false ? "allow" : "deny attestation_missing"
            if (brief(decision) !== expected) assert.fail(`${brief(decision)} instead of ${expected}: ${text}`)
            conditions++
          }
    assert.strictEqual(conditions, 6 ** 3 * 4 * 4)
  })

  it("of 2 layers with models, a maximum, resources and a mode: 108^2 policies × 9 requests, by the naive evaluator", () => {
    const choices = [undefined, ["gpt-4"], ["gpt-4", "gpt-4o"], ["gpt-4o", "gpt-*"]].flatMap((model) =>
      [undefined, 10, 20].flatMap((max) =>
        [undefined, ["tool:*/generate"], ["tool:*/embed"]].flatMap((resources) =>
          modes.map((mode): Intent => ({
            ...(resources !== undefined && { resources }),
            ...withMode(mode),
            constraints: {
              parameters: {
                "tool:**": {
                  ...(model !== undefined && { model }),
                  ...(max !== undefined && { max_tokens: { max } })
                }
              }
            }
          }))
        )
      )
    )
    let decisions = 0
    for (const documents of oneIn(5, product([choices, choices]))) {
      const system = among(documents)
      for (const model of ["gpt-4", "gpt-4o", "o1"])
        for (const max_tokens of [null, 10, 30]) {
          const asked = asking({ model, max_tokens })
          const unlike = difference(decided(system, asked), oracleAmong(documents, asked))
          if (unlike !== undefined) assert.fail(`${unlike}: ${JSON.stringify({ documents, asked })}`)
          decisions++
        }
    }
    assert.strictEqual(decisions, Math.ceil(108 ** 2 / depth(5, 1)) * 9)
  })
})
