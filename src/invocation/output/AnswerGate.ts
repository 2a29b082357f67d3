/**
 * Judges a plain answer by output rules (mapl §8), whole: what breaks one refuses all of it. What is not known of an answer is
 * searched as text.
 */
import { type Fields, isFields, itemsOf, textOf } from "../../answer/Fields.ts"
import { messageToolCalls } from "../../answer/ToolCall.ts"
import { toolCallsOf } from "../../answer/ToolCalls.ts"
import type { OutputJudge } from "./OutputJudge.ts"
import * as Texts from "./Texts.ts"

/** Judges the answer of a model. */
export const judgeAnswer = (answer: unknown, judge: OutputJudge): void => {
  if (isFields(answer)) judge.model(answer["model"])
  for (const call of toolCallsOf(answer)) judge.toolCall(call)
  if (isFields(answer) && Array.isArray(answer["choices"])) judgeCompletion(answer, judge)
  else if (isFields(answer) && (Array.isArray(answer["output"]) || answer["object"] === "response"))
    judgeResponse(answer, judge)
  else new Texts.Follower(judge).follow(answer, "answer", "answer", Texts.list)
}

/** Judges what a registered tool answers: all of it is text. */
export const judgeToolAnswer = (answer: unknown, judge: OutputJudge): void => {
  const text = typeof answer === "string" ? answer : (JSON.stringify(answer) ?? "")
  judge.text(text, "answer")
  if (typeof answer !== "string" && text !== "") judge.texts(JSON.parse(text), "answer")
  judge.length(text.length, "answer")
}

/** Judges the error that a provider answers with: its body, or the event of a stream. */
export const judgeError = (error: unknown, judge: OutputJudge): void => {
  if (!judge.seeks) return
  for (const call of toolCallsOf(error)) judge.toolCall(call)
  new Texts.Follower(judge).follow(error, "error", "error", Texts.error)
}

const judgeCompletion = (answer: Fields, judge: OutputJudge): void => {
  new Texts.Follower(judge).follow(answer, "answer", "answer", Texts.completion)
  itemsOf(answer["choices"]).forEach((choice, i) => {
    const path = `choices[${i}]`
    const texts = new Texts.Follower(judge)
    if (!isFields(choice)) return judge.length(texts.follow(choice, "text", path), path)
    const { message } = choice
    let length = 0
    for (const { text } of messageToolCalls(message, `${path}.message`)) length += text.length
    length += texts.follow(choice, "choice", path, Texts.wholeChoice)
    if (isFields(message) && isFields(message["audio"])) {
      const { data, transcript } = message["audio"]
      if (data !== undefined && data !== null && textOf(transcript) === "") judge.sound(`${path}.message.audio`)
    }
    judge.length(length, isFields(message) ? `${path}.message` : path)
  })
}

/**
 * Judges the texts of a response of the Responses API. What it repeats of the request (`instructions`, `tools`, …) is the caller's own.
 */
export const judgeResponse = (response: Fields, judge: OutputJudge): void => {
  const texts = new Texts.Follower(judge)
  let length = 0
  itemsOf(response["output"]).forEach((item, i) => {
    const path = `output[${i}]`
    // Texts of one kind are one, as a reader puts them together.
    const type = isFields(item) ? textOf(item["type"]) : ""
    const told = texts.follow(item, `output.${Texts.kindOf(type, judge)}`, path, Texts.itemOf(type))
    if (isSpoken(type)) length += told
  })
  const { output_text: text } = response
  const spoken = typeof text === "string" ? texts.follow(text, "output_text", "output_text") : 0
  judge.length(Math.max(length, spoken), "output")
  texts.follow(response, "response", "response", Texts.response)
}

/** True for an item whose texts are the answer's: not for lists of tools, nor for what tools answered before. */
export const isSpoken = (type: string): boolean =>
  !type.endsWith("_output") && type !== "mcp_list_tools" && type !== "additional_tools"
