/** What the model of the demo says. */
import type { ChatCompletionRequest } from "@copilotkit/aimock"
import { type Answer, lastText } from "../support/Provider.ts"

const answers: Readonly<Record<string, string>> = {
  "How was the quarter?": "Revenue rose by 4 percent, and costs by 1.",
  "Draft a reply to the customer.": "Dear customer, your parcel is on its way.",
  "Explain our return policy.": "Goods come back within 30 days, and the money follows.",
  "Tell me about returns, slowly.": "A return starts with a label, goes on with a parcel, and ends with your money."
}

/** Answers a question it knows; asked for a refund it calls two functions, and then says what came of them. */
export const model = (request: ChatCompletionRequest): Answer => {
  const question = lastText(request)
  if (request.messages.at(-1)?.role === "tool")
    return "The order was found, but I may not move the money: please ask Finance."
  if (question.includes("refund"))
    return {
      calls: [
        { name: "find_order", arguments: { order_id: "A-104233" } },
        { name: "wire_transfer", arguments: { amount: 40, currency: "EUR" } }
      ]
    }
  return answers[question] ?? "I see."
}
