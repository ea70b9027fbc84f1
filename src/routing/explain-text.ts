import type { Explanation, ExplanationStep } from "./explain.ts";

/** How emphasis is shown; without one the text is plain. */
export interface Paint {
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
}

const plain: Paint = { strong: (text) => text, faint: (text) => text };

/** An explanation for the terminal: the answer first, then the way there, then where it goes. Ends with a newline. */
export function explanationText(explanation: Explanation, paint: Paint = plain): string {
  const { steps, endpoints, table } = explanation;
  const width = Math.max(...steps.map((step) => printable(step.result).length));
  const lines = [paint.strong(printable(explanation.summary)), ""];
  const decisive = steps.findLastIndex(isDecisive);
  for (const [index, step] of steps.entries()) {
    const decides = index === decisive ? ">" : " ";
    const result = printable(step.result).padEnd(width);
    lines.push(
      `${decides} ${index + 1}  ${step.name.padEnd(9)}${paint.strong(result)}  ${paint.faint(printable(step.because))}`,
    );
  }
  lines.push("");
  for (const [index, { port, endpoints: list }] of endpoints.entries()) {
    const label = index === 0 ? "endpoints" : "";
    const name = port === "" ? "" : `${port}: `;
    lines.push(`     ${label.padEnd(11)}${name}${printable(list.join(", "))}${origin(explanation)}`);
  }
  lines.push(`     ${"meaning".padEnd(11)}${explanation.advice}`);
  const { counts } = table;
  const size = [
    counted(counts.services, "service"),
    counted(counts.sandboxes, "sandbox"),
    counted(counts.groups, "group"),
  ];
  const digest = table.digest === "" ? "" : ` (${table.digest})`;
  lines.push(`     ${"table".padEnd(11)}version ${table.version}${digest}: ${size.join(", ")}`);
  return `${lines.join("\n")}\n`;
}

/** Steps behind the decision only add to it, unless they refuse the request. */
function isDecisive({ name, result }: ExplanationStep): boolean {
  return (name !== "strict" && name !== "require" && name !== "egress") || result === "failed";
}

function origin({ via, reason }: Explanation): string {
  if (via === "target") return " (the listener's target)";
  if (via !== "authority") return "";
  return reason === "not-in-table"
    ? " (the authority itself)"
    : " (the authority itself: the table declares no baseline)";
}

function counted(count: number, noun: string): string {
  return `${count} ${count === 1 ? noun : noun.endsWith("x") ? `${noun}es` : `${noun}s`}`;
}

/** Keys come from requests: what could move the cursor is shown as its code. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16).padStart(4, "0");
    return `\\u{${code}}`;
  });
}
