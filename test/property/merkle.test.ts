import { proofs } from "./merkle.ts"

// Some trees beyond a power of two; the deep tests take larger ones.
proofs({ right: 65, wrong: 11, refused: 40_000, alike: 72 })
