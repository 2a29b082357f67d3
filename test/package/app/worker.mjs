import { once } from "node:events"
import { Worker } from "node:worker_threads"

for (const program of ["module.mjs", "commonjs.cjs"]) {
  const [code] = await once(new Worker(new URL(program, import.meta.url)), "exit")
  if (code !== 0) throw new Error(`${program} failed in a worker thread`)
}
console.log("worker: protected")
