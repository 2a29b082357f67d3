import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Diagnostic } from "../../src/policy/Diagnostic.ts"
import { lint } from "../../src/policy/Lint.ts"
import { lookalikes } from "../../src/policy/lint/Spellings.ts"
import type { LintCode } from "../../src/policy/lint/Warning.ts"
import type { Document } from "../../src/policy/Mapl.ts"
import { diagnose, type PolicySource } from "../../src/policy/PolicySource.ts"
import { isKnownModel, modelNames, Models, openai } from "../../src/rewriting/Models.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const now = Date.parse("2026-01-15T12:00:00Z")

const known = { asOf: Models.asOf, names: modelNames(openai), knows: (name: string) => isKnownModel(openai, name) }

const warningsOf = (source: PolicySource): ReadonlyArray<Diagnostic> =>
  lint(Result.getOrThrow(diagnose(source)), now, { models: known }).filter(({ severity }) => severity !== "note")

const notesOf = (...documents: ReadonlyArray<Document>): ReadonlyArray<string> =>
  lint(Result.getOrThrow(diagnose(documents)), now, { models: known }).flatMap(({ code, path, policy, severity }) =>
    severity === "note" ? [`${code} ${policy} ${path}`] : []
  )

const codesOf = (...documents: ReadonlyArray<Document>): ReadonlyArray<string> =>
  warningsOf(documents).map(({ code, path, policy }) => `${code} ${policy} ${path}`)

type Body = Omit<Document, "policy_id">

const user = (more: Body): Document => ({ policy_id: "user:a", ...more })
const team = (more: Body): Document => ({ policy_id: "team:T", ...more })
const output = (rule: object) => ({ constraints: { output: { "tool:*/generate": rule } } })
const specs = (parameters: Readonly<Record<string, unknown>>, pattern = "tool:*/x"): Body =>
  ({ constraints: { parameters: { [pattern]: parameters } } }) as Body
const child = (more: Body): Document => user({ extends: "team:T", ...more })

const required = { parameters: { "tool:*/generate": { model: { required: true } } } }

/** The smallest documents that trigger a warning, what is said and where, and their nearest neighbours that do not. */
const golden: ReadonlyArray<
  readonly [LintCode, bad: ReadonlyArray<Document>, said: string | ReadonlyArray<string>, good: ReadonlyArray<Document>]
