/**
 * The table of families against the SDK that is installed: every method of every resource is called, and whatever request it
 * makes must be a protected operation or stand in the table. An update of the SDK that adds a request turns this red.
 */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { OpenAI } from "openai"
import {
  type FamilyUse,
  familyUse,
  mustBeNamed,
  otherFamilyName,
  passedFamilies,
  waysToModels
} from "../../src/call/Families.ts"
import { classify, familyUseAt } from "../../src/call/Operation.ts"

const base = "https://api.openai.com/v1"

/** What a method is called with, whatever it asks for: any member that holds an id is one, and so is its text. */
const anything: object = new Proxy(
  {},
  {
    get: (_, name) => {
      if (name === Symbol.toPrimitive || name === "toString") return () => "id"
      return typeof name === "string" && /id$|checkpoint$|version$/iu.test(name) ? "id" : undefined
    }
  }
)

/** An answer that never comes. */
const pending: object = Object.assign(new Promise(() => {}), { _thenUnwrap: () => pending })

/** A method that sends by itself; others, which stream, poll or upload in parts, call these. */
const sends = /_client\s*\.(?:get|post|put|patch|delete|getAPIList)\(/u

/** Every request that the resources of a client make: `POST /chat/completions`. */
const requestsOfSdk = async (): Promise<ReadonlySet<string>> => {
  const requests = new Set<string>()
  const made: Array<Promise<unknown>> = []
  const client = new OpenAI({ apiKey: "k" })
  const record = (method: string, path: string): object => {
    requests.add(`${method.toUpperCase()} ${path}`)
    return pending
  }
  for (const method of ["get", "post", "put", "patch", "delete"] as const)
    Object.defineProperty(client, method, {
      value: (path: string, options: unknown) => {
        // Bodies of many parts are made meanwhile, and "anything" makes none.
        made.push(Promise.resolve(options).catch(() => undefined))
        return record(method, path)
      }
    })
  Object.defineProperty(client, "getAPIList", {
    value: (path: string, _: unknown, options?: unknown) => {
      made.push(
        Promise.resolve(options).then((read) => {
          record((read as { readonly method?: string } | undefined)?.method ?? "get", path)
        })
      )
      return pending
    }
  })
  const visit = (resource: object): void => {
    for (const [name, { value }] of Object.entries(
      Object.getOwnPropertyDescriptors(Object.getPrototypeOf(resource) as object)
    ))
      if (name !== "constructor" && typeof value === "function" && sends.test(String(value)))
        void Promise.resolve(Reflect.apply(value, resource, ["id", anything, {}])).catch(() => {})
    visitBelow(resource)
  }
  const visitBelow = (resource: object): void => {
    for (const [name, value] of Object.entries(resource))
      if (name !== "_client" && typeof value === "object" && value !== null && "_client" in value) visit(value)
  }
  visitBelow(client)
  await Promise.all(made)
  return requests
}

/** Every path that the SDK's sources name in a request, with ids as `id`. */
const pathsInSources = (): ReadonlySet<string> => {
  const root = join(dirname(createRequire(import.meta.url).resolve("openai")), "resources")
  const paths = new Set<string>()
  for (const file of readdirSync(root, { recursive: true, encoding: "utf8" }))
    if (file.endsWith(".mjs"))
      for (const [, plain, template] of readFileSync(join(root, file), "utf8").matchAll(
        /_client\s*\.(?:get|post|put|patch|delete|getAPIList)\(\s*(?:'([^']+)'|path\s*`([^`]+)`)/gu
      ))
        paths.add((plain ?? template ?? "").replaceAll(/\$\{[^}]+\}/gu, "id"))
  return paths
}

const isProtected = (request: string): boolean => {
  const [method = "", path = ""] = request.split(" ")
  return classify(method, `${base}${path}`, base)._tag === "Protected"
}

