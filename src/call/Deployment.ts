/**
 * Deployments: where a provider knows a model by another name, in the URL (`/deployments/<name>/`, as Azure has it, and
 * `/engines/<name>/`, as the API once had it and gateways still do) or in the model's place. Policies speak of models and requests of deployments; what policy judges is the model that the
 * provider will run, and what it puts in its place is the deployment that serves that one.
 */
import * as Result from "effect/Result"
import type { Json } from "../base/Json.ts"
import { urlOf } from "./Operation.ts"

/** The model that each deployment serves, by the deployment's name: `{ "prod-4o": "gpt-4o" }`. */
export type Deployments = Readonly<Record<string, string>>

/** The deployment that a request goes to. */
export interface Deployment {
  readonly name: string
  /** The name as it stands in the URL, with the segment before it (`deployments/prod-4o`), where that names it. */
  readonly segment: string | undefined
  /** The model that it serves, as policies know it. */
  readonly model: string
  /** What the body names as its model. */
  readonly asked: Json | undefined
  /** The deployment that serves a model: this one before any other. */
  readonly serving: (model: string) => string | undefined
}

/**
 * The deployment that a request goes to, by its endpoint (`POST https://host/path`) and the model that its body names. The
 * URL's word counts before the body's, as it does for the provider. Without a list of deployments, a deployment in the URL
 * has its model's name. `undefined` where no deployments are spoken of; a failure says what cannot be judged.
 */
export const deploymentOf = (
  endpoint: string,
  model: Json | undefined,
  deployments?: Deployments
): Result.Result<Deployment | undefined, string> => {
  const named = nameIn(endpoint)
  if (Result.isFailure(named)) return Result.fail(named.failure)
  const { name = deployments === undefined ? undefined : model, segment } = named.success ?? {}
  if (typeof name !== "string") return Result.succeed(undefined)
  if (deployments === undefined)
    return Result.succeed({
      name,
      segment,
      model: name,
      asked: model,
      serving: (other) => (isPlain(other) ? other : undefined)
    })
  const served = Object.hasOwn(deployments, name) ? deployments[name] : undefined
  if (served === undefined)
    return Result.fail(
      `nothing is known of the deployment ${JSON.stringify(name.slice(0, 80))}: the client's option "deployments" names ${Object.keys(deployments).join(", ")}`
    )
  const serving = (other: string): string | undefined =>
    other === served ? name : Object.keys(deployments).find((key) => deployments[key] === other)
  return Result.succeed({ name, segment, model: served, asked: model, serving })
}

/** The same URL or endpoint with another deployment in the place of the one that it names, if it names one. */
export const redeployed = (url: string, { segment }: Deployment, to: string): string =>
  segment === undefined
    ? url
    : url.replace(`/${segment}/`, () => `/${segment.slice(0, segment.indexOf("/"))}/${encodeURIComponent(to)}/`)

/**
 * True for what may be a deployment's name in a URL: nothing that a path, a query or a second decoding could be read from,
 * and no dot or space at an end, which some servers drop.
 */
const isPlain = (name: string): boolean =>
  name.length <= 128 &&
  /^[^\u0000-\u001f\u007f/\\%?#;. ](?:[^\u0000-\u001f\u007f/\\%?#;]*[^\u0000-\u001f\u007f/\\%?#;. ])?$/u.test(name)

interface Named {
  readonly name: string
  readonly segment: string
}

/** The deployment that a URL names; a failure where servers could read it differently. */
const nameIn = (endpoint: string): Result.Result<Named | undefined, string> => {
  if (!/deployments|engines|%/i.test(endpoint)) return Result.succeed(undefined)
  const path = pathOf(endpoint)
  const names = namesIn(decoded(path).split(/[\\/]+/))
  const [written = "", ...others] = namesIn(path.split("/"))
  if (names.length === 0) return Result.succeed(undefined)
  const name = decoded(written)
  const segment = holders.map((holder) => `${holder}/${written}`).find((each) => path.includes(`/${each}/`))
  const isClear =
    segment !== undefined && names.length === 1 && others.length === 0 && name === names[0] && isPlain(name)
  return isClear ? Result.succeed({ name, segment }) : unclear
}

const unclear = Result.fail("the deployment in the URL could be read in two ways: it must be a plain name")

/** Segments of a path that a deployment's name follows. */
const holders = ["deployments", "engines"]

/** What follows each of these segments. */
const namesIn = (segments: ReadonlyArray<string>): ReadonlyArray<string> =>
  segments.flatMap((segment, at) => (holders.includes(segment.toLowerCase()) ? [segments[at + 1] ?? ""] : []))

const pathOf = (endpoint: string): string => {
  const url = urlOf(endpoint)
  return URL.canParse(url) ? new URL(url).pathname : url
}

const decoded = (path: string): string => {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
