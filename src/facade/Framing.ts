/**
 * What a request's headers may not say: that it is another request than the one that was judged. A protected body is one
 * JSON text in UTF-8, and nothing asks a server or a proxy to take another method, path or host for the ones that were seen.
 *
 * @since 0.2.0
 */

/** Headers by which frameworks and proxies take another method or path for a request's own. */
const rerouting = ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"]

/** The header that makes of a request another one; undefined where none does. */
export const reroutedBy = (headers: Headers): string | undefined => rerouting.find((name) => headers.has(name))

/** True where the headers leave a request with the host that its URL names. */
export const isForHost = (headers: Headers, url: string): boolean => {
  const host = headers.get("host")
  return host === null || host.toLowerCase() === new URL(url).host
}

/** Why a body may be read as another text than the JSON that was judged; undefined where it may not. */
export const misread = (headers: Headers): string | undefined => {
  const coding = headers.get("content-encoding")
  if (coding !== null && coding.toLowerCase() !== "identity") return `its content-encoding is ${JSON.stringify(coding)}`
  const type = headers.get("content-type")
  return type === "application/json" || isJson(type ?? "") ? undefined : `its content-type is ${JSON.stringify(type)}`
}

const isJson = (contentType: string): boolean => {
  const [type = "", ...parameters] = contentType.toLowerCase().split(";")
  return /^application\/([\w.-]+\+)?json$/.test(type.trim()) && parameters.every((parameter) => !isForeign(parameter))
}

const isForeign = (parameter: string): boolean => {
  const [name = "", value = ""] = parameter.split("=")
  return name.trim() === "charset" && !/^"?utf-?8"?$/.test(value.trim())
}
