/** What docs/production.md holds, and its programs in a folder where they run. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { expect } from "vitest"
import { parse } from "yaml"

export const root = Path.resolve(import.meta.dirname, "../..")
export const text = Fs.readFileSync(Path.join(root, "docs/production.md"), "utf8")

/** Blocks that are files, by name. */
export const files: ReadonlyMap<string, string> = new Map(
  [...text.matchAll(/^```\w+ (\S+)\n(.*?)^```$/gmsu)].map(([, name = "", block = ""]) => [name, block])
)

export const fileOf = (name: string): string => files.get(name) ?? expect.fail(`the page has no ${name}`)

/** The block of a language that is no file. */
export const blockOf = (language: string): string =>
  new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "msu").exec(text)?.[1] ?? expect.fail(`no block of ${language}`)

/** A folder with the page's programs, which use these sources. The caller removes it. */
export const programs = (): string => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-production-"))
  Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(folder, "node_modules"))
  Fs.writeFileSync(Path.join(folder, "package.json"), '{ "type": "module" }')
  const ours = JSON.stringify(pathToFileURL(Path.join(root, "src/index.ts")).href)
  for (const [name, block] of files)
    if (name.endsWith(".ts")) Fs.writeFileSync(Path.join(folder, name), block.replaceAll('"secure-openai"', ours))
  return folder
}

/** A script of the page with our command in the place of the installed one. */
export const script = (name: string): string =>
  fileOf(name).replaceAll("npx secure-openai", `"${process.execPath}" "${Path.join(root, "src/cli/main.ts")}"`)

interface Named {
  readonly name: string
}

/** As much of the manifest as the tests look at. */
export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly spec: {
    readonly selector: { readonly matchLabels: object }
    readonly template: {
      readonly metadata: { readonly labels: object }
      readonly spec: {
        readonly terminationGracePeriodSeconds: number
        readonly securityContext: Readonly<Record<string, unknown>>
        readonly containers: readonly [
          {
            readonly command: ReadonlyArray<string>
            readonly env: ReadonlyArray<Named & { readonly value?: string }>
            readonly ports: ReadonlyArray<{ readonly containerPort: number }>
            readonly readinessProbe: {
              readonly httpGet: { readonly path: string; readonly port: number }
              readonly periodSeconds: number
            }
            readonly lifecycle: { readonly preStop: { readonly sleep: { readonly seconds: number } } }
            readonly volumeMounts: ReadonlyArray<
              Named & { readonly mountPath: string; readonly readOnly?: boolean; readonly subPathExpr?: string }
            >
          }
        ]
        readonly volumes: ReadonlyArray<Named & { readonly secret?: { readonly defaultMode: number } }>
      }
    }
    readonly volumeClaimTemplates: ReadonlyArray<{
      readonly metadata: Named
      readonly spec: { readonly accessModes: ReadonlyArray<string> }
    }>
  }
}

/** The manifest, read as Kubernetes reads it: in YAML 1.1, where 0400 is octal. */
export const manifest = (): Manifest => parse(fileOf("assistant.yaml"), { version: "1.1" }) as Manifest
