/**
 * What a request of a family of the API does about models: one table of method and path. The families are those below the
 * protected operations: nobody judges their bodies, so what a request may reach is known by its method and path alone. What
 * the table does not name counts as reaching a model.
 */

/**
 * What a request does about models.
 *
 * - `passes`: it chooses no model that policies bound, and changes none.
 * - `reaches_model`: it runs, or lets the caller run, a model that answers prompts.
 * - `changes_models`: it makes, tunes, removes or opens models for others.
 */
export type FamilyUse = "passes" | "reaches_model" | "changes_models"

/**
 * The rows of a family: `METHOD /path`, below the family's own segment. `{}` is one segment, which for other methods than GET
 * holds no colon (a custom method, as in `/models/x:generate`); `**` is any number of segments. `named` reach a model too,
 * but pass, since the specification names their family as one that passes; `policy lint` tells of them.
 */
interface Rows {
  readonly passes?: ReadonlyArray<string>
  readonly named?: ReadonlyArray<string>
  readonly reaches?: ReadonlyArray<string>
  readonly changes?: ReadonlyArray<string>
}

/** The families that the specification names: what passes there passes for everyone. Models of images, audio and moderation are not bounded. */
const named: Readonly<Record<string, Rows>> = {
  models: { passes: ["GET /**"], changes: ["DELETE /**"] },
  images: { passes: ["POST /generations", "POST /edits", "POST /variations"] },
  audio: {
    passes: [
      "POST /speech",
      "POST /transcriptions",
      "POST /translations",
      "GET /voice_consents",
      "POST /voice_consents",
      "GET /voice_consents/{}",
      "POST /voice_consents/{}",
      "DELETE /voice_consents/{}",
      "POST /voices",
      "DELETE /voices/{}"
    ]
  },
  files: { passes: ["GET", "POST", "GET /{}", "DELETE /{}", "GET /{}/content"] },
  fine_tuning: {
    passes: [
      "GET /jobs",
      "GET /jobs/{}",
      "GET /jobs/{}/events",
      "GET /jobs/{}/checkpoints",
      "GET /checkpoints/{}/permissions",
      "POST /alpha/graders/validate"
    ],
    reaches: ["POST /alpha/graders/run"],
    changes: [
      "POST /jobs",
      "POST /jobs/{}/cancel",
      "POST /jobs/{}/pause",
      "POST /jobs/{}/resume",
      "POST /checkpoints/{}/permissions",
      "DELETE /checkpoints/{}/permissions/{}"
    ]
  },
  moderations: { passes: ["POST"] },
  batches: { passes: ["GET", "GET /{}", "POST /{}/cancel"], named: ["POST"] },
  assistants: { passes: ["GET", "GET /{}", "DELETE /{}"], named: ["POST", "POST /{}"] },
  threads: {
    passes: [
      "POST",
      "GET /{}",
      "POST /{}",
      "DELETE /{}",
      "GET /{}/messages",
      "POST /{}/messages",
      "GET /{}/messages/{}",
      "POST /{}/messages/{}",
      "DELETE /{}/messages/{}",
      "GET /{}/runs",
      "GET /{}/runs/{}",
      "POST /{}/runs/{}",
      "POST /{}/runs/{}/cancel",
      "GET /{}/runs/{}/steps",
      "GET /{}/runs/{}/steps/{}"
    ],
    named: ["POST /runs", "POST /{}/runs", "POST /{}/runs/{}/submit_tool_outputs"]
  },
  vector_stores: {
    passes: [
      "GET",
      "POST",
      "GET /{}",
      "POST /{}",
      "DELETE /{}",
      "POST /{}/search",
      "POST /{}/file_batches",
      "GET /{}/file_batches/{}",
      "POST /{}/file_batches/{}/cancel",
      "GET /{}/file_batches/{}/files",
      "GET /{}/files",
      "POST /{}/files",
      "GET /{}/files/{}",
      "POST /{}/files/{}",
      "DELETE /{}/files/{}",
      "GET /{}/files/{}/content"
    ]
  }
}

const administration: Rows = { passes: ["GET /**"], changes: ["POST /**", "DELETE /**"] }

