/**
 * Judges a plain answer by output rules (mapl §8), whole: what breaks one refuses all of it. What is not known of an answer is
 * searched as text.
 *
 * @since 0.2.0
 */
import { type Fields, isFields, itemsOf, textOf } from "../../answer/Fields.ts"
import { itemToolCalls, messageToolCalls } from "../../answer/ToolCalls.ts"
import type { OutputJudge } from "./OutputJudge.ts"
import * as Texts from "./Texts.ts"

/** Judges the answer of a model. */
export const judgeAnswer = (answer: unknown, judge: OutputJudge): void => {
  if (isFields(answer)) judge.model(answer["model"])
  if (isFields(answer) && Array.isArray(answer["choices"])) judgeCompletion(answer, judge)
  else if (isFields(answer) && Array.isArray(answer["output"])) judgeResponse(answer, judge)
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
  if (judge.seeks) new Texts.Follower(judge).follow(error, "error", "error", Texts.error)
}

const judgeCompletion = (answer: Fields, judge: OutputJudge): void => {
  new Texts.Follower(judge).follow(answer, "answer", "answer", Texts.completion)
  itemsOf(answer["choices"]).forEach((choice, i) => {
    const path = `choices[${i}]`
    const texts = new Texts.Follower(judge)
    if (!isFields(choice)) return judge.length(texts.follow(choice, "text", path), path)
    const { message } = choice
    let length = texts.follow(choice, "choice", path, Texts.wholeChoice)
    for (const call of messageToolCalls(message, `${path}.message`)) {
      judge.toolCall(call)
      length += call.text.length
    }
    if (isFields(message) && isFields(message["audio"])) {
      const { data, transcript } = message["audio"]
      if (data !== undefined && data !== null && textOf(transcript) === "") judge.sound(`${path}.message.audio`)
    }
    judge.length(length, isFields(message) ? `${path}.message` : path)
  })
}

/**
 * Judges a response of the Responses API. What it repeats of the request (`instructions`, `tools`, …) is the caller's own.
 */
export const judgeResponse = (response: Fields, judge: OutputJudge): void => {
  const texts = new Texts.Follower(judge)
  let length = 0
  itemsOf(response["output"]).forEach((item, i) => {
    const path = `output[${i}]`
    for (const call of itemToolCalls(item, path)) judge.toolCall(call)
    // Texts of one kind are one, as a reader puts them together.
    const type = isFields(item) ? textOf(item["type"]) : ""
    const told = texts.follow(item, `output.${type}`, path, itemOf(type))
    if (isSpoken(type)) length += told
  })
  const spoken = texts.follow(response["output_text"], "output_text", "output_text")
  judge.length(Math.max(length, spoken), "output")
  texts.follow(response, "response", "response", Texts.response)
}

/** What is known of an item by its type. */
export const itemOf = (type: string): Texts.Known => (type === "image_generation_call" ? Texts.imageItem : Texts.item)

/** True for an item whose texts are the answer's: not for lists of tools, nor for what tools answered before. */
export const isSpoken = (type: string): boolean =>
  !type.endsWith("_output") && type !== "mcp_list_tools" && type !== "additional_tools"