> = [
  [
    "direct_constraints",
    [user({ constraints: { "tool:*/x": { a: ["b"] } } })],
    `user:a constraints["tool:*/x"]`,
    [user(specs({ a: ["b"] }))]
  ],
  [
    "attestation_object",
    [user({ attestations: { key: true } })],
    "user:a attestations",
    [user({ attestations: ["key"] })]
  ],
  ["matches_nothing", [user({ resources: ["tool:*"] })], "user:a resources[0]", [user({ resources: ["tool:**"] })]],
  ["matches_nothing", [user({ resources: ["tool:x"] })], "user:a resources[0]", [user({ resources: ["tool:*/x"] })]],
  [
    "matches_nothing",
    [user({ denied_resources: ["*"] })],
    "user:a denied_resources[0]",
    [user({ denied_resources: ["**"] })]
  ],
  ["matches_nothing", [user({ resources: ["my-app/x"] })], "user:a resources[0]", [user({ resources: ["*/x"] })]],
  [
    "matches_nothing",
    [user(specs({ a: ["b"] }, "tool:*"))],
    `user:a constraints.parameters["tool:*"]`,
    [user(specs({ a: ["b"] }, "tool:**"))]
  ],
  [
    "matches_nothing",
    [user({ constraints: { denied_parameters: { "tool:*": { q: ["*x*"] } } } })],
    `user:a constraints.denied_parameters["tool:*"]`,
    [user({ constraints: { denied_parameters: { "*x*": { q: ["*x*"] } } } })]
  ],
  [
    "llm_name",
    [user({ resources: ["llm:openai/gpt-4o"] })],
    "user:a resources[0]",
    [user({ resources: ["tool:openai/x"] })]
  ],
  [
    "unknown_resource_type",
    [user({ resources: ["tools:a/x"] })],
    "user:a resources[0]",
    [user({ resources: ["data:a/x"] })]
  ],
  [
    "unknown_resource_type",
    [user({ denied_resources: ["data:a/*"] })],
    "user:a denied_resources[0]",
    [user({ denied_resources: ["api:a/*"] })]
  ],
  [
    "unreachable_resource",
    [team({ resources: ["tool:*/x", "api:**"] }), child({ resources: ["tool:app/y"] })],
    "user:a resources[0]",
    [team({ resources: ["tool:*/x", "api:**"] }), child({ resources: ["tool:app/*"] })]
  ],
  [
    "unreachable_resource",
    [
      { policy_id: "company:C", resources: ["tool:a/**"] },
      team({ extends: "company:C", resources: ["tool:*/x"] }),
      child({ resources: ["tool:b/x"] })
    ],
    "user:a resources[0]",
    [
      { policy_id: "company:C", resources: ["tool:a/**"] },
      team({ extends: "company:C", resources: ["tool:*/x"] }),
      child({ resources: ["tool:*/*"] })
    ]
  ],
  [
    "unreachable_resource",
    [team({ denied_resources: ["*secret*"] }), child({ resources: ["tool:app/secrets"] })],
    "user:a resources[0]",
    [team({ denied_resources: ["*secret*"] }), child({ resources: ["tool:app/*"] })]
  ],
  [
    "unused_constraint",
    [user({ resources: ["tool:*/x"], ...specs({ a: ["b"] }, "tool:app/y") })],
    `user:a constraints.parameters["tool:app/y"]`,
    [user({ resources: ["tool:*/x"], ...specs({ a: ["b"] }, "tool:app/x") })]
  ],
  [
    "unused_constraint",
    [team({ resources: ["tool:*/x"] }), child(specs({ a: ["b"] }, "tool:app/y"))],
    `user:a constraints.parameters["tool:app/y"]`,
    [team({}), child(specs({ a: ["b"] }, "tool:app/y"))].map((one) => ({ denied_resources: ["*.pem"], ...one }))
  ],
  [
    "unused_constraint",
    [user(specs({ a: ["b"] }, "api:app/files"))],
    `user:a constraints.parameters["api:app/files"]`,
    [user({ denied_resources: ["api:app/files"] })]
  ],
  [
    "unsatisfiable",
    [team(specs({ max_tokens: { min: 500 } })), child(specs({ max_completion_tokens: { max: 100 } }))],
    `user:a constraints.parameters["tool:*/x"].max_completion_tokens`,
    [team(specs({ max_tokens: { min: 500 } })), child(specs({ max_completion_tokens: { max: 500 } }))]
  ],
  [
    "unsatisfiable",
    [team(specs({ m: ["gpt-4*"] })), child(specs({ m: ["o1", "o3"] }, "tool:app/*"))],
    `user:a constraints.parameters["tool:app/*"].m`,
    [team(specs({ m: ["gpt-4*"] })), child(specs({ m: ["o1", "*-mini"] }, "tool:app/*"))]
  ],
  [
    "unsatisfiable",
    [team(specs({ m: ["a"] })), child(specs({ m: ["b"] }, "tool:app/*"))],
    `user:a constraints.parameters["tool:app/*"].m`,
    [team(specs({ m: ["a"] })), child(specs({ m: ["b"] }, "tool:app/y*"))]
  ],
  [
    "unsatisfiable",
    [team({ resources: ["tool:*/x", "tool:*/y"], ...specs({ m: ["a"] }) }), child(specs({ m: ["b"] }, "tool:app/**"))],
    `user:a constraints.parameters["tool:app/**"].m`,
    [
      team({ resources: ["tool:*/x", "tool:*/y"], ...specs({ m: ["a"] }) }),
      child({ resources: ["tool:*/y"], ...specs({ m: ["b"] }, "tool:app/**") })
    ]
  ],
  [
    "unsatisfiable",
    [user({ constraints: { parameters: { "tool:*/x": { n: { max: 1 } }, "tool:app/*": { n: { type: "string" } } } } })],
    `user:a constraints.parameters["tool:app/*"].n`,
    [user({ constraints: { parameters: { "tool:*/x": { n: { max: 1 } }, "tool:app/*": { n: { type: "integer" } } } } })]
  ],
  [
    "unsatisfiable",
    [user(specs({ n: { type: "string", max: 1 } }))],
    `user:a constraints.parameters["tool:*/x"].n`,
    [user(specs({ n: { type: "integer", max: 1 } }))]
  ],
  [
    "unsatisfiable",
    [user(specs({ n: { allowed_values: [5, 6], max: 4 } }))],
    `user:a constraints.parameters["tool:*/x"].n`,
    [user(specs({ n: { allowed_values: [4, 6], max: 4 } }))]
  ],
  ["unsatisfiable", [user(specs({ n: [] }))], `user:a constraints.parameters["tool:*/x"].n`, [user(specs({ n: [0] }))]],
  [
    "unsatisfiable",
    [user(specs({ max_tokens: { max: 0 } }))],
    `user:a constraints.parameters["tool:*/x"].max_tokens`,
    [user(specs({ max_tokens: { max: 1 } }))]
  ],
  [
    "downgrade_not_allowed",
    [user(specs({ model: { allowed_values: ["gpt-4o", "o*"], downgrade: { "*": "o1" } } }))],
    `user:a constraints.parameters["tool:*/x"].model.downgrade["*"]`,
    [user(specs({ model: { allowed_values: ["gpt-4o", "o*"], downgrade: { "*": "gpt-4o" } } }))]
  ],
  [
    "unknown_scope",
    [{ policy_id: "users:a", resources: ["**"] }],
    "users:a policy_id",
    [{ policy_id: "agent:a", resources: ["**"] }]
  ],
  [
    "unknown_scope",
    [{ policy_id: "base", resources: ["**"] }],
    "base policy_id",
    [{ policy_id: "base", resources: ["**"] }, user({ extends: "base" })]
  ],
  [
    "case_duplicate",
    [user({ denied_resources: ["*Secret*", "*secret*"] })],
    "user:a denied_resources[1]",
    [user({ denied_resources: ["*Secret*", "*secrets*"] })]
  ],
  [
    "case_duplicate",
    [user({ resources: ["tool:a/pay", "tool:a/x"], denied_resources: ["tool:a/Pay"] })],
    "user:a denied_resources[0]",
    [user({ resources: ["tool:a/**"], denied_resources: ["tool:a/Pay"] })]
  ],
  [
    "case_duplicate",
    [user({ constraints: { denied_parameters: { "tool:**": { q: ["*drop*", "*DROP*"] } } } })],
    `user:a constraints.denied_parameters["tool:**"].q[1]`,
    [user({ constraints: { denied_parameters: { "tool:**": { q: ["*drop*"] } } } })]
  ],
  [
    "duplicate_item",
    [user(output({ denied: ["secret", "secret"] }))],
    `user:a constraints.output["tool:*/generate"].denied[1]`,
    [user(output({ denied: ["secret", "Secret"] }))]
  ],
  [
    "short_denied_text",
    [user(output({ denied: ["Project Heron", "no"] }))],
    `user:a constraints.output["tool:*/generate"].denied[1]`,
    [user(output({ denied: ["Project Heron", "<|", { pattern: "no" }], hold_back: 12 }))]
  ],
  [
    "unused_constraint",
    [user(output({ max_characters: 5, hold_back: 5 }))],
    `user:a constraints.output["tool:*/generate"].hold_back`,
    [user(output({ denied: ["secret"], hold_back: 5 }))]
  ],
  [
    "unused_constraint",
    [user({ resources: ["tool:a/x"], constraints: { output: { "api:a/images": { max_characters: 5 } } } })],
    `user:a constraints.output["api:a/images"]`,
    [user({ resources: ["tool:a/x"], constraints: { output: { "tool:a/x": { max_characters: 5 } } } })]
  ],
  [
    "no_effect",
    [user(output({}))],
    `user:a constraints.output["tool:*/generate"]`,
    [user(output({ on_response: "deny" }))]
  ],
  [
    "duplicate_item",
    [user({ resources: ["tool:a/x", "tool:a/x"] })],
    "user:a resources[1]",
    [user({ resources: ["tool:a/x", "tool:a/y"] })]
  ],
  [
    "duplicate_item",
    [user(specs({ m: ["a", "a"] }))],
    `user:a constraints.parameters["tool:*/x"].m[1]`,
    [user(specs({ m: ["1", 1] }))]
  ],
  [
    "duplicate_item",
    [user(specs({ m: { allowed_values: [{ b: 1 }, { b: 1 }] } }))],
    `user:a constraints.parameters["tool:*/x"].m.allowed_values[1]`,
    [user(specs({ m: { allowed_values: [{ b: 1 }, { b: 2 }] } }))]
  ],
  [
    "duplicate_item",
    [user({ attestations: ["k", { key: "k", resources: ["**"] }, { key: "k", resources: ["**"] }] })],
    "user:a attestations[2]",
    [user({ attestations: ["k", "j", { key: "k", resources: ["**"] }] })]
  ],
  [
    "no_approver",
    [user({ attestations: ["k"], constraints: { attestations: { k: { timeout: 5 } } } })],
    "user:a constraints.attestations.k",
    [user({ attestations: ["k"], constraints: { attestations: { k: { timeout: 5, approval_criteria: "role:r" } } } })]
  ],
  [
    "no_approver",
    [
      team({ attestations: ["k"] }),
      child({ attestations: ["k"], constraints: { attestations: { k: { max_uses: 1 } } } })
    ],
    "user:a constraints.attestations.k",
    [
      team({ attestations: ["k"], constraints: { attestations: { k: { approval_criteria: "role:r" } } } }),
      child({ attestations: ["k"], constraints: { attestations: { k: { max_uses: 1 } } } })
    ]
  ],
  [
    "unused_attestation",
    [user({ attestations: ["boss"], constraints: { attestations: { bos: { approval_criteria: "role:r" } } } })],
    "user:a constraints.attestations.bos",
    [user({ attestations: ["boss"], constraints: { attestations: { boss: { approval_criteria: "role:r" } } } })]
  ],
  [
    "approver_never_applies",
    [team({ attestations: ["k"] }), child({ constraints: { attestations: { k: { approval_criteria: "role:r" } } } })],
    "user:a constraints.attestations.k",
    [team({ constraints: { attestations: { k: { approval_criteria: "role:r" } } } }), child({ attestations: ["k"] })]
  ],
  [
    "approver_never_applies",
    [
      { policy_id: "company:C", constraints: { attestations: { k: { approval_criteria: "role:r" } } } },
      team({ extends: "company:C", constraints: { attestations: { k: { approval_criteria: "role:s" } } } }),
      child({ attestations: ["k"] })
    ],
    "company:C constraints.attestations.k",
    [
      { policy_id: "company:C", constraints: { attestations: { k: { approval_criteria: "role:r" } } } },
      team({ extends: "company:C" }),
      child({ attestations: ["k"] })
    ]
  ],
  [
    "undecided_condition",
    [user({ attestations: ["k::{params.amount > 5}"] })],
    "user:a attestations[0]",
    [user({ attestations: ["k::{params.currency IN ('EUR') AND params.amount > 5}"] })]
  ],
  [
    "undecided_condition",
    [user({ resources: ["tool:a/pay", "tool:a/x"], attestations: ["k::{NOT params.amount <= 5}"] })],
    "user:a attestations[0]",
    [user({ resources: ["tool:a/pay"], attestations: ["k::{NOT params.amount <= 5}"] })]
  ],
  [
    "undecided_condition",
    [user({ attestations: [{ key: "k", when: "params.amount > 5", resources: ["tool:my-app/**"] }] })],
    "user:a attestations[0]",
    [user({ attestations: [{ key: "k", when: "params.amount > 5", resources: ["tool:my-app/pay", "tool:*/*_eur"] }] })]
  ],
  [
    "matches_nothing",
    [user({ attestations: ["j", { key: "k", resources: ["tool:*/pay", "tool:*"] }] })],
    "user:a attestations[1].resources[1]",
    [user({ attestations: ["j", { key: "k", resources: ["tool:*/pay", "tool:**"] }] })]
  ],
  [
    "unused_constraint",
    [user({ resources: ["tool:*/x", "tool:*/y"], attestations: [{ key: "k", resources: ["tool:app/z"] }] })],
    "user:a attestations[0].resources[0]",
    [user({ resources: ["tool:*/x", "tool:*/y"], attestations: [{ key: "k", resources: ["tool:app/y"] }] })]
  ],
  [
    "unused_constraint",
    [user({ attestations: [{ key: "k", resources: ["api:*/files"] }] })],
    "user:a attestations[0].resources[0]",
    [user({ attestations: [{ key: "k", resources: ["*files*"] }] })]
  ],
  [
    "validity_over",
    [user({ validity: { not_after: "2026-01-14" } })],
    "user:a validity.not_after",
    [user({ validity: { not_after: "2026-01-15" } })]
  ],
  [
    "validity_empty",
    [user({ validity: { not_before: "2027-01-02", not_after: "2027-01-01" } })],
    "user:a validity",
    [user({ validity: { not_before: "2027-01-01", not_after: "2027-01-01" } })]
  ],
  ["no_effect", [user({ description: "x", resources: [] })], "user:a policy_id", [user({ denied_resources: ["**"] })]],
  [
    "no_effect",
    [user({ constraints: { parameters: {} } })],
    "user:a policy_id",
    [user({ constraints: { rate_limit: 1 } })]
  ],
  [
    "model_not_required",
    [user(specs({ model: { pattern: "gpt-4.*" } }, "tool:*/embed"))],
    `user:a constraints.parameters["tool:*/embed"].model.pattern`,
    [user(specs({ model: { pattern: "gpt-4.*", required: true } }, "tool:*/embed"))]
  ],
  [
    "model_not_required",
    [user({ constraints: { denied_parameters: { "tool:*/embed": { model: ["o1"] } } } })],
    `user:a constraints.denied_parameters["tool:*/embed"].model`,
    [
      team(specs({ model: ["text-embedding-3-small"] }, "tool:*/embed")),
      child({ constraints: { denied_parameters: { "tool:*/embed": { model: ["o1"] } } } })
    ]
  ],
  [
    "model_left_open",
    [user(specs({ model: { allowed_values: ["gpt-4o"], required: false } }, "tool:*/embed"))],
    `user:a constraints.parameters["tool:*/embed"].model.required`,
    [user(specs({ model: { allowed_values: ["gpt-4o"] } }, "tool:*/embed"))]
  ],
  [
    "model_left_open",
    [user(specs({ model: ["gpt-4o"], provider: {}, route: ["x"] }, "tool:*/embed"))],
    [`user:a constraints.parameters["tool:*/embed"].route`, `user:a constraints.parameters["tool:*/embed"].provider`],
    // Of a registered tool they are arguments like any other.
    [user(specs({ model: ["gpt-4o"], provider: {} }, "tool:*/pay"))]
  ],
  [
    "unknown_parameter",
    [user(specs({ max_token: { max: 5 }, temprature: { max: 1 } }, "tool:*/generate"))],
    [
      `user:a constraints.parameters["tool:*/generate"].max_token`,
      `user:a constraints.parameters["tool:*/generate"].temprature`
    ],
    [user(specs({ max_tokens: { max: 5 }, temperature: { max: 1 }, total_tokens: { max: 9 } }, "tool:*/generate"))]
  ],
  [
    "unknown_parameter",
    [user(specs({ "tools[].function.nmae": ["a"] }, "tool:my-app/generate"))],
    `user:a constraints.parameters["tool:my-app/generate"]["tools[].function.nmae"]`,
    [user(specs({ "tools[].function.name": ["a"], "metadata.nmae": ["a"] }, "tool:my-app/generate"))]
  ],
  [
    "unknown_parameter",
    [user({ constraints: { denied_parameters: { "tool:*/generate": { mesages: ["*x*"] } } } })],
    `user:a constraints.denied_parameters["tool:*/generate"].mesages`,
    [user({ constraints: { denied_parameters: { "tool:*/send": { mesages: ["*x*"] } } } })]
  ],
  [
    "unknown_parameter",
    [user(specs({ max_token: { max: 5 } }, "tool:**"))],
    `user:a constraints.parameters["tool:**"].max_token`,
    // A tool may have such arguments.
    [user(specs({ message: { max_length: 5 }, top_k: { max: 5 }, amount: { max: 5 } }, "tool:**"))]
  ],
  [
    "unknown_parameter",
    [
      user({
        resources: ["tool:a/generate", "tool:*/embed"],
        ...specs({ modle: ["gpt-4o"], temperture: { max: 1 } }, "tool:**")
      })
    ],
    `user:a constraints.parameters["tool:**"].temperture`,
    [user({ resources: ["tool:a/generate"], ...specs({ temperature: { max: 1 } }, "tool:**") })]
  ],
  [
    "unknown_parameter",
    [user(specs({ max_tokens: { max: 5 }, messages: { max_items: 5 } }, "tool:*/embed"))],
    [
      `user:a constraints.parameters["tool:*/embed"].max_tokens`,
      `user:a constraints.parameters["tool:*/embed"].messages`
    ],
    [user(specs({ input: { max_length: 5 }, model: ["text-embedding-3-small"] }, "tool:*/embed"))]
  ],
  [
    "unknown_parameter",
    [user({ attestations: [{ key: "k", when: "params.max_token > 5", resources: ["tool:*/generate"] }] })],
    "user:a attestations[0]",
    [user({ attestations: [{ key: "k", when: "params.amount > 5", resources: ["tool:*/pay"] }] })]
  ],
  [
    "unknown_model",
    [user(specs({ model: ["gpt-4o-mni", "gpt-4o"] }, "tool:*/embed"))],
    `user:a constraints.parameters["tool:*/embed"].model[0]`,
    [user(specs({ model: ["gpt-4o-mini", "gpt-4o"] }, "tool:*/embed"))]
  ],
  [
    "unknown_model",
    [user(specs({ model: { allowed_values: ["gpt-4o"], downgrade: { "gpt-4o-mni": "gpt-4o" } } }, "tool:*/embed"))],
    `user:a constraints.parameters["tool:*/embed"].model.downgrade["gpt-4o-mni"]`,
    [user(specs({ model: { allowed_values: ["gpt-4o"], downgrade: { "*": "gpt-4o" } } }, "tool:*/embed"))]
  ],
  [
    "unknown_model",
    [user({ constraints: { denied_parameters: { "tool:*/generate": { model: ["gpt-4o-mni"] } }, ...required } })],
    `user:a constraints.denied_parameters["tool:*/generate"].model[0]`,
    [user({ constraints: { denied_parameters: { "tool:*/generate": { model: ["gpt-4o-mini"] } }, ...required } })]
  ],
  [
    "looser_than_parent",
    [
      team(specs({ max_tokens: { max: 400 } }, "tool:*/generate")),
      child(specs({ max_completion_tokens: { max: 500 } }, "tool:a/generate"))
    ],
    `user:a constraints.parameters["tool:a/generate"].max_completion_tokens.max`,
    [
      team(specs({ max_tokens: { max: 400 } }, "tool:a/generate")),
      child(specs({ max_tokens: { max: 500 } }, "tool:*/generate"))
    ]
  ],
  [
    "looser_than_parent",
    [team(specs({ word: ["a", "b*"] })), child(specs({ word: ["a", "c", "bc"] }))],
    `user:a constraints.parameters["tool:*/x"].word[1]`,
    [team(specs({ word: ["a", "b*"] })), child(specs({ word: ["a", "bc"] }))]
  ],
  [
    "looser_than_parent",
    [
      { policy_id: "company:C", ...specs({ word: { allowed_values: ["a", "b"], required: true } }, "tool:**") },
      team({ extends: "company:C" }),
      child(specs({ word: { allowed_values: ["b", "c"], required: false } }))
    ],
    [
      `user:a constraints.parameters["tool:*/x"].word.allowed_values[1]`,
      `user:a constraints.parameters["tool:*/x"].word.required`
    ],
    [
      { policy_id: "company:C", ...specs({ word: { allowed_values: ["a", "b"], required: true } }, "tool:**") },
      team({ extends: "company:C" }),
      child(specs({ word: { allowed_values: ["b"], required: true } }))
    ]
  ],
  [
    "looser_than_parent",
    [
      team({ on_violation: "deny", ...specs({ n: { max: 5 } }) }),
      child(specs({ n: { max: 4, on_violation: "rewrite" } }))
    ],
    `user:a constraints.parameters["tool:*/x"].n.on_violation`,
    [team(specs({ n: { max: 5 } })), child(specs({ n: { max: 4, on_violation: "rewrite" } }))]
  ],
  [
    "looser_than_parent",
    [team({ constraints: { rate_limit: 5 } }), child({ constraints: { rate_limit: 6 } })],
    "user:a constraints.rate_limit",
    [team({ constraints: { rate_limit: 5 } }), child({ constraints: { rate_limit: 5 } })]
  ],
  [
    "looser_than_parent",
    [
      team({ validity: { not_before: "2026-01-02", not_after: "2026-06-30" } }),
      child({ validity: { not_before: "2026-01-01", not_after: "2026-07-01" } })
    ],
    ["user:a validity.not_before", "user:a validity.not_after"],
    [
      team({ validity: { not_before: "2026-01-02", not_after: "2026-06-30" } }),
      child({ validity: { not_before: "2026-01-03", not_after: "2026-06-29" } })
    ]
  ],
  [
    "looser_than_parent",
    [
      team(output({ max_characters: 5, on_response: "deny" })),
      child(output({ max_characters: 6, on_response: "record" }))
    ],
    [
      `user:a constraints.output["tool:*/generate"].max_characters`,
      `user:a constraints.output["tool:*/generate"].on_response`
    ],
    [team(output({ max_characters: 5 })), child(output({ max_characters: 5, on_response: "record" }))]
  ],
  [
    "looser_than_parent",
    [team({ attestations: ["k"] }), child({ attestations: [{ key: "k", resources: ["tool:*/pay"] }] })],
    "user:a attestations[0]",
    [
      team({ attestations: [{ key: "k", resources: ["tool:*/send"] }, "j::{params.n == 1}"] }),
      child({ attestations: [{ key: "k", resources: ["tool:*/pay"] }, "j"] })
    ]
  ],
  [
    "case_differs",
    [user({ resources: ["**"] }), { policy_id: "user:A", resources: ["**"] }],
    "user:A policy_id",
    [user({ resources: ["**"] }), { policy_id: "user:b", resources: ["**"] }]
  ],
  [
    "case_differs",
    [user({ resources: ["tool:My-App/x"] }), { policy_id: "app:my-app", resources: ["tool:my-app/**"] }],
    "user:a resources[0]",
    [user({ resources: ["tool:my-app/x"] }), { policy_id: "app:my-app", resources: ["tool:my-app/**"] }]
  ],
  [
    "case_differs",
    [user({ resources: ["tool:*/Generate"], denied_resources: ["api:*/Files"] })],
    ["user:a resources[0]", "user:a denied_resources[0]"],
    [user({ resources: ["tool:*/generate"], denied_resources: ["api:*/files"] })]
  ],
  [
    "case_differs",
    [team({ resources: ["tool:a/pay"] }), user(specs({ amount: { max: 5 } }, "tool:*/Pay"))],
    `user:a constraints.parameters["tool:*/Pay"]`,
    [team({ resources: ["tool:a/pay"] }), user(specs({ amount: { max: 5 } }, "tool:*/pay"))]
  ],
  [
    "case_differs",
    [
      { policy_id: "role:boss", resources: ["**"] },
      user({
        attestations: ["k::{NOT principal.has_role('Boss')}", "j"],
        constraints: { attestations: { j: { approval_criteria: "role:Boss" } } }
      })
    ],
    ["user:a attestations[0]", "user:a constraints.attestations.j.approval_criteria"],
    [
      { policy_id: "role:boss", resources: ["**"] },
      user({
        attestations: ["k::{NOT principal.has_role('boss')}", "j"],
        constraints: { attestations: { j: { approval_criteria: "role:boss" } } }
      })
    ]
  ],
  [
    "models_open",
    [user({ denied_resources: ["*batch*", "*secret*"], ...specs({ model: ["a"] }, "tool:*/generate") })],
    `user:a constraints.parameters["tool:*/generate"].model`,
    [
      user({ denied_resources: ["*batch*", "api:*/assistants"], ...specs({ model: ["a"] }, "tool:*/generate") }),
      team({ denied_resources: ["api:app/threads"] })
    ]
  ]
]