/** The other families that are known. A user needs them among the resources whatever the row says. */
const others: Readonly<Record<string, Rows>> = {
  agents: {
    passes: [
      "GET /**",
      "DELETE /{}",
      "DELETE /automations/{}",
      "DELETE /environments/templates/{}",
      "DELETE /sessions/{}",
      "DELETE /sessions/{}/artifacts/{}",
      "POST /automations/{}/pause",
      "POST /environments/{}/files"
    ],
    reaches: ["POST /**"]
  },
  chat: {
    passes: [
      "GET /completions",
      "GET /completions/{}",
      "POST /completions/{}",
      "DELETE /completions/{}",
      "GET /completions/{}/messages"
    ]
  },
  chatkit: {
    passes: [
      "GET /threads",
      "GET /threads/{}",
      "DELETE /threads/{}",
      "GET /threads/{}/items",
      "POST /sessions/{}/cancel"
    ],
    reaches: ["POST /sessions"]
  },
  containers: {
    passes: [
      "GET",
      "POST",
      "GET /{}",
      "DELETE /{}",
      "GET /{}/files",
      "POST /{}/files",
      "GET /{}/files/{}",
      "DELETE /{}/files/{}",
      "GET /{}/files/{}/content"
    ]
  },
  content_provenance_checks: { passes: ["POST"] },
  conversations: {
    passes: [
      "POST",
      "GET /{}",
      "POST /{}",
      "DELETE /{}",
      "GET /{}/items",
      "POST /{}/items",
      "GET /{}/items/{}",
      "DELETE /{}/items/{}"
    ]
  },
  decisions: { reaches: ["POST"] },
  deployments: { reaches: ["POST /**"] },
  engines: { reaches: ["POST /**"] },
  evals: {
    passes: [
      "GET",
      "POST",
      "GET /{}",
      "POST /{}",
      "DELETE /{}",
      "GET /{}/runs",
      "GET /{}/runs/{}",
      "DELETE /{}/runs/{}",
      "POST /{}/runs/{}/cancel",
      "GET /{}/runs/{}/output_items",
      "GET /{}/runs/{}/output_items/{}"
    ],
    reaches: ["POST /{}/runs"]
  },
  live: {
    passes: [
      "GET /sessions/{}/content",
      "POST /sessions/{}/hangup",
      "POST /sessions/{}/refer",
      "POST /sessions/{}/reject"
    ],
    reaches: ["GET", "POST /sessions", "POST /sessions/{}/accept", "POST /sessions/{}/fork"]
  },
  organization: administration,
  projects: administration,
  realtime: {
    passes: ["POST /calls/{}/hangup", "POST /calls/{}/refer", "POST /calls/{}/reject"],
    reaches: [
      "GET",
      "POST /calls",
      "POST /calls/{}/accept",
      "POST /client_secrets",
      "POST /sessions",
      "POST /transcription_sessions",
      "POST /translations/client_secrets"
    ]
  },
  responses: {
    passes: ["GET /{}", "DELETE /{}", "POST /{}/cancel", "GET /{}/input_items", "POST /input_tokens"]
  },
  safety: { passes: ["GET /alerts/{}", "GET /cases/{}"] },
  skills: {
    passes: [
      "GET",
      "POST",
      "GET /{}",
      "POST /{}",
      "DELETE /{}",
      "GET /{}/content",
      "GET /{}/versions",
      "POST /{}/versions",
      "GET /{}/versions/{}",
      "DELETE /{}/versions/{}",
      "GET /{}/versions/{}/content"
    ]
  },
  uploads: { passes: ["POST", "POST /{}/parts", "POST /{}/complete", "POST /{}/cancel"] },
  vaults: {
    passes: [
      "GET",
      "POST",
      "GET /{}",
      "POST /{}",
      "DELETE /{}",
      "GET /{}/credentials",
      "POST /{}/credentials",
      "GET /{}/credentials/{}",
      "POST /{}/credentials/{}",
      "DELETE /{}/credentials/{}"
    ]
  },
  videos: {
    passes: [
      "GET",
      "POST",
      "GET /{}",
      "DELETE /{}",
      "GET /{}/content",
      "POST /{}/remix",
      "POST /characters",
      "GET /characters/{}",
      "POST /edits",
      "POST /extensions"
    ]
  },
  webhook_endpoints: {
    passes: ["GET", "POST", "GET /{}", "POST /{}", "DELETE /{}", "POST /{}/rotate_secret", "POST /{}/test"]
  },
  webhook_event_types: { passes: ["GET"] }
}

