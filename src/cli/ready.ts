import { RefusedError } from "../base/refused-error.ts";
import type { ExitCode } from "./command.ts";
import { parseAddress } from "./trace/ask.ts";

/** Where a sidecar's admin server is unless its config says otherwise. */
const DEFAULT_ADDRESS = "127.0.0.1:15000";
/** Shorter than what orchestrators give a health check. */
const ANSWER_MS = 2000;

/** `sidelane ready`: 0 when it is; otherwise rejects with a sentence that says what is missing, and that is 1. */
export async function ready(address: string = DEFAULT_ADDRESS): Promise<ExitCode> {
  const { text, url } = parseAddress(address);
  const answer = await fetch(`${url}/ready`, { signal: AbortSignal.timeout(ANSWER_MS), redirect: "error" }).catch(
    (error: unknown) => {
      throw new RefusedError(`${text} gives no answer: ${reasonOf(error)}`);
    },
  );
  if (answer.ok) {
    await answer.body?.cancel();
    return 0;
  }
  throw new RefusedError(`${text} is not ready: ${await detailOf(answer)}`);
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === "TimeoutError") return `none within ${ANSWER_MS / 1000} s`;
  return cause instanceof Error && cause.message !== "" ? cause.message : message;
}

/** What `/ready` lists, or the status of whatever else answers there. */
async function detailOf(answer: Response): Promise<string> {
  const body = (await answer.json().catch(() => ({}))) as { readonly reasons?: readonly { readonly detail: string }[] };
  const details = (body.reasons ?? []).map(({ detail }) => detail);
  return details.length === 0 ? `it answers ${answer.status}` : details.join("; ");
}
