/** The types of the `openai` package, read from the text of its declarations: which members a request may have. */
import * as Fs from "node:fs"
import * as Path from "node:path"

/** A member of a request's type; `[]` stands for the elements of an array: `tools[].function.name`. */
export interface TypedMember {
  readonly path: string
  /** The texts that it may be, where its type names some. */
  readonly literals: ReadonlySet<string>
}

/** Every member that a type of one of the package's declarations reaches, by its path. Recursion ends where it repeats. */
export const membersOf = (file: string, type: string): ReadonlyMap<string, TypedMember> => {
  const found = new Map<string, { readonly path: string; readonly literals: Set<string> }>()
  const at = (path: string) => {
    const member = found.get(path) ?? { path, literals: new Set<string>() }
    found.set(path, member)
    return member
  }
  const walk = (text: string, module: Module, scope: string, path: string, open: ReadonlyArray<string>): void => {
    for (const part of split(text, "|")) {
      const [, literal] = /^'(.*)'$/u.exec(part) ?? []
      const [, element] = /^(?:Array|ReadonlyArray)<(.*)>$/su.exec(part) ?? []
      if (literal !== undefined) at(path).literals.add(literal)
      else if (element !== undefined) walk(element, module, scope, `${path}[]`, open)
      else if (part.endsWith("[]")) walk(part.slice(0, -2), module, scope, `${path}[]`, open)
      else if (part.startsWith("(")) walk(part.slice(1, -1), module, scope, path, open)
      else if (part.startsWith("{")) walkBody(part.slice(1, -1), module, scope, path, open)
      else if (/^[A-Z][\w.]*$/u.test(part)) {
        const named = resolve(part, module, scope)
        if (named === undefined) throw new Error(`${module.file}: ${part} is not found, at ${path}`)
        const id = `${named.module.file} ${named.name}`
        // A type within itself, such as a filter of filters, is walked once more at most.
        if (open.filter((one) => one === id).length < 2) walkNamed(named, path, [...open, id])
      }
    }
  }
  const walkNamed = ({ declaration, module, name }: Named, path: string, open: ReadonlyArray<string>): void => {
    const scope = name.split(".").slice(0, -1).join(".")
    if (declaration.kind === "type") walk(declaration.text, module, scope, path, open)
    else {
      for (const parent of declaration.parents) walk(parent, module, scope, path, open)
      walkBody(declaration.text, module, scope, path, open)
    }
  }
  const walkBody = (body: string, module: Module, scope: string, path: string, open: ReadonlyArray<string>): void => {
    for (const member of split(body, ";")) {
      const [, key, of] = /^(?:readonly )?(\w+)\??:\s*(.*)$/su.exec(member) ?? []
      if (key === undefined || of === undefined) continue
      const below = path === "" ? key : `${path}.${key}`
      at(below)
      walk(of, module, scope, below, open)
    }
  }
  walk(type, moduleAt(Path.join(root, file)), "", "", [])
  return found
}

const root = Path.resolve(import.meta.dirname, "../node_modules/openai/resources")

interface Declaration {
  readonly kind: "interface" | "type"
  readonly text: string
  readonly parents: ReadonlyArray<string>
}

interface Module {
  readonly file: string
  readonly declarations: ReadonlyMap<string, Declaration>
  readonly imports: ReadonlyMap<string, { readonly file: string; readonly name: string | undefined }>
}

interface Named {
  readonly module: Module
  readonly name: string
  readonly declaration: Declaration
}

const modules = new Map<string, Module>()

const moduleAt = (file: string): Module => {
  const known = modules.get(file)
  if (known !== undefined) return known
  const source = Fs.readFileSync(file, "utf8")
    .replaceAll(/\/\*.*?\*\//gsu, "")
    .replaceAll(/^\s*\/\/.*$/gmu, "")
  const imports = new Map<string, { readonly file: string; readonly name: string | undefined }>()
  for (const [, all, some, from = ""] of source.matchAll(
    /import (?:type )?(?:\* as (\w+)|\{([^}]*)\}) from ["'](\.[^"']*)["'];/gu
  )) {
    const target = Path.resolve(Path.dirname(file), from.replace(/\.js$/u, ".d.ts"))
    if (all !== undefined) imports.set(all, { file: target, name: undefined })
    for (const one of some?.split(",") ?? []) {
      const [name = "", as = name] = one
        .trim()
        .replace(/^type /u, "")
        .split(" as ")
      imports.set(as, { file: target, name })
    }
  }
  const declarations = new Map<string, Declaration>()
  declare(source, "", declarations)
  const module = { file, declarations, imports }
  modules.set(file, module)
  return module
}

const declare = (source: string, scope: string, into: Map<string, Declaration>): void => {
  const head = /\b(interface|namespace|class|type) (\w+)(?:<[^{=]*>)?\s*(?:extends ([^{]*))?(\{|=)/gu
  for (let found = head.exec(source); found !== null; found = head.exec(source)) {
    const [, kind, name = "", parents = "", opening] = found
    const end = opening === "=" ? endOf(source, head.lastIndex, ";") : endOf(source, head.lastIndex, "}")
    const text = source.slice(head.lastIndex, end)
    const qualified = scope === "" ? name : `${scope}.${name}`
    if (kind === "namespace") declare(text, qualified, into)
    else if (kind === "type" || kind === "interface") into.set(qualified, { kind, text, parents: split(parents, ",") })
    head.lastIndex = end
  }
}

/** Where a text that began before `from` ends: at a closing sign that closes nothing opened since. */
const endOf = (source: string, from: number, sign: string): number => {
  let depth = 0
  for (let at = from; at < source.length; at++) {
    const each = source[at]!
    if (depth === 0 && each === sign) return at
    if ("{([<".includes(each)) depth++
    if ("})]".includes(each) || (each === ">" && source[at - 1] !== "=")) depth--
  }
  throw new Error(`nothing closes what opens before ${source.slice(from, from + 80)}`)
}

const split = (text: string, sign: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  for (let from = 0; from < text.length;) {
    let end = text.length
    try {
      end = endOf(text, from, sign)
    } catch {
      // The last part ends with the text.
    }
    parts.push(text.slice(from, end).trim())
    from = end + 1
  }
  return parts.filter((part) => part !== "")
}

const resolve = (name: string, module: Module, scope: string): Named | undefined => {
  for (let around = scope; ; around = around.split(".").slice(0, -1).join(".")) {
    const qualified = around === "" ? name : `${around}.${name}`
    const declaration = module.declarations.get(qualified)
    if (declaration !== undefined) return { module, name: qualified, declaration }
    if (around === "") break
  }
  const [first = "", ...rest] = name.split(".")
  const imported = module.imports.get(first)
  if (imported === undefined) return undefined
  const target = [...(imported.name === undefined ? [] : [imported.name]), ...rest].join(".")
  return resolve(target, moduleAt(imported.file), "")
}
