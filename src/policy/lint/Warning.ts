/**
 * A warning or note about a policy, before it has a place in a file.
 */
import { type SourcePlace, showPlace } from "../Diagnostic.ts"

/** What a warning may be about. */
export type LintCode =
  | "direct_constraints"
  | "attestation_object"
  | "matches_nothing"
  | "llm_name"
  | "unknown_resource_type"
  | "unreachable_resource"
  | "unused_constraint"
  | "unsatisfiable"
  | "downgrade_not_allowed"
  | "unknown_scope"
  | "case_duplicate"
  | "duplicate_item"
  | "short_denied_text"
  | "no_approver"
  | "unused_attestation"
  | "approver_never_applies"
  | "undecided_condition"
  | "validity_over"
  | "validity_empty"
  | "no_effect"
  | "models_open"
  | "model_not_required"
  | "model_left_open"
  | "unknown_parameter"
  | "unknown_model"
  | "looser_than_parent"
  | "case_differs"
  | "operation_misspelt"
  | "rate_limit_per_process"

/** The keys and indices that lead to a part of a document. */
export type Path = ReadonlyArray<string | number>

/** One warning or note; `path` leads to the part of the document that it is about. */
export interface Warning {
  readonly severity?: "note"
  readonly code: LintCode
  readonly path: Path
  readonly message: string
  readonly hint: string
}

/** A text in double quotes. */
export const quoted = (text: string): string => JSON.stringify(text)

/** ` (constraints.parameters["tool:*"].max, policies/alice.json:3:5)`: words, then a place where its source has lines. */
export const inParentheses = (place: SourcePlace, ...words: ReadonlyArray<string>): string => {
  const all = place.line === 0 ? words : [...words, showPlace(place)]
  return all.length === 0 ? "" : ` (${all.join(", ")})`
}
