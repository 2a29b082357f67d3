/**
 * Patterns that match no resource that there is.
 */
import { nearest } from "../Fault.ts"
import { isAnywhere } from "./Overlap.ts"
import { quoted, type Warning } from "./Warning.ts"

/** The type of resource that a pattern begins with: `tool:` or `api:`. */
export const scheme = /^([^:*/]+):/u

/** What is wrong with a pattern whatever stands beside it: that it matches no resource that there is. */
export const idle = (
  pattern: string,
  meet: (patterns: ReadonlyArray<string>) => boolean | undefined
): Omit<Warning, "path"> | undefined => {
  if (isAnywhere(pattern)) return undefined
  const [, type] = scheme.exec(pattern) ?? []
  if (type === "llm")
    return {
      code: "llm_name",
      message: `${quoted(pattern)} names a model, and nothing invokes models by name`,
      hint: `did you mean "tool:<app>/generate", with the models as "model" under its parameters?`
    }
  if (type === "tool" || type === "api") {
    if (meet([pattern, `${type}:**/**`]) !== false) return undefined
    const [, rest = ""] = pattern.split(/:(.*)/su)
    return {
      code: "matches_nothing",
      message: `${quoted(pattern)} matches nothing: every resource is ${type}:<app>/<name>, and * stops at a /`,
      hint: `did you mean ${rest === "*" ? quoted(`${type}:**`) : quoted(`${type}:*/${rest}`)}?`
    }
  }
  if (type !== undefined) {
    const meant = nearest(type, ["tool", "api"])
    return meant === undefined
      ? undefined
      : {
          code: "unknown_resource_type",
          message: `nothing invokes resources of the type ${quoted(type)}`,
          hint: `did you mean ${quoted(`${meant}${pattern.slice(type.length)}`)}?`
        }
  }
  if (meet([pattern, "tool:**/**"]) !== false || meet([pattern, "api:**/**"]) !== false) return undefined
  return {
    code: "matches_nothing",
    message: `${quoted(pattern)} matches nothing: a resource is tool:<app>/<name> or api:<app>/<family>, and * stops at a /`,
    hint: `did you mean ${pattern === "*" ? `"**"` : quoted(pattern.includes("/") ? `tool:${pattern}` : `tool:*/${pattern}`)}?`
  }
}
