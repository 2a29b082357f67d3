/** A real OpenID provider (oidc-provider) on this machine, whose keys a test can change. */
import { exportJWK, generateKeyPair, type JWK } from "jose"
import * as Http from "node:http"
import { Provider } from "oidc-provider"

/** The audience that its tokens are for. */
export const audience = "https://api.example"

/** Starts a provider with one ES256 key, of that id. */
export const startProvider = async (kid: string) => {
  let requests = 0
  let answer: Http.RequestListener = (_, response) => void response.writeHead(503).end()
  const server = Http.createServer((request, response) => {
    requests++
    answer(request, response)
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const address = server.address()
  const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`

  /** Puts a new key in place of the one before, which is withdrawn. */
  const rotate = async (kid: string): Promise<void> => {
    const { privateKey } = await generateKeyPair("ES256", { extractable: true })
    const key: JWK = { ...(await exportJWK(privateKey)), kid, alg: "ES256", use: "sig" }
    answer = new Provider(url, {
      jwks: { keys: [key] },
      clients: [
        {
          client_id: "svc",
          client_secret: "secret",
          grant_types: ["client_credentials"],
          redirect_uris: [],
          response_types: [],
          id_token_signed_response_alg: "ES256"
        }
      ],
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => audience,
          getResourceServerInfo: () => ({
            scope: "api",
            audience,
            accessTokenTTL: 600,
            accessTokenFormat: "jwt",
            jwt: { sign: { alg: "ES256" } }
          })
        }
      },
      extraTokenClaims: () => ({
        preferred_username: "alice",
        realm_access: { roles: ["analyst"] },
        "https://acme.example/team": "Lab",
        company: "Acme"
      })
    }).callback()
  }

  /** A token by the key of the moment. */
  const token = async (): Promise<string> => {
    const response = await fetch(`${url}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${btoa("svc:secret")}` },
      body: new URLSearchParams({ grant_type: "client_credentials", scope: "api" })
    })
    const { access_token } = JSON.parse(await response.text())
    return access_token
  }

  const close = () => {
    server.closeAllConnections()
    server.close()
  }

  await rotate(kid)
  return { url, rotate, token, requests: () => requests, close }
}
