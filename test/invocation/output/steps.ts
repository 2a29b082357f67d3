/** Counts the items that loops over maps and sets visit while something runs. */

type Made = () => Iterator<unknown>

const names = ["values", "keys", "entries", Symbol.iterator] as const

/** How many items of any map or set `run` visits. */
export const visitsOf = (run: () => void): number => {
  let visits = 0
  const restored: Array<() => void> = []
  for (const prototype of [Map.prototype, Set.prototype])
    for (const name of names) {
      const before = Object.getOwnPropertyDescriptor(prototype, name)!
      const made = before.value as Made
      Object.defineProperty(prototype, name, {
        ...before,
        value: function (this: unknown) {
          const iterator = made.call(this as never) as IterableIterator<unknown>
          const next = iterator.next.bind(iterator)
          iterator.next = () => {
            visits++
            return next()
          }
          return iterator
        }
      })
      restored.push(() => Object.defineProperty(prototype, name, before))
    }
  try {
    run()
  } finally {
    for (const restore of restored) restore()
  }
  return visits
}
