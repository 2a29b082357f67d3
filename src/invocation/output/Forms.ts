/**
 * What the provider's own values look like: ids, names, words of the API, bytes in base64. A value of its form at its own place
 * holds no text that a caller reads. Any other value there is judged as text.
 */
import { isFields } from "../../answer/Fields.ts"
import type { OutputJudge } from "./OutputJudge.ts"

/** True for a value that holds no text, or one that is judged elsewhere. */
export type Form = (value: unknown, judge: OutputJudge) => boolean

const wordsOf = (text: string): ReadonlySet<string> => new Set(text.split(" "))

/** What the API says of roles, states, kinds, ends, tiers and settings. */
const words = wordsOf(
  "assistant developer system user tool function critic discriminator unknown " +
    "completed in_progress incomplete failed queued cancelled calling searching interpreting generating " +
    "stop length tool_calls content_filter function_call eos eos_token end_turn error " +
    "message reasoning output_text output_audio refusal text summary_text reasoning_text thinking tool_use tool_call " +
    "web_search_call file_search_call computer_call code_interpreter_call image_generation_call local_shell_call " +
    "shell_call apply_patch_call mcp_call mcp_list_tools mcp_approval_request mcp_approval_response custom_tool_call " +
    "tool_search_call tool_search_output function_call_output custom_tool_call_output program program_output compaction " +
    "computer_call_output local_shell_call_output shell_call_output apply_patch_call_output " +
    "additional_tools custom url_citation file_citation container_file_citation file_path logs image search open_page " +
    "find_in_page exec direct client server list embedding chat.completion chat.completion.chunk text_completion response " +
    "auto default flex scale priority fast ultrafast standard on_demand " +
    "none minimal low medium high xhigh concise detailed disabled json_object json_schema required max_output_tokens"
)

/** The types of a response's events. */
export const eventTypes = wordsOf(
  "error keepalive " +
    (
      "audio.delta audio.done audio.transcript.delta audio.transcript.done " +
      "code_interpreter_call.completed code_interpreter_call.in_progress code_interpreter_call.interpreting " +
      "code_interpreter_call_code.delta code_interpreter_call_code.done compaction.compacting completed " +
      "content_part.added content_part.done create created custom_tool_call_input.delta custom_tool_call_input.done " +
      "failed file_search_call.completed file_search_call.in_progress file_search_call.searching " +
      "function_call_arguments.delta function_call_arguments.done image_generation_call.completed " +
      "image_generation_call.generating image_generation_call.in_progress image_generation_call.partial_image " +
      "in_progress incomplete mcp_call.completed mcp_call.failed mcp_call.in_progress mcp_call_arguments.delta " +
      "mcp_call_arguments.done mcp_list_tools.completed mcp_list_tools.failed mcp_list_tools.in_progress " +
      "output_item.added output_item.done output_text.annotation.added output_text.delta output_text.done queued " +
      "reasoning_summary_part.added reasoning_summary_part.done reasoning_summary_text.delta " +
      "reasoning_summary_text.done reasoning_text.delta reasoning_text.done refusal.delta refusal.done " +
      "shell_call_command.added shell_call_command.delta shell_call_command.done shell_call_output_content.delta " +
      "shell_call_output_content.done steer steer.accepted steer.failed steer.pending " +
      "web_search_call.completed web_search_call.in_progress web_search_call.searching"
    ).replaceAll(/[^ ]+/g, "response.$&")
)

/** One of the API's own words. */
export const isWord: Form = (value) => typeof value === "string" && words.has(value)

/** The type of an event that the API knows. */
export const isEventType: Form = (value) => typeof value === "string" && eventTypes.has(value)

/** An id: no more than 256 characters, no white space, and a digit, a dash or an underscore: no word of a language. */
export const isId: Form = (value) =>
  typeof value === "string" && value.length <= 256 && !/[^\w.:/+=@~|-]/.test(value) && /[\d_-]/.test(value)

/** The model that was asked, or a name that looks like an id. */
export const isModel: Form = (value, judge) => typeof value === "string" && (judge.isAsked(value) || isId(value, judge))

/** Base64 with the first bytes of a PNG, JPEG, WebP or GIF image. */
export const isImage: Form = (value) =>
  typeof value === "string" && /^(?:iVBORw0KGgo|\/9j\/|UklGR|R0lGOD)/.test(value) && isBase64(value)

/** Sound in base64. */
export const isSound: Form = (value) => typeof value === "string" && isBase64(value)

/** A list of numbers is no text; base64 is an embedding where its bytes are the small 32-bit floats of one. */
export const isEmbedding: Form = (value) => {
  if (typeof value !== "string" || !isBase64(value)) return false
  const bytes = Buffer.from(value, "base64")
  if (bytes.length === 0 || bytes.length % 4 !== 0) return false
  for (let at = 0; at < bytes.length; at += 4) {
    const size = Math.abs(bytes.readFloatLE(at))
    if (!(size === 0 || (size > 1e-12 && size < 1e3))) return false
  }
  return true
}

/** What is encrypted: 32 characters or more of base64, of either alphabet, with a digit. */
export const isEncrypted: Form = (value) =>
  typeof value === "string" && value.length >= 32 && !/[^\w+/=-]/.test(value) && /\d/.test(value)

/**
 * Random letters and digits that hide how long an event is. Literals of five units or more do not stand there by chance, so
 * a value that holds one is text.
 */
export const isPadding: Form = (value, { denied, rules }) =>
  typeof value === "string" &&
  /^[A-Za-z0-9]{0,64}$/.test(value) &&
  (denied.literals?.search(value) === undefined ||
    !rules.denied.some(({ sought }) => typeof sought === "string" && sought.length >= 5 && value.includes(sought)))

/** A list, an object, a text, or anything, whose texts are judged by themselves. */
export const isListApart: Form = Array.isArray
export const isObjectApart: Form = isFields
export const areChoices: Form = (value) => Array.isArray(value) || isFields(value)
export const isTextApart: Form = (value) => typeof value === "string"
export const isApart: Form = () => true

/** No repetition that could be tried again: an image has millions of characters. */
const isBase64 = (text: string): boolean => {
  if (text.length % 4 !== 0 || /[^A-Za-z0-9+/=]/.test(text)) return false
  const padding = text.indexOf("=")
  return padding === -1 || padding >= text.length - 2
}
