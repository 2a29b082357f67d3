/** The documents and requests of the policy benchmark: a company, its teams, their users, and a service. */
import * as Fs from "node:fs"
import type { JsonObject } from "../../src/base/Json.ts"
import type { Document } from "../../src/policy/Mapl.ts"

export const resource = "tool:my-app/generate"
export const service = "my-app"

/** How many of so many documents are users'. The one document that is alone is a user's. */
export const users = (size: number): number => (size === 1 ? 1 : size - teams(size) - 2)

const teams = (size: number): number => Math.ceil(size / 100)

const pattern = "tool:*/generate"

/** What a user's document asks; no two users' documents are the same, and one shape does not fit all. */
const specs = (index: number): JsonObject => {
  const max_tokens = { max: 200 + (index % 701) }
  if (index % 3 === 0) return { max_tokens }
  return index % 3 === 1
    ? { max_tokens, temperature: { max: 0.5 + (index % 5) / 10 } }
    : { model: ["gpt-4o-mini"], max_tokens }
}

function* documents(size: number): Generator<Document> {
  const company = {
    resources: [pattern, "tool:*/embed"],
    constraints: {
      parameters: {
        [pattern]: { model: ["gpt-4o-mini", "gpt-4o"], max_tokens: { max: 4000 }, temperature: { min: 0, max: 1 } }
      }
    }
  }
  if (size === 1) return yield { policy_id: "user:u0", ...company }
  yield { policy_id: "company:Acme", ...company }
  for (let team = 0; team < teams(size); team++)
    yield {
      policy_id: `team:t${team}`,
      extends: "company:Acme",
      constraints: { parameters: { [pattern]: { max_tokens: { max: 1000 + (team % 900) } } } }
    }
  for (let index = 0; index < users(size); index++)
    yield {
      policy_id: `user:u${index}`,
      extends: `team:t${index % teams(size)}`,
      constraints: { parameters: { [pattern]: specs(index) as Record<string, { max: number }> } }
    }
  yield { policy_id: `app:${service}`, resources: [`tool:${service}/**`] }
}

/** Writes so many documents as one file. */
export const writeDocuments = (path: string, size: number): void => {
  const file = Fs.openSync(path, "w")
  let lines: Array<string> = []
  let separator = "[\n"
  const flush = (): void => {
    Fs.writeSync(file, separator + lines.join(",\n"))
    separator = ",\n"
    lines = []
  }
  for (const document of documents(size)) if (lines.push(JSON.stringify(document)) === 10_000) flush()
  if (lines.length > 0) flush()
  Fs.writeSync(file, "\n]\n")
  Fs.closeSync(file)
}

const messages = [{ role: "user", content: "Is everything in order with the deployment of yesterday?" }]

/** Allowed unchanged, edited, refused. */
export const requests: ReadonlyArray<JsonObject> = [
  { model: "gpt-4o-mini", max_tokens: 150, temperature: 0.25, messages },
  { model: "gpt-4o-mini", max_tokens: 100_000, temperature: 0.25, messages },
  { model: "gpt-4o-mini", max_tokens: "as many as there are", temperature: 0.25, messages }
]
