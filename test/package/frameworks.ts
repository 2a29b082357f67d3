/**
 * The handlers of `docs/frameworks.md` as a reader has them: type-checked in an empty project against the packed library, and
 * the one for Next run by a real Next. `node test/package/frameworks.ts <tarball>`, or after `npm run build` without one; needs
 * the registry for Next.
 */
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Url from "node:url"
import { startProvider } from "../e2e/Provider.ts"
import { eventually } from "../e2e/StreamServer.ts"
import { linesOf } from "../audit/kills.ts"
import { makeIssuer } from "../../src/testing/index.ts"

const next = "16.4.6"
const react = "19.2.0"

const root = Path.resolve(import.meta.dirname, "../..")
const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-next-"))
const write = (file: string, text: string) => {
  Fs.mkdirSync(Path.dirname(Path.join(project, file)), { recursive: true })
  Fs.writeFileSync(Path.join(project, file), text)
}
const run = (command: string, ...args: ReadonlyArray<string>): string =>
  ChildProcess.execFileSync(command, args, {
    cwd: project,
    encoding: "utf8",
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: "1", OPENAI_API_KEY: "sk-service" },
    stdio: ["ignore", "pipe", "inherit"]
  })
const timed = <A>(what: string, does: () => A): A => {
  const began = Date.now()
  const result = does()
  console.log(`${what}: ${((Date.now() - began) / 1000).toFixed(1)} s`)
  return result
}
const require = (holds: boolean, what: string) => {
  if (!holds) throw new Error(what)
}

/** The library as it is built. */
const pack = (): string => {
  const packed = ChildProcess.execFileSync(
    "npm",
    ["pack", "--json", "--ignore-scripts", "--pack-destination", project],
    { cwd: root, encoding: "utf8" }
  )
  const tarball = /"filename": "([^"]+)"/.exec(packed)?.[1]
  if (tarball === undefined) throw new Error(`npm pack gave no tarball: ${packed}`)
  return Path.join(project, tarball)
}

const provider = await startProvider()
const issuer = makeIssuer("https://login.acme.test", "my-app")
const jwks = Http.createServer((_request, response) =>
  response.setHeader("content-type", "application/json").end(JSON.stringify(issuer.options.jwks))
).listen(0, "127.0.0.1")
await once(jwks, "listening")
let server: ChildProcess.ChildProcess | undefined

