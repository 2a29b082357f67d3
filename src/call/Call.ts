/**
 * A {@link Call}: one request to an operation or a tool, as it enters the pipeline.
 */
import * as Result from "effect/Result"
import { contentOf, edited, jsonText, setContent, snapshot } from "../base/CanonicalJson.ts"
import { Content } from "../base/Content.ts"
import { newId } from "../base/Id.ts"
import type { Json, JsonObject } from "../base/Json.ts"
import type { Credentials } from "./Credentials.ts"
import { type Deployment, deploymentOf, type Deployments, redeployed } from "./Deployment.ts"
import { type PolicyDenied, refusal } from "./Errors.ts"
import { behalfOf, type IntentPolicy, type Lineage, narrowed } from "./Lineage.ts"
import { endpointFor, isOperation, type OperationName, operations, toolResource, withoutSlashes } from "./Operation.ts"
import type { Principal } from "./Principal.ts"
import type { RequestQuery } from "./Query.ts"

const none: ReadonlyArray<never> = []

/** What a {@link Call} is made of besides its operation and params. */
export interface CallOptions {
  /** Name of the service that is called; policies know it as `app:<app>`. Default `secure-openai-app`. */
  readonly app?: string | undefined
  /** Agent id of the service: audience of the envelope. Default: `app`. */
  readonly server?: string | undefined
  /** Base URL of the provider. Default `https://api.openai.com/v1`. */
  readonly baseURL?: string | undefined
  /** Method and URL, `POST https://host/path`. Default: the endpoint that serves such params, below `baseURL`. */
  readonly endpoint?: string | undefined
  /** The query with which the request goes to `endpoint`. Default: none. */
  readonly query?: RequestQuery | undefined
  /** Names of headers, in lower case, that were set besides what the SDK sends by itself. Default: none. */
  readonly headers?: ReadonlyArray<string> | undefined
  /** The models that the provider's deployments serve; see {@link Call.deployment}. */
  readonly deployments?: Deployments | undefined
  readonly credentials?: Credentials | undefined
  readonly intents?: ReadonlyArray<IntentPolicy> | undefined
  /** Id of the call that this one was made because of. */
  readonly parent?: string | undefined
  /** The call of this process that this one was made because of. */
  readonly lineage?: Lineage | undefined
  /** Those besides the caller whose policies take part. Default: those of `lineage`. */
  readonly behalf?: ReadonlyArray<Principal> | undefined
  /** The compact JWS with which another agent made this call. */
  readonly invocation?: string | undefined
  /** The envelopes that `invocation` follows, root first. */
  readonly chain?: ReadonlyArray<string> | undefined
  /** Of a tool: its arguments that hold a prompt. */
  readonly prompts?: ReadonlyArray<string> | undefined
  /** Of a tool: true where its arguments are a text that is no JSON object. `params` is `{ input: text }` then. Default: false. */
  readonly isText?: boolean | undefined
  /** The text that `params` was parsed from, where there was one. */
  readonly bytes?: string | Content | undefined
  /** UUIDv7. Default: a new one. */
  readonly id?: string | undefined
}

/**
 * One request, before any stage has seen it. `params` is plain JSON, parsed from `bytes`; `resource` is what policies name
 * (`tool:<app>/<operation>`). Made by the facade, by an agent, or by `Call.generate`, `complete`, `embed` and `tool`.
 *
 * @category models
 */
export class Call {
  readonly #state = "Call"
  readonly id: string
  /** `generate`, `complete`, `embed`, or the name of a registered tool. */
  readonly operation: string
  readonly params: JsonObject
  /** The text of the request, as it came or as `JSON.stringify` writes the params. */
  readonly content: Content
  readonly app: string
  readonly server: string
  readonly endpoint: string
  readonly query: RequestQuery | undefined
  readonly headers: ReadonlyArray<string>
  /** Where the provider knows the model by another name; `params` then has the model that is served there. */
  readonly deployment: Deployment | undefined
  readonly deployments: Deployments | undefined
  readonly credentials: Credentials
  readonly intents: ReadonlyArray<IntentPolicy>
  readonly parent: string | undefined
  readonly lineage: Lineage | undefined
  readonly behalf: ReadonlyArray<Principal>
  readonly invocation: string | undefined
  readonly chain: ReadonlyArray<string>
  readonly prompts: ReadonlyArray<string>
  /** True where a tool's arguments are a text: a policy that bounds arguments by name refuses them, for they have no names. */
  readonly isText: boolean
  /** What `content` says: the params, with a deployment's name where the provider knows the model so. */
  readonly #written: JsonObject

  private constructor(operation: string, params: JsonObject, options: CallOptions) {
    this.id = options.id ?? newId()
    this.operation = operation
    this.app = options.app ?? "secure-openai-app"
    this.server = options.server ?? this.app
    this.endpoint = options.endpoint ?? endpointOf(this.app, operation, params, options.baseURL)
    this.query = options.query
    this.headers = options.headers ?? none
    this.deployments = options.deployments
    this.deployment = isOperation(operation) ? deployed(this, params["model"]) : undefined
    const { bytes = jsonText(params) } = options
    this.content = typeof bytes === "string" ? new Content(bytes) : bytes
    this.#written = params
    this.params = this.deployment === undefined ? params : { ...params, model: this.deployment.model }
    setContent(this.params, options.bytes === undefined ? contentOf(params) : this.content)
    this.credentials = options.credentials ?? { _tag: "App" }
    const { lineage } = options
    this.intents = narrowed(options.intents ?? none, lineage)
    this.parent = options.parent ?? lineage?.call
    this.lineage = lineage
    this.behalf = options.behalf ?? behalfOf(lineage)
    this.invocation = options.invocation
    this.chain = options.chain ?? none
    this.prompts = options.prompts ?? none
    this.isText = options.isText === true
  }

