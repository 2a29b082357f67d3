/**
 * Methods of the SDK that make one request after another, or the first one later: streams with events, tools that are run,
 * polling. Each is one thing that was begun: a client that is closed meanwhile waits for its end, and takes its later requests.
 */
import type { OpenAI } from "openai"
import type { Session } from "./Session.ts"

/** The methods, by the resource that has them. */
export const series = {
  "chat.completions": ["stream", "runTools"],
  responses: ["stream"],
  files: ["waitForProcessing"],
  "vectorStores.files": ["createAndPoll", "poll", "uploadAndPoll"],
  "vectorStores.fileBatches": ["createAndPoll", "poll", "uploadAndPoll"],
  "beta.threads": ["createAndRunPoll", "createAndRunStream"],
  "beta.threads.runs": [
    "createAndPoll",
    "createAndStream",
    "poll",
    "stream",
    "submitToolOutputsAndPoll",
    "submitToolOutputsStream"
  ]
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>

const places = Object.entries(series).map(([resource, methods]) => ({ path: resource.split("."), methods }))

/** Has a session wait for what these methods of a client begin. */
export const holdRequestSeries = (client: OpenAI, session: Session): void => {
  for (const { methods, path } of places) {
    const resource = path.reduce<unknown>((holder, name) => isObject(holder) && Reflect.get(holder, name), client)
    if (!isObject(resource)) continue
    for (const method of methods) {
      const theirs: unknown = Reflect.get(resource, method)
      if (typeof theirs !== "function") continue
      const value = (...args: ReadonlyArray<unknown>): unknown =>
        held(session, () => Reflect.apply(theirs, resource, args) as unknown)
      Object.defineProperty(resource, method, { value, configurable: true, writable: true })
    }
  }
}

/** Begins something that ends with its promise, or with the event `end` of the SDK's streams. */
const held = (session: Session, begin: () => unknown): unknown => {
  // Where nothing may begin, its first request says why.
  const task = session.life.begin()
  if (task === undefined) return begin()
  const end = () => task.end()
  try {
    const begun = task.run(begin)
    if (begun instanceof Promise) begun.then(end, end)
    else if (isObject(begun) && typeof begun["on"] === "function") begun["on"]("end", end)
    else end()
    return begun
  } catch (error) {
    end()
    throw error
  }
}

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> => typeof u === "object" && u !== null