/** Families that pass for everyone, audited: the ones that the specification names. */
export const passedFamilies: ReadonlySet<string> = new Set(Object.keys(named))

/**
 * What the table says of a request, by its method and its path below the base URL (`/models/gpt-4o`, decoded and in lower
 * case); `undefined` where it says nothing. HEAD is read as GET (RFC 9110 §9.3.2).
 */
export const familyUse = (method: string, path: string): FamilyUse | undefined => {
  const [, family = "", ...segments] = path.split("/")
  const verb = method.toUpperCase() === "HEAD" ? "GET" : method.toUpperCase()
  // A whole row before one with `**`.
  const row = matchers.get(family)?.find(({ matches }) => matches(verb, segments))
  return row?.use
}

/** True where policy has to name the family for a user or an agent: it is not one that passes, or this request of it is not. */
export const mustBeNamed = (family: string, use: FamilyUse): boolean => !passedFamilies.has(family) || use !== "passes"

/** A family through which a model can be reached; `isOpen` where that passes for everyone unless it is denied. */
export interface WayToModel {
  readonly family: string
  readonly isOpen: boolean
}

/** Every known way to a model besides the protected operations, a family each and way of being open. */
export const waysToModels: ReadonlyArray<WayToModel> = [
  ...Object.entries(named).flatMap(([family, rows]) => (rows.named === undefined ? [] : [{ family, isOpen: true }])),
  ...Object.entries({ ...named, ...others }).flatMap(([family, rows]) =>
    rows.reaches === undefined ? [] : [{ family, isOpen: false }]
  )
]

/** What the specification calls one family and the API several. */
const beta: ReadonlySet<string> = new Set(["assistants", "threads", "vector_stores"])

/** The other name that policies may call a family by; `beta` is one for assistants, threads and vector stores. */
export const otherFamilyName = (family: string): string | undefined => (beta.has(family) ? "beta" : undefined)

interface Matcher {
  readonly use: FamilyUse
  readonly matches: (method: string, segments: ReadonlyArray<string>) => boolean
}

const matcherOf = (use: FamilyUse, row: string): Matcher => {
  const [method = "", path = ""] = row.split(" ")
  const wanted = path.split("/").slice(1)
  const isOpenEnded = wanted.at(-1) === "**"
  const whole = isOpenEnded ? wanted.slice(0, -1) : wanted
  const isRead = method === "GET"
  const fits = (segment: string | undefined, at: number): boolean =>
    whole[at] === "{}"
      ? segment !== undefined && segment !== "" && (isRead || !segment.includes(":"))
      : segment === whole[at]
  return {
    use,
    matches: (asked, segments) =>
      asked === method &&
      (isOpenEnded ? segments.length >= whole.length : segments.length === whole.length) &&
      whole.every((_, at) => fits(segments[at], at))
  }
}

/** The matchers of each family: rows of one path alone before those with `**`. */
const matchers: ReadonlyMap<string, ReadonlyArray<Matcher>> = new Map(
  Object.entries({ ...named, ...others }).map(([family, { changes = [], named = [], passes = [], reaches = [] }]) => {
    const rows = [
      ...[...passes, ...named].map((row) => ["passes", row] as const),
      ...reaches.map((row) => ["reaches_model", row] as const),
      ...changes.map((row) => ["changes_models", row] as const)
    ]
    const isOpenEnded = (row: string): boolean => row.endsWith("**")
    return [
      family,
      [...rows.filter(([, row]) => !isOpenEnded(row)), ...rows.filter(([, row]) => isOpenEnded(row))].map(
        ([use, row]) => matcherOf(use, row)
      )
    ] as const
  })
)
