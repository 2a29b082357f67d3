import { proofs } from "../property/merkle.ts"

// They do not depend on chance: each shard has them all.
proofs({ right: 256, wrong: 32, refused: 800_000, alike: 1248 })
