// The port for the app (`ownership.address`) in the test's own process, with tables that the test publishes.
import { onTestFinished } from "vitest";
import { startOwnership } from "../../src/admin/ownership-server.ts";
import type { OwnershipOptions, OwnershipServer } from "../../src/admin/ownership-server.ts";
import type { Log } from "../../src/base/log.ts";
import { carrierOf } from "../../src/routing/carrier.ts";
import { compile } from "../../src/routing/compile.ts";
import { CompiledTable } from "../../src/routing/compiled-table.ts";
import type { TableImage } from "../../src/routing/compiled-table.ts";
import { documentOf, seed } from "../../src/routing/fixture.ts";
import { TableCell } from "../../src/routing/table-cell.ts";

/** Two services, a sandbox of each, and a group of both. */
export const twoSandboxes = {
  services: { checkout: {}, payments: {} },
  sandboxes: {
    "pr-7": { services: { checkout: ["10.0.0.7:80"] } },
    "pr-9": { services: { payments: ["10.0.0.9:80"] } },
  },
  groups: { "release-42": { sandboxes: ["pr-9", "pr-7"] } },
};

/** A table, compiled; for those that are large or come often. */
export function imageOf(document: object): TableImage {
  return compile(documentOf(document), seed);
}

/** Tables, and ports that follow them. */
export class OwnershipPorts {
  readonly cell = new TableCell();
  /** Messages of the ports' log. */
  readonly logged: string[] = [];

  /** Makes a document the next table. */
  publish(document: object): void {
    this.publishImage(imageOf(document));
  }

  publishImage(image: TableImage): void {
    const version = this.version + 1;
    this.cell.publish(new CompiledTable(image, version, `digest-${version}`));
  }

  /** Of the table in use. */
  get version(): number {
    return this.cell.current.version;
  }

  /** Opens one, of the baseline's checkout if nothing else is said; closed when the test is over. */
  async open(options: Partial<OwnershipOptions> = {}): Promise<OwnershipServer> {
    const write = (message: string): void => void this.logged.push(message);
    const log: Log = { debug: write, info: write, warn: write, error: write };
    const server = await startOwnership({
      address: "127.0.0.1:0",
      service: "checkout",
      sandbox: undefined,
      carriers: [carrierOf("baggage", "sidelane")],
      cell: this.cell,
      streamsMax: 8,
      batchMax: 5,
      log,
      ...options,
    });
    onTestFinished(() => server.close());
    return server;
  }
}

/** An answer of a port. */
export interface Got {
  readonly status: number;
  readonly headers: Headers;
  readonly json: Record<string, unknown>;
}

/** Asks a port by GET. */
export async function get(
  server: OwnershipServer,
  path: string,
  query: Record<string, string> | [string, string][] = {},
): Promise<Got> {
  return gotOf(await fetch(`http://${server.address}${path}?${new URLSearchParams(query).toString()}`));
}

/** Asks a port by `POST /owner`; what is neither text nor bytes is sent as JSON. */
export async function post(server: OwnershipServer, body: unknown): Promise<Got> {
  const content = typeof body === "string" || body instanceof Buffer ? body : JSON.stringify(body);
  return gotOf(await fetch(`http://${server.address}/owner`, { method: "POST", body: content }));
}

async function gotOf(response: Response): Promise<Got> {
  const json = (await response.json()) as Record<string, unknown>;
  return { status: response.status, headers: response.headers, json };
}
