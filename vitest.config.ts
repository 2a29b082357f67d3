import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/deep/**"],
    reporters: ["default", ["json", { outputFile: "test-results.json" }]],
    testTimeout: 60_000,
    hookTimeout: 90_000,
    maxWorkers: 2,
    // Many tests start the command or a program in a process of its own: they read our sources, compiled once, from here.
    env: { NODE_COMPILE_CACHE: new URL("node_modules/.cache/node-compile", import.meta.url).pathname }
  }
})
