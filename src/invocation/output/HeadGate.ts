/**
 * Judges the head of a response by output rules: its headers, its reason phrase, and the URL that a redirect led to. A caller
 * reads them as it reads the body. Until they are judged, {@link veil} keeps denied texts in them from the SDK, which logs them.
 */
import { STATUS_CODES } from "node:http"
import { readingsOf } from "../../base/JsonEscapes.ts"
import type { DeniedText, OutputRules } from "../../call/Judge.ts"
import type { ResponseHead } from "../../call/ResponseHead.ts"
import { type DeniedTexts, deniedTexts } from "./DeniedTexts.ts"
import type { OutputJudge } from "./OutputJudge.ts"

/**
 * Judges the head of an answer. The values of fields that HTTP, its proxies and the provider's limits have are no text where
 * they are one word; the others of those are searched for denied literals alone, for patterns match their numbers by chance.
 * Any other field is text, and so is its name. A reason phrase of the HTTP registry is not judged.
 */
export const judgeHead = ({ headers, statusText = "", url }: ResponseHead, judge: OutputJudge): void => {
  if (!judge.seeks) return
  for (const [name, value] of headers) {
    const found = deniedIn(name, value, judge.denied)
    if (found !== undefined) judge.found(found, "headers")
  }
  if (!phrases.has(statusText)) judge.text(statusText, "statusText")
  if (url !== undefined) for (const reading of readingsOfUrl(url)) judge.text(reading, "url")
}

/**
 * Hides the denied texts of `rules` in the head of a response that was requested from `url`: fields that hold one are absent,
 * the reason phrase is empty, the URL is the requested one. Returns the function that shows the head as it was received;
 * undefined where nothing was hidden.
 */
export const veil = (response: Response, url: string, rules: OutputRules): (() => void) | undefined => {
  const denied = deniedTexts(rules)
  const shown: Array<[name: string, value: string]> = []
  let count = 0
  for (const [name, value] of response.headers) {
    count++
    if (deniedIn(name, value, denied) === undefined) shown.push([name, value])
  }
  const { statusText } = response
  const members: PropertyDescriptorMap = {
    ...(shown.length < count && { headers: { value: new Headers(shown) } }),
    ...(!phrases.has(statusText) && holds(denied, statusText) && { statusText: { value: "" } }),
    ...(response.url !== url &&
      readingsOfUrl(response.url).some((each) => holds(denied, each)) && { url: { value: url } })
  }
  const names = Object.keys(members)
  if (names.length === 0) return undefined
  const before = names.map((name) => Object.getOwnPropertyDescriptor(response, name))
  for (const name of names) Object.defineProperty(response, name, { ...members[name], configurable: true })
  return () =>
    names.forEach((name, i) => {
      const own = before[i]
      if (own === undefined) Reflect.deleteProperty(response, name)
      else Object.defineProperty(response, name, own)
    })
}

/** True for a text, as it is written or as it reads once JSON's escapes are undone, that holds a denied text of `rules`. */
export const holdsDenied = (text: string, rules: OutputRules): boolean => holds(deniedTexts(rules), text)

const holds = (denied: DeniedTexts, text: string): boolean =>
  readingsOf(text).some((reading) => denied.search(reading) !== undefined)

/** The denied text that a header field holds, in its name or its value. */
const deniedIn = (name: string, value: string, denied: DeniedTexts): DeniedText | undefined => {
  if (usualFields.has(name) || usualBeginnings.test(name))
    return /[^\w.:/+=@~|*-]/.test(value) ? denied.literals?.search(value) : undefined
  for (const text of [name, value])
    for (const reading of readingsOf(text)) {
      const found = denied.search(reading)
      if (found !== undefined) return found
    }
  return undefined
}

/** A URL as it is written, and without its percent-encoding where that is UTF-8. */
const readingsOfUrl = (url: string): ReadonlyArray<string> => {
  try {
    return [url, decodeURIComponent(url)]
  } catch {
    return [url]
  }
}

/** Reason phrases that say nothing but the status, and none at all, as in HTTP/2. */
const phrases: ReadonlySet<string> = new Set([
  "",
  ...Object.values(STATUS_CODES).filter((phrase) => phrase !== undefined)
])

const usualFields: ReadonlySet<string> = new Set(
  (
    "accept-ranges age allow alt-svc apim-request-id azureml-model-session cache-control cf-cache-status cf-ray connection " +
    "content-encoding content-language content-length content-security-policy content-type date etag expires keep-alive " +
    "last-modified nel openai-model openai-organization openai-processing-ms openai-project openai-version " +
    "permissions-policy pragma priority proxy-status referrer-policy report-to reporting-endpoints request-id retry-after " +
    "retry-after-ms server server-timing set-cookie strict-transport-security trailer transfer-encoding vary via " +
    "www-authenticate x-accel-buffering x-cache x-content-type-options x-envoy-upstream-service-time x-frame-options " +
    "x-powered-by x-request-id x-should-retry x-xss-protection"
  ).split(" ")
)
const usualBeginnings = /^(?:access-control-|cross-origin-|x-ms-|x-ratelimit-)/