/** The same of notes. */
const goldenNotes: ReadonlyArray<
  readonly [LintCode, bad: ReadonlyArray<Document>, said: ReadonlyArray<string>, good: ReadonlyArray<Document>]
> = [
  [
    "unknown_parameter",
    // What servers of one's own know, and what may be newer than this library.
    [user(specs({ top_k: { max: 5 }, guided_json: { required: true } }, "tool:*/generate"))],
    [
      `user:a constraints.parameters["tool:*/generate"].top_k`,
      `user:a constraints.parameters["tool:*/generate"].guided_json`
    ],
    [user(specs({ top_k: { max: 5 } }, "tool:*/*"))]
  ],
  [
    "unknown_model",
    [user(specs({ model: ["gpt-4o", "gpt-9", "llama-3"] }, "tool:*/embed"))],
    [`user:a constraints.parameters["tool:*/embed"].model`],
    [user(specs({ model: ["gpt-4o", "gpt-9"] }, "tool:*/rate_model"))]
  ],
  [
    "rate_limit_per_process",
    [team({ constraints: { rate_limit: 9 } }), child({ constraints: { rate_limit: 5 } })],
    ["team:T constraints.rate_limit"],
    [team({ denied_resources: ["*x*"] })]
  ],
  [
    "operation_misspelt",
    [
      user({
        resources: ["tool:my-app/genrate", "tool:*/embeds", "tool:*/**"],
        denied_resources: ["tool:*/compelte"],
        attestations: [{ key: "k", resources: ["tool:*/generat"] }],
        ...specs({ amount: { max: 5 } }, "tool:my-app/genrate")
      })
    ],
    [
      "user:a resources[0]",
      "user:a resources[1]",
      "user:a denied_resources[0]",
      `user:a constraints.parameters["tool:my-app/genrate"]`,
      "user:a attestations[0].resources[0]"
    ],
    [
      user({
        resources: [
          "tool:*/generate",
          "tool:*/regenerate",
          "tool:*/compute",
          "tool:*/gen*",
          "api:*/embed2",
          "tool:genrate/x"
        ]
      })
    ]
  ]
]