try {
  const { devDependencies } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")) as {
    readonly devDependencies: Readonly<Record<string, string>>
  }
  const tarball = process.argv[2] ?? pack()
  write("package.json", JSON.stringify({ name: "empty", private: true, type: "module" }))
  const others = ["effect", "openai", "typescript", "@types/node", "hono", "express", "@types/express", "fastify"].map(
    (name) => `${name}@${devDependencies[name] ?? ""}`
  )
  timed("install", () =>
    run(
      "npm",
      "install",
      "--prefer-offline",
      "--no-audit",
      "--no-fund",
      tarball,
      ...others,
      `next@${next}`,
      `react@${react}`,
      `react-dom@${react}`,
      "@types/react@19"
    )
  )

  const page = Fs.readFileSync(Path.join(root, "docs/frameworks.md"), "utf8")
  const programs = [...page.matchAll(/^```ts (\S+)\n(.*?)^```$/gmsu)]
  for (const [, file = "", text = ""] of programs) {
    write(`page/${file}`, text)
    if (file === "client.ts" || file === "route.ts") write(`app/chat/${file}`, text)
  }
  const strict = ["--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext", "--target", "es2024"]
  const libraries = ["--lib", "es2024,dom,dom.iterable,dom.asynciterable,esnext.disposable", "--types", "node"]
  timed("types of the page", () =>
    run("npx", "tsc", ...strict, ...libraries, "--allowImportingTsExtensions", ...programs.map(([, f]) => `page/${f}`))
  )

  write("app/layout.js", "export default ({ children }) => <html><body>{children}</body></html>\n")
  write("app/page.js", "export default () => <p>Hello</p>\n")
  write(
    "next.config.mjs",
    'import config from "./page/next.config.ts"\nexport default { ...config, typescript: { ignoreBuildErrors: true } }\n'
  )
  write(
    "policies.json",
    JSON.stringify([
      { policy_id: "app:my-app", resources: ["tool:my-app/**"] },
      { policy_id: "user:alice", resources: ["tool:my-app/generate"] }
    ])
  )
  timed("next build", () => run("npx", "next", "build"))
  const env = {
    ...process.env,
    NEXT_TELEMETRY_DISABLED: "1",
    OPENAI_API_KEY: "sk-service",
    OPENAI_BASE_URL: provider.url,
    SECURE_OPENAI_HOME: Path.join(project, "home"),
    SECURE_OPENAI_POLICIES: Path.join(project, "policies.json"),
    SECURE_OPENAI_ISSUER: issuer.options.issuer,
    SECURE_OPENAI_AUDIENCE: issuer.options.audience,
    SECURE_OPENAI_JWKS_URI: `http://127.0.0.1:${(jwks.address() as AddressInfo).port}/`
  }
  const started = ChildProcess.spawn(process.execPath, ["node_modules/next/dist/bin/next", "start", "-p", "0"], {
    cwd: project,
    env,
    stdio: ["ignore", "pipe", "inherit"]
  })
  server = started
  let said = ""
  started.stdout.setEncoding("utf8").on("data", (text: string) => (said += text))
  const url = await eventually(
    () => /http:\/\/localhost:\d+/.exec(said)?.[0],
    (found) => found !== undefined,
    60_000
  )
  const { ask } = (await import(Url.pathToFileURL(Path.join(project, "page/browser.ts")).href)) as {
    readonly ask: (
      url: string,
      token: string,
      content: string,
      onText: (text: string) => void,
      signal?: AbortSignal
    ) => Promise<string | null>
  }
  const token = issuer.mint({ sub: "alice" })
  const ends = () =>
    linesOf(Path.join(project, "home/audit"))
      .map((line) => JSON.parse(line) as { readonly kind: string; readonly result?: string })
      .flatMap(({ kind, result }) => (kind === "outcome" ? [result] : []))

  const forged = await fetch(`${url}/chat`, { method: "POST", headers: { authorization: "Bearer a.b.c" }, body: "{}" })
  const refusal = (await forged.json()) as { readonly error: { readonly code: string } }
  require(forged.status === 401 && refusal.error.code === "identity_invalid", `a bad token got ${forged.status}`)
  provider.behave({ chunks: 5, every: 5 })
  const texts: Array<string> = []
  const whole = await ask(`${url}/chat`, token, "Hello", (text) => texts.push(text))
  require(whole === "t0t1t2t3t4" && texts.length === 5, `the browser read ${JSON.stringify(texts)}`)
  await eventually(ends, (all) => all.join() === "complete")

  for (const [behaviour, when] of [
    [{ chunks: 100_000, every: 2 }, "in mid-stream"],
    [{ hang: true }, "before the first byte"],
    [{ chunks: 2, every: 1_000_000 }, "while the provider is silent"]
  ] as const) {
    const before = ends().length
    provider.behave(behaviour)
    const leaving = new AbortController()
    const asking = ask(`${url}/chat`, token, "Hello", () => {}, leaving.signal).catch(() => {})
    await eventually(
      () => provider.hits.length,
      (hits) => hits === 1
    )
    setTimeout(() => leaving.abort(), 300)
    await asking
    await eventually(provider.closed, (closed) => closed === 1)
    const [end] = (await eventually(ends, (all) => all.length > before)).slice(before)
    require(end === "aborted" || end === "abandoned", `a browser that left ${when} is logged as ${end}`)
  }
  console.log(`The page's handlers type-check, and its handler for Next runs under next ${next}: ${ends().join(", ")}.`)
} finally {
  if (server !== undefined) {
    server.kill()
    await once(server, "exit")
  }
  jwks.close()
  await provider.close()
  Fs.rmSync(project, { recursive: true, force: true })
}
// The provider's silences last longer.
process.exit()
