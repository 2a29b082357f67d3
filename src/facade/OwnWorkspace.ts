/**
 * The workspace that a client makes of its own options. Clients of equal options share one, so that a client for each request
 * reads policies, and asks for an issuer's keys, once a process.
 */
import process from "node:process"
import { Workspace } from "../workspace/Workspace.ts"
import type { WorkspaceOptions } from "../workspace/WorkspaceOptions.ts"

/** A workspace that others may use too; it closes when the last of them has let it go. */
export interface OwnWorkspace {
  readonly workspace: Workspace
  /** Lets it go; later calls do nothing. */
  readonly letGo: () => Promise<void>
}

interface Held {
  readonly workspace: Workspace
  users: number
}

const held = new Map<string, Held>()

/** The workspace of these options: another client's of equal ones, or a new one. A log in memory is nobody else's. */
export const ownWorkspace = (options: WorkspaceOptions): OwnWorkspace => {
  const key = keyOf(options)
  const known = key === undefined ? undefined : held.get(key)
  const entry = known === undefined || known.workspace.closed ? { workspace: new Workspace(options), users: 0 } : known
  if (key !== undefined) held.set(key, entry)
  entry.users++
  let isHeld = true
  return {
    workspace: entry.workspace,
    letGo: async () => {
      if (!isHeld) return
      isHeld = false
      if (--entry.users > 0) return
      if (key !== undefined && held.get(key) === entry) held.delete(key)
      await entry.workspace.close()
    }
  }
}

/** The same text for the same options; undefined where they are to be used alone. */
const keyOf = (options: WorkspaceOptions): string | undefined => {
  if (options.audit === "memory") return undefined
  const place = [process.cwd(), process.env["SECURE_OPENAI_HOME"]]
  try {
    return JSON.stringify([place, options], plainOrSame)
  } catch {
    return undefined
  }
}

/** Plain data counts by what it says; a function, and an object of a class, which may hold a secret, by what it is. */
function plainOrSame(this: unknown, name: string, value: unknown): unknown {
  const given: unknown = Reflect.get(Object(this), name)
  if (typeof given === "function") return { same: numberOf(given) }
  if (typeof given !== "object" || given === null || Array.isArray(given)) return value
  const prototype: unknown = Object.getPrototypeOf(given)
  return prototype === Object.prototype || prototype === null ? value : { same: numberOf(given) }
}

// A table, for these objects are the user's.
const numbers = new WeakMap<object, number>()
let last = 0

const numberOf = (object: object): number => {
  const number = numbers.get(object) ?? ++last
  numbers.set(object, number)
  return number
}