describe("notes", () => {
  it.each(goldenNotes)("%s of %j", (code, bad, said, good) => {
    assert.deepStrictEqual(
      notesOf(...bad),
      said.map((each) => `${code} ${each}`)
    )
    assert.deepStrictEqual(codesOf(...bad), [])
    assert.deepStrictEqual(notesOf(...good), [])
  })

  it("say the catalogue's date, and what is known is told of no day", () => {
    const [note] = lint(Result.getOrThrow(diagnose([user(specs({ model: ["gpt-9"] }, "tool:*/embed"))])), now, {
      models: known
    })
    assert.include(note?.message, `the catalogue of ${Models.asOf} does not know ["gpt-9"]`)
    const right = ["gpt-4o", "gpt-4o-2024-08-06", "ft:gpt-4o-mini:org::id", "openai/gpt-4o", "gpt-4*", "*-mini", "*"]
    assert.deepStrictEqual(notesOf(user(specs({ model: right }, "tool:*/embed"))), [])
  })
})

describe("slips in names of models", () => {
  const meant = (name: string) =>
    warningsOf(user(specs({ model: [name] }, "tool:*/embed"))).map(({ hint }) =>
      hint?.replace(/^did you mean (.*)\?$/u, "$1")
    )

  it.each([
    ["gpt-4o-mni", "gpt-4o-mini"],
    ["GPT-4o", "gpt-4o"],
    ["gpt4o", "gpt-4o"],
    ["gtp-4o*", "gpt-4o*"],
    ["text-embeding-3-small", "text-embedding-3-small"]
  ])("%s is told to be %s", (name, other) => {
    assert.deepStrictEqual(meant(name), [JSON.stringify(other)])
  })

  it.each(["gpt-9o", "gpt-4o-eu", "o9-mini", "my-deployment", "llama-3", "gpt-4o-2031-01-01", "x9*"])(
    "%s may be a model of its own",
    (name) => {
      assert.deepStrictEqual(meant(name), [])
    }
  )
})

