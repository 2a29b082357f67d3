/** `braintrust` wraps a client and logs each call but legacy completions; here into memory. */
import { _exportsForTestingOnly, initLogger, wrapOpenAI } from "braintrust"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { PolicyDeniedError } from "../../src/index.ts"
import { deeds, isCapped, refusable } from "./Face.ts"
import { clients, expectCalls, expectRefused, refusedClients, useWorld } from "./World.ts"

const world = useWorld()
let logged: ReturnType<typeof _exportsForTestingOnly.useTestBackgroundLogger>
beforeAll(async () => {
  await _exportsForTestingOnly.simulateLoginForTests()
  logged = _exportsForTestingOnly.useTestBackgroundLogger()
  initLogger({ projectName: "test", projectId: "test-project" })
})
afterAll(() => {
  _exportsForTestingOnly.clearTestBackgroundLogger()
  _exportsForTestingOnly.simulateLogoutForTests()
})

describe.each(clients)("wrapOpenAI around %s", (_name, who, cap) => {
  it.each(deeds)("leaves %s as it is", async (deed, run, expected) => {
    await logged.drain()
    expect(await run(wrapOpenAI(world()[who]))).toEqual(expected)
    await expectCalls(world(), 1, isCapped(deed) ? cap : undefined)
    if (deed !== "complete") expect((await logged.drain()).length).toBeGreaterThan(0)
  })
})

it.each(refusedClients)("hands on the refusal of %s", async (_name, who) => {
  for (const refused of refusable(wrapOpenAI(world()[who])))
    await expect(refused).rejects.toBeInstanceOf(PolicyDeniedError)
  await expectRefused(world())
})
