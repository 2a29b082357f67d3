/**
 * What a user gets: packs the library, installs the tarball with its peers into the folder `app` beside this file, and there
 * type-checks programs under each module format, and runs them as ES modules and as CommonJS, on the oldest Node, in worker
 * threads, under Jest, on Bun and on Deno, and in containers that share a home; and runs the frameworks' handlers, Next's too
 * (`frameworks.ts`). `npm run check:package`.
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import { contend, noNamespaces } from "./containers.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const project = Fs.mkdtempSync(Path.join(Os.tmpdir(), "secure-openai-package-"))

/** Runs a command and gives what it printed; throws with all that it said where it fails, or takes too long. */
const runIn =
  (cwd: string, timeout = 300_000) =>
  async (command: string, ...args: ReadonlyArray<string>): Promise<string> => {
    const env = { ...process.env, NO_COLOR: "1" }
    const running = promisify(execFile)(command, args, { cwd, env, encoding: "utf8", timeout })
    running.child.stdin?.end()
    return running.then(
      ({ stdout }) => stdout,
      (error: Error & { readonly stdout?: string; readonly stderr?: string }) => {
        throw new Error(`${command} ${args.join(" ")}\n${error.message}\n${error.stdout ?? ""}${error.stderr ?? ""}`)
      }
    )
  }
const runHere = runIn(root)
/** Next is installed and builds an app: minutes, on a machine that is busy. */
const runLong = runIn(root, 900_000)
const run = runIn(project)

/** A program of a package of the project, by its path below `node_modules`. */
const installed = (path: string): string => Path.join(project, "node_modules", path)

const expect = (what: string, found: string, wanted: string): void => {
  if (found.trim() !== wanted)
    throw new Error(`${what} printed ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`)
}

/** The package's version of each file that `app` needs, besides those that `app` names. */
const peers = ["effect", "openai", "typescript", "@types/node"]

const install = async (): Promise<string> => {
  const packed = await runHere("npm", "pack", "--json", "--pack-destination", project)
  const tarball = /"filename": "([^"]+)"/.exec(packed)?.[1]
  if (tarball === undefined) throw new Error(`npm pack gave no tarball: ${packed}`)
  const { devDependencies } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")) as {
    readonly devDependencies: Readonly<Record<string, string>>
  }
  Fs.cpSync(Path.join(import.meta.dirname, "app"), project, { recursive: true })
  for (const format of ["commonjs", "module"])
    Fs.copyFileSync(Path.join(project, "types/program.ts"), Path.join(project, "types", format, "program.ts"))
  const versions = peers.map((name) => `${name}@${devDependencies[name] ?? ""}`)
  await run("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", `./${tarball}`, ...versions)
  return Path.join(project, tarball)
}

// ---------------------------------------------------------------------------------------------------------------------
// Checks
// ---------------------------------------------------------------------------------------------------------------------

interface Check {
  readonly name: string
  readonly check: () => Promise<void>
}

const packaging = (tarball: string): ReadonlyArray<Check> => [
  {
    name: "publint",
    check: async () => void (await runHere("publint", "run", "--strict", tarball))
  },
  {
    name: "attw",
    // `./ai` is for programs that write Effect, which is ES only itself.
    check: async () => void (await runHere("attw", tarball, "--exclude-entrypoints", "ai"))
  },
  {
    name: "attw, ./ai",
    check: async () => void (await runHere("attw", tarball, "--entrypoints", "ai", "--profile", "esm-only"))
  }
]

const tsc = (compiler: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const options = ["--strict", "--noEmit", "--target", "es2024", "--types", "node", "--esModuleInterop"]
  return run(process.execPath, installed(`${compiler}/bin/tsc`), ...options, ...args)
}

/**
 * The formats of a user's program, by what its compiler is told. `skipLibCheck` is needed where a CommonJS module may not
 * import the types of an ES-only package, `effect`: everywhere before `nodenext`.
 */
const settings: ReadonlyArray<{
  readonly options: ReadonlyArray<string>
  readonly formats: ReadonlyArray<"commonjs" | "module">
  /** Only for TypeScript 7: what others refuse, or need not be told again. */
  readonly only7?: true
}> = [
  { options: ["--skipLibCheck", "--module", "commonjs"], formats: ["commonjs"] },
  { options: ["--skipLibCheck", "--module", "node16"], formats: ["commonjs", "module"] },
  { options: ["--module", "node16"], formats: ["module"], only7: true },
  { options: ["--module", "nodenext"], formats: ["commonjs", "module"] },
  {
    options: ["--skipLibCheck", "--module", "preserve", "--moduleResolution", "bundler"],
    formats: ["commonjs", "module"]
  },
  {
    options: ["--skipLibCheck", "--module", "commonjs", "--moduleResolution", "bundler"],
    formats: ["commonjs"],
    only7: true
  }
]

