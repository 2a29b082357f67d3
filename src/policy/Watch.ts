/**
 * Notices that policies on the disk have changed.
 */
import { type FSWatcher, watch } from "chokidar"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** Changes that come within so many milliseconds are one. */
const quiet = 100

/**
 * Watches a policy file or folder, from when this settles until the scope closes. The stream has an element for each change,
 * once it has been quiet for a moment: a file that is written, replaced, added or removed, and a folder or link that another
 * one takes the place of. It does not keep the process alive, and fails where the file system does not watch.
 */
export const watching = (path: string): Effect.Effect<Stream.Stream<void, Error>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const target = Path.resolve(path)
    const signal = yield* Effect.abortSignal
    const first = yield* Effect.acquireRelease(
      Effect.promise(() => open(target)),
      (watched) => Effect.promise(() => watched.close())
    )
    return Stream.fromAsyncIterable(follow(first, target, signal), (error) =>
      error instanceof Error ? error : new Error(String(error))
    )
  })

/**
 * Waits for a change, watches the path again, and only then reports the change. The path may lead to another folder by now; the
 * new watch sees every later change.
 */
async function* follow(first: Watched, path: string, signal: AbortSignal): AsyncGenerator<void> {
  let watched = first
  try {
    while (!signal.aborted) {
      await watched.changed(signal)
      await watched.close()
      if (signal.aborted) return
      watched = await open(path)
      yield
    }
  } finally {
    await watched.close()
  }
}

interface Watched {
  /** Settles once there was a change and then none for a while, or with `signal`. Rejects where watching fails. */
  readonly changed: (signal: AbortSignal) => Promise<void>
  readonly close: () => Promise<unknown>
}

const open = async (path: string): Promise<Watched> => {
  const parent = Path.dirname(path)
  const options = { ignoreInitial: true, persistent: false }
  const before = targetOf(path)
  const inside = watch(path, options)
  // A link, or a folder that is moved into place, changes in the folder that holds it.
  const above = watch(parent, {
    ...options,
    depth: 0,
    followSymlinks: false,
    ignored: (entry) => entry !== parent && entry !== path
  })
  const watchers: ReadonlyArray<FSWatcher> = [inside, above]
  const { promise, reject, resolve } = Promise.withResolvers<void>()
  promise.catch(() => {})
  let timer: NodeJS.Timeout | undefined
  const seen = (): void => {
    clearTimeout(timer)
    timer = setTimeout(resolve, quiet).unref()
  }
  inside.on("all", seen)
  above.on("all", () => {
    if (targetOf(path) !== before) seen()
  })
  for (const watcher of watchers) watcher.on("error", reject)
  await Promise.all(
    watchers.map(
      (watcher) =>
        new Promise<void>((ready) => {
          watcher.once("ready", ready)
          watcher.once("error", () => ready())
        })
    )
  )
  return {
    changed: (signal) => {
      signal.addEventListener("abort", () => resolve(), { once: true })
      return promise
    },
    close: () => {
      clearTimeout(timer)
      return Promise.all(watchers.map((watcher) => watcher.close()))
    }
  }
}

/** What a path leads to now: another link, or another folder in its place, leads elsewhere. */
const targetOf = (path: string): string => {
  try {
    const real = Fs.realpathSync(path)
    return `${real} ${Fs.statSync(real).ino}`
  } catch {
    return ""
  }
}
