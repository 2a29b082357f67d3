import * as Prompt from "effect/ai/Prompt"
import { describe, expect, it } from "vitest"
import { messagesOf } from "../../src/ai/Messages.ts"

const of = (...messages: ReadonlyArray<Prompt.MessageEncoded>) => messagesOf(Prompt.make(messages))
const file = (mediaType: string, data: string | URL | Uint8Array, fileName?: string) =>
  ({ role: "user", content: [{ type: "file", mediaType, data, ...(fileName && { fileName }) }] }) as const

describe("a prompt as messages", () => {
  it.each<[string, Prompt.MessageEncoded, unknown]>([
    ["text", { role: "user", content: "Hi" }, { role: "user", content: "Hi" }],
    [
      "several texts",
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" }
        ]
      },
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" }
        ]
      }
    ],
    [
      "an image by its URL",
      file("image/png", new URL("https://a.test/b.png")),
      { role: "user", content: [{ type: "image_url", image_url: { url: "https://a.test/b.png" } }] }
    ],
    [
      "an image by its bytes",
      file("image/*", new Uint8Array([1, 2])),
      { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/jpeg;base64,AQI=" } }] }
    ],
    [
      "audio",
      file("audio/mpeg", "AQI="),
      { role: "user", content: [{ type: "input_audio", input_audio: { data: "AQI=", format: "mp3" } }] }
    ],
    [
      "a PDF",
      file("application/pdf", "AQI=", "a.pdf"),
      {
        role: "user",
        content: [{ type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AQI=" } }]
      }
    ],
    [
      "what the model said, without its reasoning",
      {
        role: "assistant",
        content: [
          { type: "reasoning", text: "hm" },
          { type: "text", text: "a" },
          { type: "text", text: "b" },
          { type: "tool-call", id: "c1", name: "weather", params: { city: "Paris" } },
          { type: "tool-call", id: "c2", name: "web", params: {}, providerExecuted: true }
        ]
      },
      {
        role: "assistant",
        content: "ab",
        tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: '{"city":"Paris"}' } }]
      }
    ],
    [
      "a tool's result",
      {
        role: "tool",
        content: [{ type: "tool-result", id: "c1", name: "weather", isFailure: false, result: { sky: "blue" } }]
      },
      { role: "tool", tool_call_id: "c1", content: '{"sky":"blue"}' }
    ],
    [
      "a tool's result that is text, and is kept as it is",
      {
        role: "tool",
        content: [{ type: "tool-result", id: "c1", name: "weather", isFailure: true, result: "closed" }]
      },
      { role: "tool", tool_call_id: "c1", content: "closed" }
    ]
  ])("%s", (_name, message, expected) => {
    expect(of(message)).toEqual([expected])
  })

  it("leaves out what says nothing", () => {
    expect(of({ role: "assistant", content: [{ type: "reasoning", text: "hm" }] })).toEqual([])
  })

  it.each<[string, Prompt.MessageEncoded]>([
    ["video/mp4", file("video/mp4", "AQI=")],
    ["by its bytes", file("audio/wav", new URL("https://a.test/b.wav"))],
    [
      "something that the model said",
      { role: "assistant", content: [{ type: "file", mediaType: "image/png", data: "AQI=" }] }
    ]
  ])("refuses what has no place, and says so: %s", (said, message) => {
    expect(() => of(message)).toThrow(said)
  })
})