const types: ReadonlyArray<Check> = [
  {
    name: "types: a program of each entry",
    check: async () =>
      void (await tsc("typescript", "--exactOptionalPropertyTypes", "--module", "nodenext", "program.ts"))
  },
  ...["typescript-5.9", "typescript"].flatMap((compiler) =>
    settings
      .filter(({ only7 }) => only7 === undefined || compiler === "typescript")
      .map(({ formats, options }) => ({
        name: `types: ${compiler} ${options.join(" ")}`,
        check: async () =>
          void (await tsc(compiler, ...options, ...formats.map((format) => `types/${format}/program.ts`)))
      }))
  )
]

/** What each of the programs prints once it has made its protected call, and was refused as it should be. */
const programs: Readonly<Record<string, string>> = {
  "module.mjs": "import: protected",
  "commonjs.cjs": "require: protected",
  "both.mjs": "both: one log, one set of limits",
  "worker.mjs": "import: protected\nrequire: protected\nworker: protected"
}

const runtimes: Readonly<Record<string, ReadonlyArray<string>>> = {
  "this Node": [process.execPath],
  "Node 22.19": [installed("node/bin/node")],
  Bun: [installed(".bin/bun")],
  Deno: [installed(".bin/deno"), "run", "--allow-all", "--quiet"]
}

const calls: ReadonlyArray<Check> = [
  ...Object.entries(runtimes).flatMap(([runtime, [command = "", ...args]]) =>
    Object.entries(programs).map(([program, wanted]) => ({
      name: `${program} on ${runtime}`,
      check: async () => expect(program, await run(command, ...args, program), wanted)
    }))
  ),
  { name: "Jest", check: async () => void (await run(process.execPath, installed("jest/bin/jest.js"), "--ci")) },
  {
    name: "a program of each entry",
    check: async () => {
      const lines = ["Hi 7 rewrite", "1 7", "function,function,function,function,function", "Hi", "Hi undefined"]
      expect("program.ts", await run(process.execPath, "program.ts"), lines.join("\n"))
    }
  }
]

const command: ReadonlyArray<Check> = [
  {
    name: "the command",
    check: async () => {
      const cli = installed(".bin/secure-openai")
      if (!(await run(cli, "audit", "--help")).includes("verify")) throw new Error("the command does not run")
      const $schema = "../node_modules/secure-openai/mapl.schema.json"
      const document = { $schema, policy_id: "app:my-app", resources: ["tool:my-app/**"] }
      Fs.mkdirSync(Path.join(project, "policies"))
      Fs.writeFileSync(Path.join(project, "policies/app.json"), JSON.stringify(document))
      if (!Fs.existsSync(Path.join(project, "policies", $schema)))
        throw new Error("the schema is not where editors look")
      if (!(await run(cli, "policy", "lint")).startsWith("0 errors")) throw new Error("the linter does not run")
    }
  }
]

const containers: Check = {
  name: "containers on one home",
  check: async () => {
    const verify = (home: string) =>
      run("env", `SECURE_OPENAI_HOME=${home}`, installed(".bin/secure-openai"), "audit", "verify", "--json")
    if (noNamespaces !== undefined) return console.error(`SKIPPED: containers on one home. ${noNamespaces}`)
    console.log(`     ${await contend(project, verify)}`)
  }
}

const frameworks = (tarball: string): Check => ({
  name: "frameworks",
  check: async () => {
    const said = await runLong(process.execPath, Path.join(import.meta.dirname, "frameworks.ts"), tarball)
    console.log(said.trimEnd().replace(/^/gmu, "     "))
  }
})

/** Runs the checks, two at a time; gives the names of those that failed. */
const runAll = async (checks: ReadonlyArray<Check>): Promise<ReadonlyArray<string>> => {
  const failed: Array<string> = []
  const waiting = [...checks]
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const began = performance.now()
      try {
        await next.check()
        console.log(`ok   ${next.name} (${((performance.now() - began) / 1000).toFixed(1)} s)`)
      } catch (error) {
        failed.push(next.name)
        console.error(`FAIL ${next.name}\n${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }
  await Promise.all([work(), work()])
  return failed
}

try {
  const tarball = await install()
  const failed = await runAll([frameworks(tarball), containers, ...types, ...packaging(tarball), ...calls, ...command])
  if (failed.length > 0) throw new Error(`The tarball fails: ${failed.join("; ")}`)
  console.log("The tarball installs, type-checks and runs in each module format.")
} finally {
  Fs.rmSync(project, { recursive: true, force: true })
}
