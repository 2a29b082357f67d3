/**
 * Options that nothing takes: the error says where one belongs, or which one was meant.
 */
import { ConfigurationError } from "./SdkErrors.ts"
import { nearest } from "../base/Nearest.ts"

/** Where an option belongs that something else takes. */
const places: Readonly<Record<string, string>> = {
  home: "new Workspace({ home }); give the client that workspace, or set SECURE_OPENAI_HOME",
  signer: "new Workspace({ signer }); give the client that workspace",
  keys: "new Workspace({ keys }); give the client that workspace",
  path: "audit: { path }",
  durability: "audit: { durability }",
  checkpoints: "audit: { checkpoints }",
  issuer: "issuers: { issuer, audience }",
  audience: "issuers: { issuer, audience }",
  jwks: "issuers: { issuer, audience, jwks }",
  jwksUri: "issuers: { issuer, audience, jwksUri }",
  claims: "issuers: { issuer, audience, claims }",
  clockTolerance: "issuers: { issuer, audience, clockTolerance }",
  appName: "new SecureOpenAI({ appName }) and new AgentClient({ appName })",
  apiKey: "new SecureOpenAI({ apiKey })",
  baseURL: "new SecureOpenAI({ baseURL })",
  jwtToken: "new SecureOpenAI({ jwtToken }); asUser(token) and new AgentClient({ iamToken }) take a token too",
  iamToken: "new AgentClient({ iamToken }); asUser(token) and new SecureOpenAI({ jwtToken }) take a token too",
  intentPolicy: "new SecureOpenAI({ intentPolicy }), new AgentClient({ intentPolicy }) and invokeTool",
  policies: "new SecureOpenAI({ policies }) or new Workspace({ policies })",
  issuers: "new SecureOpenAI({ issuers }) or new Workspace({ issuers })",
  audit: "new SecureOpenAI({ audit }) or new Workspace({ audit })",
  workspace: "new SecureOpenAI({ workspace }) and new AgentClient({ workspace })"
}

/** Throws {@link unknownOption}'s error for the first member of `options` that is none of `taken`. */
export const requireKnownOptions = (options: object, of: string, taken: ReadonlySet<string>): void => {
  for (const option of Object.keys(options)) if (!taken.has(option)) throw unknownOption(option, of, taken)
}

/**
 * The error for an option that is none of `taken`: it names the option that was meant, or where the option belongs. `of` says
 * whose option it would be: `a workspace`; `also` whose options are taken besides.
 */
export const unknownOption = (
  option: string,
  of: string,
  taken: Iterable<string>,
  also?: { readonly of: string; readonly names: Iterable<string> }
): ConfigurationError => {
  const names = [...taken]
  const meant = nearest(option, [...names, ...(also?.names ?? [])])
  const place = Object.hasOwn(places, option) ? places[option] : undefined
  const hint =
    place !== undefined
      ? ` It belongs to ${place}.`
      : meant === undefined
        ? ""
        : ` Did you mean ${JSON.stringify(meant)}?`
  const others = also === undefined ? "" : `, and the options of ${also.of}`
  return new ConfigurationError(
    `Unknown option ${JSON.stringify(option)} of ${of}.${hint} It takes ${names.join(", ")}${others}.`
  )
}
