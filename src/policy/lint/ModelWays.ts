/**
 * Ways to a model besides the chats that a limit on models leaves open.
 */
import { waysToModels } from "../../call/Families.ts"
import { familyResource, operations, otherNameOf } from "../../call/Operation.ts"
import { isAnywhere, reachable } from "./Overlap.ts"
import { resourcePattern } from "../Pattern.ts"
import type { Survey } from "./Survey.ts"
import { type Check, type SurveyedDocument, listsOf, type PlacedSpec } from "./Survey.ts"
import type { Path, Warning } from "./Warning.ts"

/** A way to a model besides the chats: its resource, and whether it is open to users without being among their resources. */
interface Way {
  readonly resource: string
  readonly names: ReadonlyArray<string>
  readonly isOpen: boolean
}

const completions = `tool:*/${operations.complete.name}`

const ways: ReadonlyArray<Way> = [
  { resource: completions, names: [completions], isOpen: false },
  ...waysToModels.map(({ family, isOpen }): Way => {
    const resource = familyResource("*", family)
    const otherName = otherNameOf(resource)
    return { resource, names: otherName === undefined ? [resource] : [resource, otherName], isOpen }
  })
]

/** Documents of these scopes hold for many callers; any other binds one caller, or those that extend it. */
const manyCallers = /^(?:company|bu|team|role|group|app):/u

/**
 * Chats are limited to some models, and another way still reaches every model. If the specification leaves that way open, the
 * warning stands where the set limits models first; if a document's own resources allow it, the warning stands there.
 */
export const waysAround = (survey: Survey): Check => {
  const closed = new Set<Way>()
  for (const id of survey.set.ids()) {
    if (!manyCallers.test(id)) continue
    const entry = survey.entry(id)
    if (entry !== undefined) for (const way of ways) if (closes(entry, way, survey)) closed.add(way)
  }
  const reported = new Set<Way>()
  return function* (entry) {
    const chain = [entry, ...entry.ancestors]
    if (!chain.some((one) => limitOf(one, survey) !== undefined)) return
    const open = ways.filter((way) => !closed.has(way) && !chain.some((one) => closes(one, way, survey)))
    const limit = limitOf(entry, survey)
    const byAll = open.filter((way) => way.isOpen && !reported.has(way))
    if (limit !== undefined && byAll.length > 0) {
      for (const way of byAll) reported.add(way)
      yield stillOpen(limit.path, byAll, "")
    }
    const own = open.filter((way) => !way.isOpen && isOpened(entry, way, survey))
    if (own.length === 0) return
    const index = entry.resources.findIndex((pattern) => own.some((way) => meets(pattern, way, survey)))
    const path = index === -1 ? limit?.path : ["resources", index]
    if (path !== undefined) yield stillOpen(path, own, ", which the resources allow,")
  }
}

const stillOpen = (path: Path, open: ReadonlyArray<Way>, why: string): Warning => {
  const resources = open.map(({ resource }) => resource)
  return {
    code: "models_open",
    path,
    message: `models are limited for chats, but ${resources.join(", ")}${why} can still reach any model`,
    hint: `deny ${resources.length === 1 ? "it" : "them"}: "denied_resources": ${JSON.stringify(resources)}${resources.includes(completions) ? `; or limit "model" for ${completions} too` : ""}`
  }
}

/** The spec by which a document limits the models of chats. */
const limitOf = ({ specs }: SurveyedDocument, { meet }: Survey): PlacedSpec | undefined =>
  specs
    .get("model")
    ?.find(
      ({ bounds, pattern }) =>
        bounds.allowed_values !== undefined && meet([pattern, `tool:*/${operations.generate.name}`]) === true
    )

/** Whether a document closes a way, of one app at least: it denies it, or limits its models. */
const closes = ({ denied, specs }: SurveyedDocument, way: Way, survey: Survey): boolean =>
  denied.some((pattern) => meets(pattern, way, survey)) ||
  (way.resource === completions &&
    (specs.get("model") ?? []).some(({ pattern }) => survey.meet([pattern, completions]) !== false))

/** Whether the resources of a document, and of those that it extends, allow a way. */
const isOpened = (entry: SurveyedDocument, { resource }: Way, survey: Survey): boolean => {
  const lists = listsOf(entry)
  return lists.length > 0 && reachable([resource], lists, survey.meet) === true
}

/** Whether a pattern matches a way, of one app at least. One that matches anywhere must do so whatever the app's name. */
const meets = (pattern: string, { names }: Way, { meet }: Survey): boolean =>
  names.some((name) =>
    isAnywhere(pattern) ? resourcePattern(pattern)(name.replace("*", "")) : meet([pattern, name]) !== false
  )
