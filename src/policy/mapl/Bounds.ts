/**
 * Bounds on parameters (mapl §3), and forbidden values.
 */
import * as Schema from "effect/Schema"
import { filter, finite, keys, nonEmpty, onViolation, optional, values, whole } from "./Field.ts"
import { Regex } from "./Regex.ts"

const Range = Schema.Tuple([Schema.Finite, Schema.Finite]).annotate({
  description: "The lowest and the highest number, both included. Example: [0, 1].",
  expected: "two numbers, [lowest, highest]"
})

/**
 * What a parameter must satisfy, in its long form (mapl §3).
 *
 * @category schemas
 */
export const Bounds = Schema.Struct({
  allowed_values: optional(
    values('The values that are allowed; in a string, * stands for anything. Example: ["gpt-4o", "gpt-4o-mini*"].')
  ),
  min: optional(finite("The lowest number that is allowed. A lower one is raised to it, or refused.")),
  max: optional(finite("The highest number that is allowed. A higher one is lowered to it, or refused. Example: 500.")),
  range: optional(Range),
  type: optional(
    Schema.Literals(["integer", "number", "string", "boolean", "array", "object"]).annotate({
      description: 'The JSON type of the value. Nothing is converted: "9" is no number.'
    })
  ),
  pattern: optional(Regex),
  min_length: optional(whole(0, "How long the string must be at least, in UTF-16 units.")),
  max_length: optional(whole(0, "How long the string may be at most, in UTF-16 units.")),
  min_items: optional(whole(0, "How many items the list must have at least.")),
  max_items: optional(whole(0, "How many items the list may have at most.")),
  required: optional(
    Schema.Boolean.annotate({
      description:
        "Whether a request must have the parameter. Otherwise an absent one passes, but for a model that is listed: false lets a request go without one."
    })
  ),
  on_violation: optional(
    onViolation('What happens to a value outside these bounds: "rewrite" edits the request, "deny" refuses it.')
  ),
  downgrade: optional(
    Schema.Record(Schema.String, Schema.String.check(nonEmpty))
      .annotate({
        description:
          'Which allowed model takes the place of one that is not; "*" is every other. Example: {"o1": "gpt-4o"}.'
      })
      .check(keys((key) => key === "*" || !key.includes("*") || `must name a model, or be "*"`, "^(\\*|[^*]*)$"))
  )
}).annotate({ title: "Bounds", description: "What a parameter must satisfy. All fields must hold." })

export type Bounds = typeof Bounds.Type

/**
 * What a parameter must satisfy: a list of allowed values, or {@link Bounds}.
 *
 * @category schemas
 */
export const Spec = Schema.Union([
  values("The values that are allowed; in a string, * stands for anything."),
  Bounds
]).annotate({
  identifier: "Spec",
  title: "Parameter",
  description: 'What the parameter must satisfy: a list of allowed values, or bounds such as {"max": 500}.',
  expected: `a list of allowed values, or an object such as {"max": 500}`
})

export type Spec = typeof Spec.Type

/** A spec in its long form. */
export const boundsOf = (spec: Spec): Bounds => (isList(spec) ? { allowed_values: spec } : spec)

const isList = (spec: Spec): spec is Exclude<Spec, Bounds> => Array.isArray(spec)

const parameterForm = /^[^.[\]]+(\[\])*(\.[^.[\]]+(\[\])*)*$/u

const parameterPaths = keys(
  (path) => parameterForm.test(path) || "must be a dotted path such as max_tokens or tools[].function.name",
  parameterForm.source
)

const withoutDowngrade = { not: { type: "object", properties: { downgrade: {} }, required: ["downgrade"] } }

/** What an editor offers as parameters; every other name is as good. */
const commonParameters = {
  model: { description: "The model. One that is not allowed is replaced by one that is, or refused." },
  max_tokens: {
    description: "The cap on output tokens, in each of its spellings. Where it is absent, max is put in.",
    ...withoutDowngrade
  },
  total_tokens: {
    description: "What the cap comes to over all the answers that are asked for (n, best_of).",
    ...withoutDowngrade
  },
  temperature: { description: "The sampling temperature.", ...withoutDowngrade },
  n: { description: "How many answers are asked for.", ...withoutDowngrade },
  "tools[].function.name": { description: "The tools that may be offered to the model.", ...withoutDowngrade }
}

/** Bounds by parameter, for the requests that one resource pattern matches (mapl §3). */
export const Parameters = Schema.Record(Schema.String, Spec)
  .annotate({
    title: "Parameters",
    description:
      "Parameters of the requests that match, by dotted path: model, max_tokens, tools[].function.name. Each has a list of allowed values or bounds.",
    expected: `parameters by name, such as {"max_tokens": {"max": 500}}`
  })
  .check(
    parameterPaths,
    filter(
      (specs) =>
        Object.entries(specs)
          .filter(([path, spec]) => path !== "model" && "downgrade" in spec)
          .map(([path]) => ({ path: [path, "downgrade"], issue: "has a meaning for the parameter model only" })),
      { properties: commonParameters, additionalProperties: withoutDowngrade }
    )
  )
  .annotate({ identifier: "Parameters" })

/** Forbidden values by parameter, for the requests that one resource pattern matches (mapl §3). */
export const DeniedParameters = Schema.Record(
  Schema.String,
  values("The values that are refused, wherever they stand inside the parameter; in a string, * stands for anything.")
)
  .annotate({
    title: "Denied parameters",
    description: 'Forbidden values by parameter. Example: {"query": ["*DROP TABLE*"]}.',
    expected: `forbidden values by parameter, such as {"query": ["*DROP TABLE*"]}`
  })
  .check(parameterPaths)
