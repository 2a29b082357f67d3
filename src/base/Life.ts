/**
 * How long something lives, and what ends with it: a client, a binding, a registration. What depends on a life ends when it
 * does, for the same reason; a life does not keep what depends on it.
 *
 * A life that is drained, as a pool of connections is, takes nothing new, lets what was begun run on, and then ends. What was
 * begun under a life was begun under those that it depends on, too.
 */
import { AsyncLocalStorage } from "node:async_hooks"

const current = new AsyncLocalStorage<Task>()

/** True in the course of what was begun under a life, or under one that depends on it. */
let isInCourse: (life: Life) => boolean

/**
 * A life, which ends once.
 *
 * @category models
 */
export class Life {
  #over: Reason | undefined
  /** Why it takes nothing new: it is being drained. */
  #closing: Reason | undefined
  #begun = 0
  readonly #idle = new Set<() => void>()
  readonly #others: ReadonlyArray<Life>
  /** What ends with this one, held weakly: a long life may see many short ones. */
  readonly #dependents = new Set<WeakRef<Life>>()
  readonly #listeners = new Set<(reason: Error) => void>()
  readonly #left: Array<() => void> = []

  /** A life that ends with the first of `others` at the latest; over at once where one of them is. */
  constructor(...others: ReadonlyArray<Life>) {
    this.#others = others
    const self = new WeakRef(this)
    for (const other of others) {
      if (other.#over !== undefined) this.#over ??= other.#over
      const leave = (): void => void other.#dependents.delete(self)
      other.#dependents.add(self)
      this.#left.push(leave)
      collected.register(this, leave, this)
    }
    if (this.#over !== undefined) this.#leave()
  }

  /** Why it is over; undefined while it is not. */
  get over(): Error | undefined {
    return this.#over?.()
  }

  /**
   * Why nothing new may begin here: it is over, or takes nothing new; undefined where something may. In the course of what was
   * begun before ({@link Task.run}), more may begin until it is over.
   */
  get refusal(): Error | undefined {
    const closed = this.#closed
    return closed === undefined || (this.#over === undefined && isInCourse(this)) ? undefined : closed()
  }

  get #closed(): Reason | undefined {
    const closed = this.#over ?? this.#closing
    if (closed !== undefined) return closed
    for (const other of this.#others) if (other.#closed !== undefined) return other.#closed
    return undefined
  }

  /** True for a life that is this one, or that this one depends on. */
  #isUnder(life: Life): boolean {
    return this === life || this.#others.some((other) => other.#isUnder(life))
  }

  /** Something begins; undefined where nothing may, for the reason that {@link refusal} gives. */
  begin(): Task | undefined {
    if (this.refusal !== undefined) return undefined
    this.#count(1)
    return new Task(this, () => this.#count(-1))
  }

  #count(by: 1 | -1): void {
    this.#begun += by
    if (this.#begun === 0) for (const idle of this.#idle) idle()
    for (const other of this.#others) other.#count(by)
  }

  /**
   * Ends it, and what depends on it, for a reason that each of them keeps; a function makes it once it is asked for. Later calls do
   * nothing.
   */
  end(reason: Error | (() => Error)): void {
    this.#end(typeof reason === "function" ? once(reason) : () => reason)
  }

  #end(reason: Reason): void {
    if (this.#over !== undefined) return
    this.#over = reason
    this.#leave()
    for (const idle of this.#idle) idle()
    for (const listener of this.#listeners) listener(reason())
    this.#listeners.clear()
    for (const one of this.#dependents) {
      const dependent = one.deref()
      if (dependent !== undefined) dependent.#end(reason)
    }
    this.#dependents.clear()
  }

  /**
   * Takes nothing new from now on, waits for what was begun, at most `ms` milliseconds, and ends for the reason that it was
   * first given, which is made once somebody asks for it. Settles once it is over; while it waits it keeps the process alive,
   * unless it is done `inBackground`.
   */
  async drain(reason: () => Error, ms: number, { inBackground = false } = {}): Promise<void> {
    this.#closing ??= once(reason)
    if (this.#over === undefined && this.#begun > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#idle.add(resolve)
      const timer = setTimeout(resolve, ms)
      if (inBackground) timer.unref()
      await promise
      clearTimeout(timer)
      this.#idle.delete(resolve)
    }
    this.#end(this.#closing)
  }

  /** Calls back once with the reason of the end, at once where it is over already; gives the way to give that up. */
  onEnd(listener: (reason: Error) => void): () => void {
    if (this.#over !== undefined) {
      listener(this.#over())
      return () => {}
    }
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #leave(): void {
    collected.unregister(this)
    for (const leave of this.#left.splice(0)) leave()
  }

  static {
    isInCourse = (life) => {
      for (let task = current.getStore(); task !== undefined; task = task.outer)
        if (!task.over && task.life.#isUnder(life)) return true
      return false
    }
  }
}

/** Something that was begun under a life, until it ends. */
export class Task {
  readonly life: Life
  /** The one in whose course it was begun. */
  readonly outer: Task | undefined
  readonly #ended: () => void
  #over = false

  /** Made by {@link Life.begin}. */
  constructor(life: Life, ended: () => void) {
    this.life = life
    this.outer = current.getStore()
    this.#ended = ended
  }

  get over(): boolean {
    return this.#over
  }

  /** Runs code in its course: until it ends, what this code does may begin more under its life. */
  run<A>(code: () => A): A {
    return current.run(this, code)
  }

  /** It has ended. Later calls do nothing. */
  end(): void {
    if (this.#over) return
    this.#over = true
    this.#ended()
  }
}

/** Why a life has ended: one error, each time it is asked. Most clients are given back and never asked again. */
type Reason = () => Error

const once = (make: () => Error): Reason => {
  let made: Error | undefined
  return () => (made ??= make())
}

const collected = new FinalizationRegistry<() => void>((leave) => leave())
