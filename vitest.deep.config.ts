/**
 * The deep tests: millions of random decisions against other evaluators, in two shards side by side, and whole what
 * `npm test` takes a part of.
 */
import { defineConfig } from "vitest/config"

const shards = 2

/** The tests that ask `test/depth.ts`. */
const inPart = [
  "test/audit/proof/Proof.test.ts",
  "test/property/policyExhaustive.test.ts",
  "test/property/policyLaws.test.ts",
  "test/verifier/verifier.test.ts"
]

const patient = { testTimeout: 0, hookTimeout: 0 }

export default defineConfig({
  test: {
    reporters: ["verbose"],
    maxWorkers: shards,
    projects: [
      { test: { name: "whole", include: inPart, env: { DEPTH: "whole" }, ...patient } },
      ...Array.from({ length: shards }, (_, shard) => ({
        test: {
          name: `shard ${shard + 1}`,
          include: ["test/deep/**/*.test.ts"],
          env: { SHARD: String(shard), SHARDS: String(shards) },
          ...patient,
          disableConsoleIntercept: true
        }
      }))
    ]
  }
})
