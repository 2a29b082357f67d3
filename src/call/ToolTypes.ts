/**
 * The types of tools and of input items that the `openai` package 7.59 names, and the members of a request where they stand. Tests
 * compare these lists with the types of the installed package.
 */

/** Types of tools that are called by their own name. */
export const namedTypes: ReadonlySet<string> = new Set(["function", "custom"])

/** Types of tools that are called by their type, or that the provider runs; a `name` on one of them means nothing. */
export const hostedTypes: ReadonlySet<string> = new Set([
  "apply_patch",
  "code_interpreter",
  "computer",
  "computer_use",
  "computer_use_preview",
  "file_search",
  "image_generation",
  "local_shell",
  "mcp",
  "programmatic_tool_calling",
  "shell",
  "tool_search",
  "web_search",
  "web_search_2025_08_26",
  "web_search_preview",
  "web_search_preview_2025_03_11"
])

/** Types of input items that bring tools. */
export const bringingItems: ReadonlySet<string> = new Set(["additional_tools", "tool_search_output", "mcp_list_tools"])

/** Types of input items that bring none: messages, calls, what calls returned, and references. */
export const otherItems: ReadonlySet<string> = new Set([
  "agent_message",
  "apply_patch_call",
  "apply_patch_call_output",
  "code_interpreter_call",
  "compaction",
  "compaction_trigger",
  "computer_call",
  "computer_call_output",
  "configuration_update",
  "custom_tool_call",
  "custom_tool_call_output",
  "file_search_call",
  "function_call",
  "function_call_output",
  "image_generation_call",
  "item_reference",
  "local_shell_call",
  "local_shell_call_output",
  "mcp_approval_request",
  "mcp_approval_response",
  "mcp_call",
  "message",
  "multi_agent_call",
  "multi_agent_call_output",
  "program",
  "program_output",
  "reasoning",
  "shell_call",
  "shell_call_output",
  "tool_search_call",
  "web_search_call"
])

/** Texts that `tool_choice` and `function_call` may be; they choose how to call, and no tool. */
export const choiceWords: ReadonlySet<string> = new Set(["none", "auto", "required"])

/** The members of a request whose elements are messages and other items; a text in their place is one message. */
export const itemLists: ReadonlyArray<string> = ["input", "messages", "instructions"]
