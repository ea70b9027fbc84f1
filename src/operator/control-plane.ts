// The control plane as the operator uses it: its API with a token that is read again before it is old, and what the operator owns
// there told apart from what people made.

import { readFile } from "node:fs/promises";
import { RefusedError } from "../base/refused-error.ts";
import type { ControlAccess } from "../client/access.ts";
import { ControlClient } from "../client/client.ts";
import { ControlRefusal } from "../client/failure.ts";
import type { ResourceView } from "../client/resource-view.ts";
import { FIELD_MANAGER, MANAGED_BY_LABEL, NAMESPACE_LABEL } from "../kube/object-names.ts";

export interface ControlPlaneOptions {
  /** At least one, without a slash at the end. */
  readonly urls: readonly string[];
  /** Path; absent: no token is sent. */
  readonly tokenFile?: string | undefined;
  /** PEM; asked for with each connection. "": the system's authorities alone. */
  readonly ca: () => Promise<string>;
}

/** So old may token and authorities be that are used: they are renewed long before they are over, but come late at the start. */
const READ_MS = 2000;

export class ControlPlane {
  readonly #options: ControlPlaneOptions;
  #known: { readonly client: ControlClient; readonly atMs: number } | undefined;

  constructor(options: ControlPlaneOptions) {
    this.#options = options;
  }

  /** A client with the token and the authorities of now; rejects with a `RefusedError`. */
  async client(): Promise<ControlClient> {
    const nowMs = performance.now();
    if (this.#known !== undefined && nowMs - this.#known.atMs < READ_MS) return this.#known.client;
    const { urls, tokenFile, ca } = this.#options;
    const pem = await ca();
    const shared = {
      from: "--control",
      token: tokenFile === undefined ? undefined : await readToken(tokenFile),
      // Without it the control plane refuses to change what carries the operator's label.
      manager: FIELD_MANAGER,
      ca: pem === "" ? undefined : Buffer.from(pem),
      certificate: undefined,
      certificateKey: undefined,
    } as const;
    const [first = "", ...others] = urls;
    const next = others.reduceRight<ControlAccess | undefined>(
      (after, url) => ({ url, next: after, ...shared }),
      undefined,
    );
    const client = new ControlClient({ url: first, next, ...shared });
    this.#known = { client, atMs: nowMs };
    return client;
  }
}

/** Labels of whatever the operator writes to the control plane. */
export function ownLabels(
  namespace: string,
  labels: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const kept = Object.entries(labels).filter(([name]) => name !== MANAGED_BY_LABEL);
  return { ...Object.fromEntries(kept), [MANAGED_BY_LABEL]: FIELD_MANAGER, [NAMESPACE_LABEL]: namespace };
}

/** Selects what the operator owns, of one namespace or of all. */
export function ownFilter(namespace?: string): { readonly labels: readonly string[] } {
  const own = `${MANAGED_BY_LABEL}=${FIELD_MANAGER}`;
  return { labels: namespace === undefined ? [own] : [own, `${NAMESPACE_LABEL}=${namespace}`] };
}

/** Whether the operator owns it. */
export function isOwn({ spec }: ResourceView): boolean {
  const labels = spec["labels"] as Readonly<Record<string, unknown>> | undefined;
  return labels?.[MANAGED_BY_LABEL] === FIELD_MANAGER;
}

/** Whether it was the control plane's own word, and not that it could not be asked or its store is down. */
export function isRefusal(error: unknown): error is ControlRefusal {
  return (
    error instanceof ControlRefusal &&
    error.status >= 400 &&
    error.status < 500 &&
    error.status !== 401 &&
    error.status !== 429
  );
}

/** Whether what was to be deleted is gone already. */
export function isGone(error: unknown): boolean {
  return error instanceof ControlRefusal && error.status === 404;
}

/** One sentence about why the control plane did not do it. */
export function controlProblem(error: unknown): string {
  if (error instanceof ControlRefusal)
    return error.problems.length === 0 ? error.detail : error.message.replaceAll("\n", " ");
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0] ?? text;
}

/** Whatever was thrown, as an error. */
export function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

async function readToken(file: string): Promise<string> {
  let text: string;
  try {
    text = (await readFile(file, "utf8")).trim();
  } catch (error) {
    throw new RefusedError(
      `the token for the control plane cannot be read: ${(error as Error).message}; see control.tokenFile`,
    );
  }
  if (text === "" || /[^\x21-\x7e]/u.test(text))
    throw new RefusedError(`${file} holds no token; see control.tokenFile`);
  return text;
}
