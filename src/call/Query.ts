/**
 * The query with which a request goes to its endpoint, as the pipeline carries it.
 */
import type { Violation } from "./Decision.ts"

/**
 * A query: `text` as it is sent, without the question mark, the `names` in it, decoded, and those of them that are `foreign`:
 * neither the service's own nor allowed by it.
 */
export interface RequestQuery {
  readonly text: string
  readonly names: ReadonlyArray<string>
  readonly foreign: ReadonlyArray<string>
}

/** The names in a query as signature and log have them: the first 64, each cut at 128 characters. */
export const namesIn = ({ names }: RequestQuery): ReadonlyArray<string> =>
  names.slice(0, 64).map((name) => name.slice(0, 128).toWellFormed())

const mostShown = 80

/** What is wrong with a parameter of a query that is not the service's own. */
export const foreignQuery = (name: string): Violation & { readonly code: "foreign_query" } => {
  const shown = name.slice(0, mostShown)
  return {
    code: "foreign_query",
    path: `query.${shown}`,
    message: `the query names ${JSON.stringify(shown)}, which a server may prefer to what the body says`,
    hint: `put it in the body; or let callers set it by the service's option allowedQuery: [${JSON.stringify(shown)}]`
  }
}