describe("advice about a request", () => {
  it("is of the documents in play, and of what the resource has", () => {
    const set = Result.getOrThrow(
      diagnose([
        team({ constraints: { rate_limit: 5 }, ...specs({ max_tokens: { max: 5 } }, "tool:*/generate") }),
        child({
          constraints: {
            parameters: {
              "tool:*/generate": { max_token: { max: 5 } },
              "tool:*/embed": { dimension: { max: 5 } },
              "tool:*/Generate": { n: { max: 5 } }
            }
          }
        }),
        { policy_id: "user:b", ...specs({ max_token: { max: 5 } }, "tool:*/generate") }
      ])
    )
    const about = (resource: string, ...ids: ReadonlyArray<string>) =>
      lint(set, now, { about: { ids, resource } }).map(({ code, policy }) => `${policy} ${code}`)
    assert.deepStrictEqual(about("tool:a/generate", "user:a", "team:T"), [
      "user:a case_differs",
      "user:a unknown_parameter"
    ])
    assert.deepStrictEqual(about("tool:a/embed", "user:b"), [])
    assert.deepStrictEqual(about("tool:a/embed", "user:a"), ["user:a case_differs", "user:a unknown_parameter"])
  })

  it("asks about an operation that is misspelt, also where a request is of the right one", () => {
    const set = Result.getOrThrow(diagnose([user(specs({ amount: { max: 5 } }, "tool:my-app/genrate"))]))
    const [note] = lint(set, now, { about: { ids: ["user:a"], resource: "tool:my-app/generate" } })
    assert.deepInclude(note, {
      severity: "note",
      code: "operation_misspelt",
      hint: 'did you mean "tool:my-app/generate"?'
    })
  })

  it("finds the document that an id differs from in case only", () => {
    const set = Result.getOrThrow(diagnose([team({ resources: ["**"] }), user({ resources: ["**"] })]))
    assert.deepStrictEqual(lookalikes(set, ["user:A", "team:T", "role:x"]), [{ id: "user:A", document: "user:a" }])
    assert.deepStrictEqual(lookalikes(set, []), [])
  })
})

