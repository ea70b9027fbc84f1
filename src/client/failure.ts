// What an answer that is no success says to people. The control plane's own sentence comes first; what to type comes from here.

import type { ControlAccess } from "./access.ts";
import { printable } from "../base/printable.ts";
import { RefusedError } from "../base/refused-error.ts";
import type { Reply } from "./exchange.ts";

/** What is wrong with one field of what was sent. */
export interface FieldRefusal {
  /** JSON Pointer (RFC 6901) into it; "" is the whole. */
  readonly pointer: string;
  readonly text: string;
}

/** The control plane said no. */
export class ControlRefusal extends RefusedError {
  readonly status: number;
  /** Its sentence. */
  readonly detail: string;
  readonly problems: readonly FieldRefusal[];
  /** What to do; "" when the sentence says it. */
  readonly hint: string;

  constructor(status: number, detail: string, problems: readonly FieldRefusal[], hint: string) {
    const own = problems.filter(({ text }) => !detail.includes(text));
    const lines = own.map(({ pointer, text }) => `  ${fieldText(pointer)}${text}`);
    super([detail, ...lines, ...(hint === "" ? [] : [hint])].join("\n"));
    this.status = status;
    this.detail = detail;
    this.problems = problems;
    this.hint = hint;
  }
}

/** `about`: `sandbox pr-7`, what was to be read or changed; undefined: nothing in particular. */
export function refusalOf(reply: Reply, access: ControlAccess, about?: string): ControlRefusal {
  const problem = readProblem(reply.body);
  const { status } = reply;
  if (problem === undefined) {
    const detail = `${access.url} answered with status ${status}, and that is no answer of a control plane`;
    return new ControlRefusal(
      status,
      detail,
      [],
      "Check the address: SIDELANE_CONTROL or --control, with the path if there is one.",
    );
  }
  return new ControlRefusal(status, problem.detail, problem.problems, hintFor(status, access, about, problem.detail));
}

function hintFor(status: number, access: ControlAccess, about: string | undefined, detail: string): string {
  const [kind = "sandbox", name = "NAME"] = about?.split(" ") ?? [];
  switch (status) {
    case 401:
      return access.token === undefined
        ? "Say who you are: put your token into SIDELANE_TOKEN, or name its file with --token-file FILE."
        : "The token is not, or no longer, one that this control plane knows; ask whoever keeps its tokens file for another.";
    case 403:
      return "Ask whoever keeps the control plane's tokens file for the role 'editor'; to look at things, 'viewer' is enough.";
    case 409:
      return about === undefined || !detail.includes("exists already")
        ? ""
        : `To change what is there: sidelane ${kind} update ${name}, or sidelane apply -f FILE`;
    case 412:
      return `Look at it as it is now with 'sidelane ${kind} get ${name}', and try again with the version that it has.`;
    case 429:
      return "Try again in a moment.";
    case 503:
      return "What is there can be read, and the sidecars go on as they are; try again in a moment.";
    default:
      return "";
  }
}

interface Problem {
  readonly detail: string;
  readonly problems: readonly FieldRefusal[];
}

/** RFC 9457, with `problems` as the control plane adds them. */
function readProblem(body: string): Problem | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { detail, title, problems } = value as Readonly<Record<string, unknown>>;
  const sentence = typeof detail === "string" ? detail : title;
  if (typeof sentence !== "string") return undefined;
  const listed: readonly unknown[] = Array.isArray(problems) ? problems : [];
  return { detail: printable(inFlags(sentence)), problems: listed.flatMap(readField) };
}

function readField(value: unknown): readonly FieldRefusal[] {
  if (typeof value === "string") return [{ pointer: "", text: printable(inFlags(value)) }];
  if (typeof value !== "object" || value === null) return [];
  const { pointer, message, hint } = value as Readonly<Record<string, unknown>>;
  if (typeof message !== "string") return [];
  const text = typeof hint === "string" ? `${message}, ${hint}` : message;
  return [{ pointer: typeof pointer === "string" ? pointer : "", text: printable(inFlags(text)) }];
}

/** Advice for those who write URLs, as those write it who do not. */
function inFlags(text: string): string {
  return text.replaceAll("?allowUnknownServices=1", "--allow-unknown-services");
}

/** `/services/checkout/0` -> `services.checkout.0: ` */
function fieldText(pointer: string): string {
  if (pointer === "") return "";
  const steps = pointer.split("/").slice(1);
  return `${printable(steps.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~")).join("."))}: `;
}
