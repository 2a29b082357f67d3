/**
 * Where the demo takes place: a provider, an OpenID provider, a log in a temporary folder, and one service over them. All of
 * it is gone when the demo ends.
 */
import { Effect } from "effect"
import { rmSync } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { Audit, type BoundSecureOpenAI, SecureOpenAI, Workspace } from "../../src/index.ts"
import { type Provider, startProvider } from "../support/Provider.ts"
import { type Issuer, startIssuer } from "./Issuer.ts"
import { model } from "./Model.ts"

export interface World {
  readonly provider: Provider
  readonly issuer: Issuer
  readonly service: SecureOpenAI
  readonly alice: BoundSecureOpenAI
  readonly bob: BoundSecureOpenAI
  readonly tokens: { readonly alice: string; readonly bob: string }
  /** The log, as it is written. */
  readonly records: () => Promise<ReadonlyArray<LogRecord>>
  /** Temporary folder: the keys, the log in `audit`, and what an auditor kept, the log's public key, in `auditor.vkey`. */
  readonly home: string
}

/** A record of the log, as far as the demo reads it. */
export type LogRecord = { readonly kind: string; readonly seq: number } & Readonly<Record<string, unknown>>

/** Opens the world; everything that is opened here is closed with `resources`. */
export const openWorld = async (resources: AsyncDisposableStack): Promise<World> => {
  const home = await Fs.mkdtemp(Path.join(Os.tmpdir(), "secure-openai-demo-"))
  // Whatever ends the demo, Ctrl-C and a closed pipe among it, nothing is left behind.
  process.once("exit", () => rmSync(home, { recursive: true, force: true }))
  process.once("SIGINT", () => process.exit(130))
  const provider = resources.use(await startProvider(model))
  const issuer = resources.use(await startIssuer())

  const workspace = resources.use(
    await Workspace.open({
      policies: Path.resolve(import.meta.dirname, "../policies"),
      issuers: issuer.options,
      home
    })
  )
  await Fs.copyFile(Path.join(home, "audit", "vkey"), Path.join(home, "auditor.vkey"))
  const service = resources.use(
    new SecureOpenAI({ appName: "assistant", workspace, apiKey: "none", baseURL: provider.url })
  )
  const tokens = { alice: await issuer.token("alice"), bob: await issuer.token("bob") }
  return {
    provider,
    issuer,
    service,
    alice: resources.use(await service.asUser(tokens.alice)),
    bob: resources.use(await service.asUser(tokens.bob)),
    tokens,
    records: () => workspace.runtime.runPromise(Effect.flatMap(Audit, (audit) => audit.records)),
    home
  }
}
