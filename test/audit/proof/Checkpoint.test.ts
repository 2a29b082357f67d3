import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import {
  checkpointText,
  formatVerifierKey,
  parseNote,
  parseVerifierKey,
  parseVerifierKeys,
  signCheckpoint,
  verifierKey,
  verifyNote
} from "../../../src/audit/proof/Checkpoint.ts"
import { leafHash } from "../../../src/audit/proof/MerkleTree.ts"
import { generate, verify } from "../../../src/keys/Keys.ts"

const key = generate("log")
const checkpoint = { origin: "secure-openai/0123456789abcdef", size: 42, root: leafHash("x") }
const vkey = verifierKey(checkpoint.origin, key.publicKey)

describe("Checkpoint", () => {
  it("reads a vkey and a signature of another implementation of signed notes", () => {
    // The example of Go's package golang.org/x/mod/sumdb/note.
    const parsed = Result.getOrThrow(
      parseVerifierKey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    )
    const text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    const line = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    const signature = Buffer.from(line, "base64")
    assert.deepStrictEqual([...signature.subarray(0, 4)], [...parsed.keyId])
    assert.isTrue(verify(parsed.publicKey, Buffer.from(text), signature.subarray(4)))
  })

  it("signs what it reads back", () => {
    const note = signCheckpoint(checkpoint, key)
    const parsed = Result.getOrThrow(parseNote(note))
    assert.strictEqual(parsed.text, checkpointText(checkpoint))
    assert.deepStrictEqual(
      { origin: parsed.origin, size: parsed.size, root: [...parsed.root] },
      { ...checkpoint, root: [...checkpoint.root] }
    )
    assert.isTrue(verifyNote(parsed, [vkey]))
    assert.deepStrictEqual(Result.getOrThrow(parseVerifierKeys(`${formatVerifierKey(vkey)}\n`)), [vkey])
  })

  it("accepts one good signature among others, and none of others alone", () => {
    const other = generate("log")
    const line = signCheckpoint(checkpoint, key).split("\n\n")[1] ?? ""
    const foreign = signCheckpoint({ ...checkpoint, origin: "witness.example" }, other).split("\n\n")[1] ?? ""
    const note = (lines: string) => Result.getOrThrow(parseNote(`${checkpointText(checkpoint)}\n${lines}`))
    assert.isTrue(verifyNote(note(foreign + line), [vkey]))
    assert.isFalse(verifyNote(note(foreign), [vkey, verifierKey("witness.example", other.publicKey)]))
    assert.isFalse(verifyNote(note(line), [verifierKey(checkpoint.origin, other.publicKey)]))
  })

  it("refuses what is not exactly a checkpoint", () => {
    const note = signCheckpoint(checkpoint, key)
    for (const wrong of [
      "",
      note.slice(0, -1),
      note.replace("\n\n", "\n"),
      note.replace("\n42\n", "\n042\n"),
      note.replace("\n42\n", "\n-42\n"),
      note.replace("\n42\n", "\n9007199254740993\n"),
      note.replace("\n\n", "\nextension\n\n"),
      note.replace("— ", "- "),
      `${note}\n`,
      note.replace("secure-openai/", "secure openai/")
    ])
      assert.isTrue(Result.isFailure(parseNote(wrong)), JSON.stringify(wrong))
  })
})
