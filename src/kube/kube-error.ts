import { connectionCauses } from "../base/connection-causes.ts";
import { printable } from "../base/printable.ts";
import { RefusedError } from "../base/refused-error.ts";

/** The API server said no, or gave no answer. `message` is a sentence for people. */
export class KubeError extends RefusedError {
  /** HTTP status; 0: there was no answer. */
  readonly status: number;
  /** `reason` of the API's Status object: `NotFound`, `AlreadyExists`, `Conflict`, `Expired` ...; "Unreachable" without an answer. */
  readonly reason: string;
  /** What the API server wants to be asked again after, in milliseconds; undefined: it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterMs?: number) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Whether an error is the API server's word that the object is not there. */
export function isNotFound(error: unknown): boolean {
  return error instanceof KubeError && error.status === 404;
}

/** Whether an object of that name exists already, or was changed since it was read. */
export function isConflict(error: unknown): boolean {
  return error instanceof KubeError && error.status === 409;
}

/** Whether a resource version is too old to go on from: list again. */
export function isExpired(error: unknown): boolean {
  return error instanceof KubeError && error.status === 410;
}

/** What an answer that is no success says. `asked`: `GET /api/v1/pods`. */
export function kubeErrorOf(status: number, body: string, asked: string, retryAfter?: string): KubeError {
  const { reason, message } = readStatus(body);
  const sentence = message === "" ? `status ${status}` : printable(message);
  const hint = hints[status] ?? "";
  const seconds = Number(retryAfter ?? "x");
  return new KubeError(
    status,
    reason === "" ? `Status${status}` : reason,
    `the Kubernetes API refused ${asked}: ${sentence}${hint === "" ? "" : `; ${hint}`}`,
    Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined,
  );
}

/** There was no answer. */
export function unreachable(server: string, asked: string, error: unknown): KubeError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const why = connectionCauses[code] ?? (message || code);
  return new KubeError(0, "Unreachable", `the Kubernetes API at ${server} gave no answer to ${asked}: ${why}`);
}

const hints: Readonly<Record<number, string>> = {
  401: "the credentials in the kubeconfig, or the pod's token, are not valid (any more)",
  403: "grant it with a Role or ClusterRole; the chart's RBAC has all that Sidelane needs",
};

function readStatus(body: string): { readonly reason: string; readonly message: string } {
  try {
    const { reason = "", message = "" } = JSON.parse(body) as { reason?: unknown; message?: unknown };
    return { reason: typeof reason === "string" ? reason : "", message: typeof message === "string" ? message : "" };
  } catch {
    return { reason: "", message: body.slice(0, 200).trim() };
  }
}
