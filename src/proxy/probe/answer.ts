// What came back to a probe, whichever HTTP version carried it, and what it means.
import type { ProbeResult } from "../../feed/messages.ts";
import { type ProbeTarget, endpointsText, onlyEndpoint, unanswered } from "./target.ts";

/** The head of an answer and, of Sidelane's own, the body. */
export interface ProbeAnswer {
  readonly status: number;
  /** The values of each field, in order; names in small letters. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

/** No answer: why, and whether another HTTP version may get one. */
export class NoAnswerError extends Error {
  override readonly name = "NoAnswerError";
  readonly otherVersion: boolean;

  constructor(message: string, otherVersion: boolean) {
    super(message);
    this.otherVersion = otherVersion;
  }
}

/** The field that says where the sidecar has sent the request. */
const ROUTE = "x-sidelane-route";
/** With these an endpoint may only be speaking another HTTP version than it was spoken to in. */
const VERSION_REASONS: ReadonlySet<string> = new Set([
  "upstream-protocol-error",
  "upstream-closed",
  "upstream-reset",
  "upstream-version-unsupported",
  "upstream-tls-failed",
]);

/** The bytes of a body that are of interest: a problem of ours is a few hundred. */
export const BODY_BYTES_MAX = 16 * 1024;

/** Whether an answer with this head is Sidelane's own (DESIGN §3.5); this sidecar's, or that of one behind it. */
export function isOwn(fields: ProbeAnswer["fields"]): boolean {
  if (!all(fields, "server").includes("sidelane")) return false;
  const type = last(fields, "content-type");
  return type === "application/problem+json" || last(fields, "grpc-message") !== "";
}

/** Why nobody answered, as Sidelane puts it; undefined when it is no answer of its own. */
export function refusalOf({ fields, body, status }: ProbeAnswer): Refusal | undefined {
  if (!isOwn(fields)) return undefined;
  const message = last(fields, "grpc-message");
  if (message !== "") {
    const text = percentDecoded(message);
    const colon = text.indexOf(": ");
    return { reason: text.slice(0, Math.max(0, colon)), detail: text.slice(colon + 2), endpoint: "", status };
  }
  const problem = parsed(body);
  const text = (name: string): string => (typeof problem[name] === "string" ? problem[name] : "");
  return { reason: text("reason"), detail: text("detail"), endpoint: text("endpoint"), status };
}

/** An answer of Sidelane's own. */
export interface Refusal {
  readonly reason: string;
  readonly detail: string;
  readonly endpoint: string;
  readonly status: number;
}

/** Whether the same may be answered in another HTTP version. */
export function hintsAtOtherVersion({ reason }: Refusal): boolean {
  return VERSION_REASONS.has(reason);
}

/** What an answer means. */
export function resultOf(answer: ProbeAnswer, target: ProbeTarget): ProbeResult {
  const { status } = answer;
  const refusal = refusalOf(answer);
  if (refusal !== undefined) {
    const detail = refusal.detail === "" ? `refused with status ${status} (${refusal.reason})` : refusal.detail;
    return unanswered(detail, { status, endpoint: refusal.endpoint === "" ? onlyEndpoint(target) : refusal.endpoint });
  }
  // Sidecars behind this one have written theirs first.
  const route = /^([^=;]*)=([^;]*);reason=([^;]*);/u.exec(last(answer.fields, ROUTE));
  const [, service = "", destination = "", reason = ""] = route ?? [];
  if (route === null) {
    return unanswered("the answer does not say where the request went; is the listener's port another program's?", {
      status,
    });
  }
  if (service === target.service && destination === target.sandbox) {
    const endpoint = onlyEndpoint(target);
    const who = `${target.sandbox}${endpoint === "" ? "" : ` at ${endpoint}`}`;
    return { answered: true, destination, endpoint, status, detail: `${who} answered with status ${status}` };
  }
  return unanswered(elsewhere(target, service, destination, reason), { status, destination });
}

function elsewhere(target: ProbeTarget, service: string, destination: string, reason: string): string {
  const { key, sandbox, endpoints } = target;
  const where = `${destination}${service === target.service || service === "-" ? "" : ` of ${service}`}`;
  switch (reason) {
    case "sandbox-unavailable":
      return `none of ${endpointsText(endpoints)} can be reached, so ${where} answered (tenancy.onUnavailable); check that the sandbox runs and listens there`;
    case "no-key":
      return `the request lost its key ${key} on the way to the decision, and ${where} answered; look at tenancy.carriers of the sidecar`;
    case "self":
      return `the sidecar stands beside another copy of the service (${where}), which answered`;
    case "not-in-table":
      return `the sidecar did not take the request for one of ${target.service}, and sent it on to ${where}`;
    default:
      return `${where} answered in place of ${sandbox} (${reason}); the tables of this sidecar's processes may differ for a moment`;
  }
}

function all(fields: ProbeAnswer["fields"], name: string): readonly string[] {
  return fields.get(name) ?? [];
}

function last(fields: ProbeAnswer["fields"], name: string): string {
  return all(fields, name).at(-1) ?? "";
}

function parsed(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
