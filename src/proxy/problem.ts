// What an answer of Sidelane's own says (DESIGN §3.5), whichever protocol carries it.
import { type Reason, problemType, reasonInfo } from "../base/reasons.ts";

/** What an answer says beyond its reason. */
export interface AnswerContext {
  readonly detail: string;
  readonly service: string;
  readonly destination: string;
  readonly endpoint: string;
}

/** What happened and what to do about it, as one text. */
export function problemText(reason: Reason, detail: string): string {
  const { advice } = reasonInfo(reason);
  return detail === "" ? advice : `${detail}; ${advice}`;
}

/** The problem details (RFC 9457) as JSON; "" for an answer that is no problem. */
export function problemBody(reason: Reason, context: AnswerContext): string {
  const info = reasonInfo(reason);
  if (info.status === 200) return "";
  const problem = {
    type: problemType(reason),
    title: info.title,
    status: info.status,
    detail: problemText(reason, context.detail),
    reason,
    service: context.service || undefined,
    destination: context.destination || undefined,
    endpoint: context.endpoint || undefined,
  };
  return `${JSON.stringify(problem)}\n`;
}
