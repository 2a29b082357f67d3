/**
 * A real OpenID provider on this machine. It issues access tokens for alice and bob: JWTs by RFC 9068 (`at+jwt`), signed with
 * ES256, that say which company and team they belong to.
 */
import { exportJWK, generateKeyPair } from "jose"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import type { Provider } from "oidc-provider"

/** Whom the tokens are for: the service checks it. */
const audience = "https://assistant.acme.example"

/** What the company's directory knows of its people. */
const people: Readonly<Record<string, object>> = {
  alice: { preferred_username: "alice", company: "Acme", team: "Support", roles: ["agent"] },
  bob: { preferred_username: "bob", company: "Acme", team: "Finance", roles: ["analyst"] }
}

export interface Issuer extends AsyncDisposable {
  /** For the option `issuers`: all that a service needs to know. Keys are found by discovery. */
  readonly options: { readonly issuer: string; readonly audience: string }
  /** Gets a token over HTTP, as a user's device would. */
  readonly token: (name: string) => Promise<string>
}

/** Starts the provider. */
export const startIssuer = async (): Promise<Issuer> => {
  const server = Http.createServer()
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  server.on("request", (await provider(issuer)).callback())
  return {
    options: { issuer, audience },
    token: async (name) => {
      const response = await fetch(`${issuer}/token`, {
        method: "POST",
        headers: { authorization: `Basic ${btoa(`${name}:secret of ${name}`)}` },
        body: new URLSearchParams({ grant_type: "client_credentials", scope: "assistant" })
      })
      const body = (await response.json()) as { readonly access_token?: string }
      if (body.access_token === undefined) throw new Error(`the OpenID provider answered ${JSON.stringify(body)}`)
      return body.access_token
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    }
  }
}

const provider = async (issuer: string): Promise<Provider> => {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true })
  return withoutNotices(async () => {
    const { Provider } = await import("oidc-provider")
    return new Provider(issuer, {
      jwks: { keys: [{ ...(await exportJWK(privateKey)), kid: "acme-1", alg: "ES256", use: "sig" }] },
      // Each person's device, with credentials of its own: it stands for a login that nobody is here to click through.
      clients: Object.keys(people).map((name) => ({
        client_id: name,
        client_secret: `secret of ${name}`,
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: "ES256"
      })),
      ttl: { ClientCredentials: 600 },
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => audience,
          getResourceServerInfo: () => ({
            scope: "assistant",
            audience,
            accessTokenTTL: 600,
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "ES256" } }
          })
        }
      },
      extraTokenClaims: (_: unknown, token: { readonly clientId: string }) => people[token.clientId]
    })
  })
}

/** The provider remarks on the console that it is not in production; here that is the point. */
const withoutNotices = async <A>(make: () => Promise<A>): Promise<A> => {
  const { info, warn } = console
  console.info = console.warn = () => {}
  try {
    return await make()
  } finally {
    Object.assign(console, { info, warn })
  }
}
