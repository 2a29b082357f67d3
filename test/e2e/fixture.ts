/** What most tests through a client begin with: a provider on a socket for a file, and clients that end with each test. */
import { type ClientOptions } from "openai"
import { afterAll, afterEach } from "vitest"
import { SecureOpenAI, type SecureOptions, Workspace, type WorkspaceOptions } from "../../src/index.ts"
import { startProvider } from "./Provider.ts"

interface Closable {
  close(options?: { readonly force: true }): Promise<void>
}

/**
 * A provider for the tests of a file, as it was at first before each of them. What `opens` is given, workspaces and clients
 * among it, is closed after the test, the last one first.
 */
export const openProvider = async () => {
  const provider = await startProvider()
  const opened: Array<Closable> = []
  afterAll(() => provider.close())
  afterEach(async () => {
    provider.behave({})
    for (const one of opened.splice(0).toReversed()) await one.close({ force: true }).catch(() => {})
    provider.hits.length = 0
  })
  const opens = <A extends Closable>(one: A): A => {
    opened.push(one)
    return one
  }
  return {
    provider,
    opens,
    /** A workspace with its log in memory. */
    openWorkspace: (options: WorkspaceOptions = {}) => opens(new Workspace({ audit: "memory", ...options })),
    /** A client of the provider that asks once. */
    openClient: (options: SecureOptions & ClientOptions) =>
      opens(new SecureOpenAI({ apiKey: "k", baseURL: provider.url, maxRetries: 0, ...options }))
  }
}

/** The records of a log that tell of calls. */
export const aboutCalls = async (workspace: Workspace) =>
  (await workspace.records()).filter((record) => record["call"] !== undefined)
