/**
 * A prompt of `effect/ai` as the messages of a chat completion. What the endpoint has no place for is refused with a reason
 * that names it; the model's own reasoning is left out, and so is what approvals leave behind.
 */
import * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import type { OpenAI } from "openai"

type Message = OpenAI.ChatCompletionMessageParam
type ContentPart = OpenAI.ChatCompletionContentPart

/** The messages; throws an `AiErrorReason` for a part that has no place in them. */
export const messagesOf = (prompt: Prompt.Prompt): Array<Message> => prompt.content.flatMap(messagesFrom)

const messagesFrom = (message: Prompt.Message): ReadonlyArray<Message> => {
  switch (message.role) {
    case "system":
      return [{ role: "system", content: message.content }]
    case "user":
      return [{ role: "user", content: contentOf(message.content) }]
    case "assistant":
      return assistantOf(message.content)
    case "tool":
      return message.content.flatMap((part) =>
        part.type === "tool-result" && !part.providerExecuted
          ? [{ role: "tool", tool_call_id: part.id, content: resultOf(part) }]
          : []
      )
  }
}

/** Text alone stays a string, as policies on `messages[].content` know it. */
const contentOf = (parts: ReadonlyArray<Prompt.UserMessagePart>): string | Array<ContentPart> => {
  const [first, ...others] = parts
  if (first?.type === "text" && others.length === 0) return first.text
  return parts.map((part) => (part.type === "text" ? { type: "text", text: part.text } : fileOf(part)))
}

const fileOf = ({ data, fileName, mediaType }: Prompt.FilePart): ContentPart => {
  const base64 = () => {
    if (data instanceof URL) throw unsupported(`A file of type ${mediaType} is given by its bytes, not by a URL.`)
    return typeof data === "string" ? data : Buffer.from(data).toString("base64")
  }
  if (mediaType.startsWith("image/")) {
    const type = mediaType === "image/*" ? "image/jpeg" : mediaType
    return {
      type: "image_url",
      image_url: { url: data instanceof URL ? data.href : `data:${type};base64,${base64()}` }
    }
  }
  const format = audio.get(mediaType)
  if (format !== undefined) return { type: "input_audio", input_audio: { data: base64(), format } }
  if (mediaType !== "application/pdf")
    throw unsupported(`A chat completion takes images, WAV, MP3 and PDF, and no file of type ${mediaType}.`)
  return {
    type: "file",
    file: { filename: fileName ?? "file.pdf", file_data: `data:application/pdf;base64,${base64()}` }
  }
}

const audio: ReadonlyMap<string, "wav" | "mp3"> = new Map([
  ["audio/wav", "wav"],
  ["audio/mp3", "mp3"],
  ["audio/mpeg", "mp3"]
])

const assistantOf = (parts: ReadonlyArray<Prompt.AssistantMessagePart>): ReadonlyArray<Message> => {
  if (parts.some(({ type }) => type === "file"))
    throw unsupported("A chat completion takes no file as something that the model said.")
  const text = parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("")
  const calls = parts.flatMap((part) =>
    part.type === "tool-call" && !part.providerExecuted
      ? [
          {
            id: part.id,
            type: "function" as const,
            function: { name: part.name, arguments: JSON.stringify(part.params) }
          }
        ]
      : []
  )
  if (text === "" && calls.length === 0) return []
  return [{ role: "assistant", content: text === "" ? null : text, ...(calls.length > 0 && { tool_calls: calls }) }]
}

const resultOf = ({ modelOutput, result }: Prompt.ToolResultPart): string => {
  if (modelOutput?.some(({ type }) => type === "file"))
    throw unsupported("A chat completion takes no file as the result of a tool.")
  if (modelOutput !== undefined)
    return modelOutput.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("")
  return typeof result === "string" ? result : (JSON.stringify(result) ?? "null")
}

const unsupported = (description: string): AiError.InvalidUserInputError =>
  new AiError.InvalidUserInputError({ description })
