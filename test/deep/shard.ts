/** Which part of the deep tests runs here: `vitest.deep.config.ts` runs each file once a shard, the shards side by side. */
export const shard = Number(process.env["SHARD"] ?? 0)
export const shards = Number(process.env["SHARDS"] ?? 1)
