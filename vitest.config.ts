/**
 * The tests. To load the library and what it is built on takes a worker longer than most files' tests take, so files share
 * their worker's modules, but for those that change what all of a process sees: a clock, the environment, a module.
 */
import { globSync, readFileSync } from "node:fs"
import { defineConfig } from "vitest/config"

const root = import.meta.dirname
const files = globSync("test/**/*.test.ts", { cwd: root, exclude: ["test/deep/**"] }).sort()

/** What a test does that others in its process would notice, or that counts what they left there. */
const changesProcess =
  /\bvi\.(mock|doMock|hoisted|resetModules|stub\w+|useFakeTimers|spyOn)\b|\bprocess\.(chdir|umask|exit\w*|on|once|emit)\b|\bprocess\.env(\.\w+|\[[^\]]+\]) = |\bdelete process\.env\b|(?<!typeof )\bglobalThis\.\w+ = |\b(collectGarbage|soak|manuallyInstrument)\(|Object\.(defineProperty|assign)\((globalThis|process)\b/u

const alone = files.filter((file) => changesProcess.test(readFileSync(`${root}/${file}`, "utf8")))

export default defineConfig({
  test: {
    reporters: ["default", ["json", { outputFile: "test-results.json" }]],
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: { name: "shared", include: files.filter((file) => !alone.includes(file)), isolate: false }
      },
      { extends: true, test: { name: "alone", include: alone } }
    ],
    testTimeout: 60_000,
    hookTimeout: 90_000,
    // Many tests start the command or a program in a process of its own: they read our sources, compiled once, from here.
    env: { NODE_COMPILE_CACHE: new URL("node_modules/.cache/node-compile", import.meta.url).pathname }
  }
})
