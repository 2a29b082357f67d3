/**
 * `secure-openai identity explain`: what a token becomes, and why. The token itself is never printed.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Fs from "node:fs"
import type { JsonObject } from "../../base/Json.ts"
import { Configuration, IdentityInvalid } from "../../call/Errors.ts"
import * as Claims from "../../identity/Claims.ts"
import { claimsIn, issuerFromEnvironment } from "../../identity/Environment.ts"
import { type Issuer, issuers, type IssuerOptions, warnings } from "../../identity/Issuer.ts"
import * as Jwt from "../../identity/Jwt.ts"
import { Preset } from "../../identity/Provider.ts"
import { timeOf } from "../../identity/Time.ts"
import { CannotRun, CheckFailed } from "../Ending.ts"
import { standardInput } from "../Input.ts"
import { type Cell, columns, listed, say, sentence } from "../policy/Page.ts"
import { json } from "../policy/PolicyPath.ts"
import { print, printJson } from "../Output.ts"

/** What is said of a token. `refusal` is absent where it is accepted. */
interface Explanation {
  readonly accepted: boolean
  readonly issuer?: string | undefined
  readonly header?: Readonly<Record<string, unknown>> | undefined
  readonly expires?: string | undefined
  readonly checks: ReadonlyArray<{ readonly check: string; readonly passed: boolean }>
  readonly refusal?: { readonly reason: string; readonly message: string } | undefined
  readonly fields: ReadonlyArray<Claims.Mapped>
  readonly policies: ReadonlyArray<string>
  /** What the configured issuers may mix up, whatever the token. */
  readonly warnings: ReadonlyArray<string>
}

const setting = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.withMetavar("TEXT"), Flag.optional)

/** The command. */
export const explain = Command.make(
  "explain",
  {
    token: Argument.String("token").pipe(
      Argument.withDescription("The token, or - for standard input, which keeps it out of the shell's history")
    ),
    issuers: Flag.String("issuers").pipe(
      Flag.withDescription(
        "A JSON file with the option issuers. Default: SECURE_OPENAI_ISSUER, _AUDIENCE, _JWKS_URI, _CLAIMS"
      ),
      Flag.withMetavar("FILE"),
      Flag.optional
    ),
    issuer: setting("issuer", "The issuer, as iss says it"),
    audience: setting("audience", "The audience that the token must be for"),
    jwksUri: setting("jwks-uri", "Where the issuer's keys are. Default: by discovery"),
    claims: setting("claims", `${Preset.literals.join(", ")}, or a mapping as JSON`),
    json
  },
  Effect.fnUntraced(function* ({ json, token, ...given }) {
    const configured = yield* configuration(given)
    const text = token === "-" ? yield* standardInput : token
    const explanation = yield* explained(text.trim(), configured)
    yield* json ? printJson(explanation, 2) : print(lines(explanation).join("\n"))
    if (!explanation.accepted) return yield* new CheckFailed()
  })
).pipe(
  Command.withShortDescription("Say what a token becomes, and why"),
  Command.withDescription(
    "Verifies a token as an app would, and says which checks hold, what is wrong, and which claim each name comes from. A hook for revocation is not asked. Exits with 0 where the token is accepted, 1 where it is refused, 2 where nothing could be checked."
  ),
  Command.withExamples([
    { command: "pbpaste | secure-openai identity explain -", description: "A token from the clipboard" },
    {
      command:
        "secure-openai identity explain --issuer https://login.acme.com --audience my-app --claims keycloak - < token.txt",
      description: "Without any environment"
    }
  ])
)

const configuration = (given: {
  readonly issuers: Option.Option<string>
  readonly issuer: Option.Option<string>
  readonly audience: Option.Option<string>
  readonly jwksUri: Option.Option<string>
  readonly claims: Option.Option<string>
}): Effect.Effect<ReadonlyMap<string, Issuer>, CannotRun> =>
  Effect.try({
    try: () => {
      if (Option.isSome(given.issuers)) {
        if ([given.issuer, given.audience, given.jwksUri, given.claims].some(Option.isSome))
          throw new Error(
            "--issuers names whole issuers: leave --issuer, --audience, --jwks-uri and --claims out beside it."
          )
        return issuers(issuersIn(given.issuers.value))
      }
      const flags = {
        issuer: Option.getOrUndefined(given.issuer),
        audience: Option.getOrUndefined(given.audience),
        jwksUri: Option.getOrUndefined(given.jwksUri),
        claims: Option.getOrUndefined(Option.map(given.claims, (text) => claimsIn(text, "--claims")))
      }
      const named = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
      const base = Option.isSome(given.issuer) ? undefined : issuerFromEnvironment()
      if (base === undefined && Option.isNone(given.issuer))
        throw new Error(
          "No issuer is configured: give --issuer and --audience, or --issuers FILE, or set SECURE_OPENAI_ISSUER and SECURE_OPENAI_AUDIENCE."
        )
      // What is missing or wrong is refused with the option.
      return issuers([{ ...base, ...named } as unknown as IssuerOptions])
    },
    catch: (cause) =>
      new CannotRun({
        message: cause instanceof Configuration || cause instanceof Error ? cause.message : String(cause)
      })
  })