describe("lint", () => {
  for (const [code, bad, said, good] of golden) {
    it(`warns of ${code}: ${JSON.stringify(bad)}`, () => {
      assert.deepStrictEqual(
        codesOf(...bad),
        [said].flat().map((each) => `${code} ${each}`)
      )
    })
    it(`and not of its neighbour: ${JSON.stringify(good)}`, () => {
      assert.deepStrictEqual(codesOf(...good), [])
    })
  }

  it("has a golden test for each code", () => {
    const codes: Record<LintCode, true> = {
      direct_constraints: true,
      attestation_object: true,
      matches_nothing: true,
      llm_name: true,
      unknown_resource_type: true,
      unreachable_resource: true,
      unused_constraint: true,
      unsatisfiable: true,
      downgrade_not_allowed: true,
      unknown_scope: true,
      case_duplicate: true,
      duplicate_item: true,
      short_denied_text: true,
      no_approver: true,
      unused_attestation: true,
      approver_never_applies: true,
      undecided_condition: true,
      validity_over: true,
      validity_empty: true,
      no_effect: true,
      models_open: true,
      model_not_required: true,
      model_left_open: true,
      unknown_parameter: true,
      unknown_model: true,
      looser_than_parent: true,
      case_differs: true,
      rate_limit_per_process: true,
      operation_misspelt: true
    }
    assert.sameMembers([...new Set([...golden, ...goldenNotes].map(([code]) => code))], Object.keys(codes))
  })

  it("says what to do about each", () => {
    for (const [, bad] of golden)
      for (const { hint, message, severity } of warningsOf(bad)) {
        assert.strictEqual(severity, "warning")
        assert.isAbove(hint?.length ?? 0, 5)
        assert.notMatch(`${message}${hint}`, /undefined|\[object|Infinity/)
      }
  })

  it("names both documents of bounds that leave nothing, and where the other stands", () => {
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-lint-"))
    try {
      const write = (name: string, document: Document) =>
        Fs.writeFileSync(Path.join(folder, name), JSON.stringify(document, null, 2))
      write("a.json", team(specs({ n: { min: 5 } })))
      write("b.json", child(specs({ n: { max: 3 } })))
      const [warning] = warningsOf(folder)
      assert.include(warning?.message, "n must be at most 3 by user:a and at least 5 by team:T")
      assert.include(warning?.message, `${Path.join(folder, "a.json")}:6:9`)
      assert.deepInclude(warning?.place, {
        file: Path.join(folder, "b.json"),
        line: 7,
        column: 9,
        text: `        "n": {`
      })
    } finally {
      Fs.rmSync(folder, { recursive: true })
    }
  })

  it("names a model family once a set", () => {
    const many = ["a", "b", "c"].map((name) => ({ policy_id: `user:${name}`, ...specs({ model: ["m"] }, "tool:**") }))
    assert.deepStrictEqual(
      warningsOf(many).map(({ code, policy }) => [code, policy]),
      [["models_open", "user:a"]]
    )
  })

  describe("of models that are limited for chats", () => {
    const limited = specs({ model: ["a"] }, "tool:*/generate")
    const closed = ["api:*/batches", "api:*/beta"]
    const named = (...documents: ReadonlyArray<Document>) =>
      warningsOf(documents).flatMap(({ code, message, path, policy }) => {
        if (code !== "models_open") return []
        const [, ways] = /but (.*?)(?:, which the resources allow,)? can still/u.exec(message) ?? []
        return `${policy} ${path}: ${ways}`
      })

    it("names what a document's own resources open", () => {
      const open = (...resources: ReadonlyArray<string>) =>
        named(user({ resources, denied_resources: closed, ...limited }))
      assert.deepStrictEqual(open("tool:*/generate"), [])
      assert.deepStrictEqual(open("tool:*/generate", "api:*/models", "api:*/responses"), [])
      assert.deepStrictEqual(open("tool:**"), ["user:a resources[0]: tool:*/complete"])
      assert.deepStrictEqual(open("tool:*/generate", "api:lab/fine_tuning"), ["user:a resources[1]: api:*/fine_tuning"])
      assert.deepStrictEqual(open("tool:*/generate", "api:lab/realtime", "api:lab/evals"), [
        "user:a resources[1]: api:*/evals, api:*/realtime"
      ])
      const [all] = open("**")
      assert.include(all, "tool:*/complete, api:*/fine_tuning, api:*/agents, api:*/chatkit, api:*/decisions")
    })

    it("names what one opens within what it extends, and nothing that is closed above", () => {
      const parent = (more: Body) => team({ denied_resources: closed, ...limited, ...more })
      const below = (more: Body) => child({ resources: ["tool:*/generate", "api:*/realtime"], ...more })
      assert.deepStrictEqual(named(parent({}), below({})), ["user:a resources[1]: api:*/realtime"])
      assert.deepStrictEqual(named(parent({ denied_resources: [...closed, "api:*/realtime"] }), below({})), [])
      assert.deepStrictEqual(named(parent({ resources: ["tool:*/generate", "api:*/evals"] }), below({})), [
        "team:T resources[1]: api:*/evals"
      ])
    })

    it("does not take what is denied to one user for closed to another", () => {
      const other: Document = { policy_id: "user:b", ...limited }
      assert.deepStrictEqual(named(user({ denied_resources: closed, ...limited }), other), [
        'user:b constraints.parameters["tool:*/generate"].model: api:*/batches, api:*/assistants, api:*/threads'
      ])
      assert.deepStrictEqual(named(user(limited), { policy_id: "app:lab", denied_resources: closed }), [])
    })

    it("is content where completions are limited as well", () => {
      const both = {
        constraints: { parameters: { "tool:*/generate": { model: ["a"] }, "tool:*/complete": { model: ["b"] } } }
      }
      assert.deepStrictEqual(named(user({ resources: ["tool:**"], denied_resources: closed, ...both })), [])
    })
  })

  it("finds nothing in the example policies", () => {
    assert.deepStrictEqual(warningsOf(Path.join(root, "examples/policies")), [])
  })

  // The recipes leave out what denies those families, to be short.
  it.each(["policies.md", "mapl.md"])("finds nothing in docs/%s but families that reach any model", (name) => {
    const page = Fs.readFileSync(Path.join(root, "docs", name), "utf8")
    const blocks = [...page.matchAll(/^```json\n(.*?)^```$/gmsu)].map(([, text]) => JSON.parse(text!) as Document)
    assert.isAbove(blocks.length, 0)
    assert.deepStrictEqual(
      blocks.flatMap(warningsOf).filter(({ code }) => code !== "models_open"),
      []
    )
  })

  it("goes through many documents, long chains and long lists", () => {
    const patterns = Array.from({ length: 3000 }, (_, i) => `tool:app/t${i}`)
    const chain = Array.from({ length: 3000 }, (_, i): Document => ({
      policy_id: `team:${i}`,
      ...(i === 0 ? { resources: ["tool:*/x"], ...specs({ n: { max: 1 } }) } : { extends: `team:${i - 1}` })
    }))
    const users = Array.from({ length: 20_000 }, (_, i): Document => ({
      policy_id: `user:${i}`,
      extends: `team:${i % 60}`,
      resources: [`tool:app-${i}/x`],
      ...specs({ n: { min: i === 7 ? 2 : 1 } })
    }))
    const wide = { policy_id: "user:wide", resources: patterns, denied_resources: patterns.map((one) => `${one}s`) }
    assert.deepStrictEqual(codesOf(...chain, ...users, wide), [
      `unsatisfiable user:7 constraints.parameters["tool:*/x"].n`
    ])
  })
})