  /** The text of {@link content}. */
  get bytes(): string {
    return this.content.text
  }

  /** The resource that policies judge. */
  get resource(): string {
    return toolResource(this.app, this.operation)
  }

  /** True where the caller asked for a stream of chunks. */
  get stream(): boolean {
    return this.params["stream"] === true
  }

  /**
   * How params of this call go over the wire, and where to: what they have in common with the call's own keeps its text, and a
   * deployment's name stands in the model's place where the provider knows it so. Throws {@link PolicyDenied}
   * (`unknown_deployment`) for a model that no deployment serves.
   */
  sent(params: JsonObject): { readonly params: JsonObject; readonly content: Content; readonly endpoint: string } {
    const { content, deployment, endpoint } = this
    if (deployment === undefined) return { params, content: edited(content, this.#written, params), endpoint }
    const { model } = params
    const name = typeof model === "string" ? deployment.serving(model) : undefined
    if (name === undefined) throw notDeployed(this, `no deployment serves the model ${JSON.stringify(model)}`)
    const written = { ...params, model: name }
    return {
      params: written,
      content: edited(content, this.#written, written),
      endpoint: redeployed(endpoint, deployment, name)
    }
  }

  /**
   * A call of any operation. `params` must be plain JSON: throws {@link PolicyDenied} (`invalid_body`) with the path of
   * what is not.
   *
   * @category constructors
   */
  static make(operation: string, params: unknown, options: CallOptions = {}): Call {
    return new Call(operation, plainObject(operation, params, options), options)
  }

  /**
   * A call whose params were parsed by {@link parseStrictObject} from `options.bytes`: no second snapshot is taken. Throws
   * {@link PolicyDenied} (`unknown_deployment`) where what would be run is not known.
   *
   * @category constructors
   */
  static fromParsed(
    operation: OperationName,
    params: JsonObject,
    options: CallOptions & { bytes: string | Content }
  ): Call {
    return new Call(operation, params, options)
  }

  /** A chat completion, or a response where `params` has an `input`. @category constructors */
  static generate(params: unknown, options?: CallOptions): Call {
    return Call.make("generate", params, options)
  }

  /** A text completion. @category constructors */
  static complete(params: unknown, options?: CallOptions): Call {
    return Call.make("complete", params, options)
  }

  /** An embedding. @category constructors */
  static embed(params: unknown, options?: CallOptions): Call {
    return Call.make("embed", params, options)
  }

  /** A registered tool. @category constructors */
  static tool(name: string, args: unknown, options?: CallOptions): Call {
    return Call.make(name, args, options)
  }

  /**
   * The same call, by id, with other params: of a deployment's call, with a model in the terms of policies. Members that stay
   * as they were keep their text.
   */
  static withParams(call: Call, params: unknown): Call {
    const { content, endpoint, params: sent } = call.sent(plainObject(call.operation, params, call))
    return new Call(call.operation, sent, { ...call, endpoint, bytes: content })
  }

  static is(u: unknown): u is Call {
    return typeof u === "object" && u !== null && #state in u
  }
}

const deployed = (call: Call, model: Json | undefined): Deployment | undefined => {
  const found = deploymentOf(call.endpoint, model, call.deployments)
  if (Result.isSuccess(found)) return found.success
  throw notDeployed(call, found.failure)
}

const notDeployed = ({ app, operation }: Call, message: string): PolicyDenied =>
  refusal(
    "egress",
    { code: "unknown_deployment", message, hint: "name it in the option `deployments`" },
    { resource: toolResource(app, operation), principal: "" }
  )

/** Where such params are served: method and URL, or `local` and the resource for a registered tool. */
export const endpointOf = (
  app: string,
  operation: string,
  params: object,
  baseURL = "https://api.openai.com/v1"
): string =>
  isOperation(operation)
    ? `POST ${withoutSlashes(baseURL)}${endpointFor(operations[operation], params).path}`
    : `local ${toolResource(app, operation)}`

const plainObject = (operation: string, params: unknown, options: CallOptions): JsonObject => {
  const plain = snapshot(params)
  const fault = Result.isFailure(plain)
    ? plain.failure
    : typeof plain.success !== "object" || plain.success === null || Array.isArray(plain.success)
      ? "$ is not an object"
      : undefined
  if (fault !== undefined)
    throw refusal(
      "egress",
      {
        code: "invalid_body",
        message: `the params are not plain JSON: ${fault}`,
        hint: "pass plain objects and values"
      },
      { resource: toolResource(options.app ?? "secure-openai-app", operation), principal: "" }
    )
  return Result.getOrThrow(plain) as JsonObject
}
