/**
 * The names in resource patterns: of apps, of tools and operations, of families.
 */
import { passedFamilies, waysToModels } from "../../call/Families.ts"
import { type Document, isResourceKey } from "../Mapl.ts"
import { attestationEntries } from "../mapl/Attestation.ts"
import { isGlob } from "../Pattern.ts"

/** A name, and what it is a name of. */
export interface Named {
  readonly kind: "id" | "app" | "name" | "family"
  readonly name: string
}

/** How a name is spelled, and by whom. */
export interface Spelling {
  readonly name: string
  readonly where: string
}

/** The names in a resource pattern that are spelled out: of an app, of a tool or operation, of a family. */
export const namesOf = (pattern: string): ReadonlyArray<Named> => {
  const [, type, app = "", below = ""] = /^(tool|api):([^/]*)\/(.*)$/su.exec(pattern) ?? []
  const last = below.slice(below.lastIndexOf("/") + 1)
  return [
    { kind: "app" as const, name: app },
    { kind: type === "api" ? ("family" as const) : ("name" as const), name: last }
  ].filter(({ name }) => name !== "" && !isGlob(name))
}

/** Every resource pattern of a document. */
export const patternsOf = ({
  attestations = [],
  constraints = {},
  denied_resources = [],
  resources = []
}: Document) => [
  ...resources,
  ...denied_resources,
  ...Object.keys(constraints.parameters ?? {}),
  ...Object.keys(constraints.denied_parameters ?? {}),
  ...Object.keys(constraints.output ?? {}),
  ...Object.keys(constraints).filter(isResourceKey),
  ...attestationEntries(attestations).flatMap(([, entry]) => (typeof entry === "string" ? [] : (entry.resources ?? [])))
]

/** The families whose names the library knows. */
export const familyNames: ReadonlyArray<string> = [
  ...new Set([...passedFamilies, ...waysToModels.map(({ family }) => family)])
]

/** A pattern with a name in it spelled otherwise. */
export const respelled = (pattern: string, { kind, name }: Named, as: string): string => {
  const at = kind === "app" ? pattern.indexOf(":") + 1 : pattern.length - name.length
  return pattern.slice(0, at) + as + pattern.slice(at + name.length)
}
