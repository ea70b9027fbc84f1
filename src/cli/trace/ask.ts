// Asking the sidecars. One that cannot be asked is named and does no harm to the others.
import type { JournalAnswer } from "../../admin/backend.ts";
import { formatEndpoint, parseEndpoint } from "../../routing/endpoint-name.ts";
import { MisuseError } from "../command.ts";
import { connectionCauses } from "../../base/connection-causes.ts";
import { readJournal } from "./read-journal.ts";

/** A sidecar that does not answer by then is left out. */
const ANSWER_MS = 5_000;
/** Entries of one trace that a sidecar is asked for, the newest; more is no path that anyone could read. */
export const ENTRIES_MAX = 250;

/** Where an admin server is. */
export interface AdminAddress {
  /** As it was given. */
  readonly text: string;
  /** Without a slash at the end. */
  readonly url: string;
}

/** What one sidecar had to say, or why nothing. */
export type AskedSidecar =
  | { readonly address: string; readonly journal: JournalAnswer }
  | { readonly address: string; readonly error: string };

/** Reads `host:port` or an http URL; throws a `MisuseError` that says what to write. */
export function parseAddress(text: string): AdminAddress {
  if (text.startsWith("-")) {
    throw new MisuseError(`error: --admin lacks an address before '${text}', write it as --admin 127.0.0.1:15000`);
  }
  if (/^https?:\/\//iu.test(text)) {
    const url = URL.parse(text);
    if (url === null || url.search !== "" || url.hash !== "") {
      throw new MisuseError(`error: --admin '${text}' is no address of an admin server, write it as 127.0.0.1:15000`);
    }
    return { text, url: `${url.origin}${url.pathname}`.replace(/\/+$/u, "") };
  }
  const endpoint = parseEndpoint(text);
  if ("problem" in endpoint) throw new MisuseError(`error: --admin '${text}': ${endpoint.problem}, ${endpoint.hint}`);
  return { text, url: `http://${formatEndpoint(endpoint)}` };
}

/** Asks all at once for a trace; each has its own answer. */
export function askAll(addresses: readonly AdminAddress[], trace: string): Promise<AskedSidecar[]> {
  return Promise.all(addresses.map((address) => ask(address, trace)));
}

async function ask({ text, url }: AdminAddress, trace: string): Promise<AskedSidecar> {
  const query = new URLSearchParams({ trace, limit: String(ENTRIES_MAX) });
  try {
    const response = await fetch(`${url}/journal?${query.toString()}`, {
      signal: AbortSignal.timeout(ANSWER_MS),
      redirect: "error",
    });
    const body = await response.text();
    if (!response.ok) return { address: text, error: `answered with status ${response.status}${detailOf(body)}` };
    const journal = readJournal(body);
    return journal === undefined
      ? { address: text, error: "answered with something else than a journal of this version" }
      : { address: text, journal };
  } catch (error) {
    return { address: text, error: explain(error) };
  }
}

/** The sentence of a problem (RFC 9457). */
function detailOf(body: string): string {
  try {
    const { detail } = JSON.parse(body) as { readonly detail?: unknown };
    return typeof detail === "string" ? `: ${detail}` : "";
  } catch {
    return "";
  }
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${ANSWER_MS / 1000} s`;
  const cause = error.cause as { readonly code?: string; readonly message?: string } | undefined;
  // https://fetch.spec.whatwg.org/#port-blocking: ports of protocols that must not be talked to by accident.
  if (cause?.message === "bad port") return "no client asks on this port, let admin.address have another one";
  return connectionCauses[cause?.code ?? ""] ?? cause?.message ?? error.message;
}
