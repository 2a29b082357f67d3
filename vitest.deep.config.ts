/** The deep tests: millions of random decisions against other evaluators, in two shards side by side. */
import { defineConfig } from "vitest/config"

const shards = 2

export default defineConfig({
  test: {
    reporters: ["verbose"],
    maxWorkers: shards,
    projects: Array.from({ length: shards }, (_, shard) => ({
      test: {
        name: `shard ${shard + 1}`,
        include: ["test/deep/**/*.test.ts"],
        env: { SHARD: String(shard), SHARDS: String(shards) },
        testTimeout: 0,
        hookTimeout: 0,
        disableConsoleIntercept: true
      }
    }))
  }
})