const issuersIn = (file: string): ReadonlyArray<IssuerOptions> => {
  try {
    // What is missing or wrong in them is refused with the option.
    const found: ReadonlyArray<IssuerOptions> = [JSON.parse(Fs.readFileSync(file, "utf8"))].flat()
    if (found.length > 0) return found
  } catch (cause) {
    throw new Error(`${file} cannot be read as JSON: ${cause instanceof Error ? cause.message : String(cause)}.`, {
      cause
    })
  }
  throw new Error(`${file} names no issuer.`)
}

const explained = (token: string, configured: ReadonlyMap<string, Issuer>): Effect.Effect<Explanation> =>
  Effect.withFiber((fiber) => {
    const time = timeOf(fiber.getRef(Clock.Clock))
    return Effect.promise(async (): Promise<Explanation> => {
      const passed: Array<string> = []
      const parts = read(token)
      const about = {
        issuer: typeof parts?.claims["iss"] === "string" ? parts.claims["iss"] : undefined,
        header: parts?.header,
        warnings: warnings(configured)
      }
      try {
        const { claims, expiresAt, issuer } = await Jwt.verify(token, configured, time, (check) => passed.push(check))
        const mapped = Claims.map(claims, issuer.claims)
        const { documents, id } = Claims.principal(claims, issuer.claims, {
          issuer: issuer.issuer,
          expiresAt,
          tokenHash: ""
        })
        return {
          accepted: true,
          ...about,
          expires: new Date(expiresAt * 1000).toISOString(),
          checks: [...passed, "mapping"].map((check) => ({ check, passed: true })),
          fields: mapped,
          policies: [`user:${id}`, ...documents]
        }
      } catch (error) {
        if (!(error instanceof IdentityInvalid)) throw error
        const failed = Jwt.checks[passed.length] ?? "mapping"
        return {
          accepted: false,
          ...about,
          checks: [...passed.map((check) => ({ check, passed: true })), { check: failed, passed: false }],
          refusal: { reason: error.reason, message: error.message },
          fields: [],
          policies: []
        }
      }
    })
  })

const read = (token: string): { readonly header: JsonObject; readonly claims: JsonObject } | undefined => {
  try {
    return Jwt.parse(token)
  } catch {
    return undefined
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// In words
// ---------------------------------------------------------------------------------------------------------------------

const lines = (explanation: Explanation): ReadonlyArray<string> => {
  const { accepted, checks, fields, policies, refusal, warnings } = explanation
  return [
    accepted
      ? `${say("good", "ACCEPTED")}  ${say("title", policies[0] ?? "")}`
      : `${say("bad", "REFUSED")}  ${say("title", refusal?.reason ?? "")}`,
    "",
    ...columns([
      ...about(explanation),
      ...checks.map(({ check, passed }): ReadonlyArray<Cell> => [
        ["quiet", check],
        passed ? ["good", "holds"] : ["bad", "does not hold"]
      ])
    ]),
    ...(refusal === undefined ? [] : ["", ...sentence(["bad", refusal.reason], refusal.message)]),
    ...(fields.length === 0 ? [] : ["", ...columns([heads, ...fields.map(fieldRow)])]),
    ...(policies.length === 0 ? [] : ["", ...columns([[["quiet", "policies"], listed(policies, 12)]])]),
    ...warnings.flatMap((warning) => ["", ...sentence(["warn", "issuers"], warning)])
  ]
}

const about = ({ expires, header, issuer }: Explanation): ReadonlyArray<ReadonlyArray<Cell>> =>
  Object.entries({ issuer, header: header && JSON.stringify(header), ends: expires }).flatMap(([name, value]) =>
    value === undefined ? [] : [[["quiet", name], value] satisfies ReadonlyArray<Cell>]
  )

const heads: ReadonlyArray<Cell> = [
  ["quiet", "field"],
  ["quiet", "from the claim"],
  ["quiet", "dropped"],
  ["quiet", "value"]
]

const fieldRow = ({ dropped, field, from, pinned, prefix, values }: Claims.Mapped): ReadonlyArray<Cell> => [
  ["name", field],
  pinned === true
    ? "none: pinned by the option within"
    : from.length === 0
      ? ["quiet", "none"]
      : `${from.map(Claims.wayText).join(", ")}${prefix === undefined ? "" : `, after ${JSON.stringify(prefix)}`}`,
  dropped.length === 0 ? "" : ["warn", listed(dropped)],
  values.length === 0 ? ["quiet", "nothing"] : listed(values, 12)
]
