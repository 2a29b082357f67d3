/**
 * Judges a plain answer by output rules (mapl §6a), whole: what breaks one refuses all of it. What is not known of an answer is
 * searched as text.
 *
 * @since 0.2.0
 */
import { type Fields, isFields, itemsOf, nothing, type OutputJudge, placeOf, textOf } from "./OutputJudge.ts"
import { isToolItem, judgeMessageTools, judgeToolItem } from "./ToolItems.ts"

/** Judges the answer of a model. */
export const judgeAnswer = (answer: unknown, judge: OutputJudge): void => {
  if (!isFields(answer)) return judge.search(answer, "answer")
  judge.model(answer["model"])
  if (Array.isArray(answer["choices"])) judgeCompletion(answer, judge)
  else if (Array.isArray(answer["output"])) judgeResponse(answer, judge)
  else judge.search(answer, "answer")
}

/** Judges what a registered tool answers: all of it is text. */
export const judgeToolAnswer = (answer: unknown, judge: OutputJudge): void => {
  const text = typeof answer === "string" ? answer : (JSON.stringify(answer) ?? "")
  judge.text(text, "answer")
  if (typeof answer !== "string" && text !== "") judge.search(JSON.parse(text), "answer", nothing)
  judge.length(text.length, "answer")
}

const judgeCompletion = (answer: Fields, judge: OutputJudge): void => {
  const { choices: _, ...others } = answer
  judge.search(others, "answer")
  itemsOf(answer["choices"]).forEach((choice, i) => {
    const path = `choices[${i}]`
    const { message, text, ...others } = isFields(choice) ? choice : { text: choice }
    judge.search(others, path)
    if (!isFields(message)) {
      judge.search(text, `${path}.text`)
      return judge.length(textOf(text).length, path)
    }
    judgeMessageTools(message, `${path}.message`, judge)
    let characters = 0
    for (const key in message) {
      const value = message[key]
      const place = placeOf(`${path}.message`, key)
      if (key === "role" || key === "tool_calls" || key === "function_call") continue
      if (key === "audio" && isFields(value)) {
        const { data, ...told } = value
        if (data !== undefined && textOf(told["transcript"]) === "") judge.sound(place)
        judge.search(told, place)
        characters += textOf(told["transcript"]).length
      } else {
        const parts = textOfParts(value)
        judge.text(parts, place)
        judge.search(value, place)
        characters += parts.length
      }
    }
    judge.length(characters, `${path}.message`)
  })
}

/** A text, or the texts of its parts as a reader puts them together. */
export const textOfParts = (value: unknown): string =>
  typeof value === "string"
    ? value
    : itemsOf(value)
        .map((part) => (isFields(part) ? textOf(part["text"]) || textOf(part["refusal"]) : ""))
        .join("")

/**
 * Judges a response of the Responses API. What it repeats of the request (`instructions`, `tools`, …) is the caller's own.
 */
export const judgeResponse = (response: Fields, judge: OutputJudge): void => {
  const output = itemsOf(response["output"])
  let spoken = ""
  output.forEach((item, i) => {
    const path = `output[${i}]`
    if (!isFields(item)) return judge.search(item, path)
    if (isToolItem(item)) judgeToolItem(item, path, judge)
    judge.search(item, path)
    const text = textOfParts(item["content"])
    judge.text(text, path)
    judge.length(text.length + textOfParts(item["summary"]).length, path)
    if (item["type"] === "message") spoken += text
  })
  // As a reader puts them together.
  judge.text(spoken, "output")
  judge.search(response["output_text"], "output_text")
  judge.length(Math.max(spoken.length, textOf(response["output_text"]).length), "output")
  for (const key of ["error", "incomplete_details"]) judge.search(response[key], key)
}