describe("the table of families", () => {
  it("has every request that the SDK makes", async () => {
    const requests = await requestsOfSdk()
    const seen = new Set([...requests].map((request) => request.slice(request.indexOf(" ") + 1)))
    assert.deepStrictEqual(
      [...pathsInSources()].filter((path) => !seen.has(path)),
      [],
      "paths that no call made"
    )
    const unknown = [...requests].filter((request) => {
      const [method = "", path = ""] = request.split(" ")
      return !isProtected(request) && familyUse(method, path.replace(/\?.*$/u, "")) === undefined
    })
    assert.deepStrictEqual(unknown, [])
    assert.isAbove(requests.size, 300)
  })

  const rows: ReadonlyArray<readonly [string, FamilyUse]> = [
    ["GET /models", "passes"],
    ["HEAD /models", "passes"],
    ["GET /models/gpt-4o", "passes"],
    ["GET /models/meta-llama/llama-3", "passes"],
    ["GET /models/ft:gpt-4o:me::1", "passes"],
    ["DELETE /models/gpt-4o", "changes_models"],
    ["DELETE /models/meta-llama/llama-3", "changes_models"],
    ["POST /models", "reaches_model"],
    ["POST /models/x:generateContent", "reaches_model"],
    ["POST /models/x", "reaches_model"],
    ["PUT /models/x", "reaches_model"],
    ["OPTIONS /models", "reaches_model"],
    ["POST /fine_tuning/alpha/graders/run", "reaches_model"],
    ["POST /fine_tuning/alpha/graders/validate", "passes"],
    ["POST /fine_tuning/alpha/graders/other", "reaches_model"],
    ["POST /fine_tuning/jobs", "changes_models"],
    ["POST /fine_tuning/jobs/ftjob-1/cancel", "changes_models"],
    ["POST /fine_tuning/checkpoints/ft:gpt-4o:me::1/permissions", "reaches_model"],
    ["POST /fine_tuning/checkpoints/cp-1/permissions", "changes_models"],
    ["GET /fine_tuning/jobs", "passes"],
    ["GET /fine_tuning/jobs/ftjob-1/unknown", "reaches_model"],
    ["POST /images/generations", "passes"],
    ["POST /images/chat", "reaches_model"],
    ["POST /files", "passes"],
    ["DELETE /files/f-1", "passes"],
    ["PUT /files/f-1", "reaches_model"],
    ["POST /batches", "passes"],
    ["POST /batches/x:run", "reaches_model"],
    ["POST /threads/x:run", "reaches_model"],
    ["POST /threads/t/runs", "passes"],
    ["POST /vector_stores/v/search", "passes"],
    ["POST /realtime/client_secrets", "reaches_model"],
    ["POST /organization/projects", "changes_models"],
    ["GET /organization/projects", "passes"],
    ["POST /engines/davinci/edits", "reaches_model"],
    ["GET /constructor", "reaches_model"],
    ["GET /__proto__", "reaches_model"],
    ["GET /", "reaches_model"]
  ]
  it.each(rows)("%s: %s", (request, use) => {
    const [method = "", path = ""] = request.split(" ")
    const target = classify(method, `${base}${path}`, base)
    assert.strictEqual(target._tag === "Family" && target.use, use)
    assert.strictEqual(familyUseAt(`${method} ${base}${path}`, path.split("/")[1] ?? ""), use)
  })

  it("reads a path as the lenient do, and takes an unclear one for no read", () => {
    const use = (method: string, path: string) => {
      const target = classify(method, `${base}${path}`, base)
      return target._tag === "Family" ? target.use : target.operation.name
    }
    assert.strictEqual(use("POST", "/fine_tuning//alpha/%67raders/run/"), "reaches_model")
    assert.strictEqual(use("DELETE", "/models/meta%2Fllama"), "changes_models")
    assert.strictEqual(use("GET", "/models/a/../b"), "passes")
    assert.strictEqual(use("GET", "/models/a/%252e%252e/b"), "reaches_model")
    assert.strictEqual(use("GET", "/Models"), "passes")
  })

  it("asks users for the name of a family that is not named, and of what is not harmless", () => {
    for (const family of passedFamilies) {
      assert.isFalse(mustBeNamed(family, "passes"))
      assert.isTrue(mustBeNamed(family, "reaches_model"))
      assert.isTrue(mustBeNamed(family, "changes_models"))
    }
    for (const family of ["realtime", "responses", "beta", ""]) assert.isTrue(mustBeNamed(family, "passes"))
  })

  it("names ways to models, and the families that are beta", () => {
    const families = (isOpen: boolean) =>
      waysToModels.filter((way) => way.isOpen === isOpen).map(({ family }) => family)
    assert.deepStrictEqual(families(true), ["batches", "assistants", "threads"])
    assert.includeMembers(families(false), ["fine_tuning", "agents", "realtime", "live", "evals", "engines"])
    assert.deepStrictEqual(
      [...passedFamilies].filter((family) => otherFamilyName(family) === "beta"),
      ["assistants", "threads", "vector_stores"]
    )
  })
})
