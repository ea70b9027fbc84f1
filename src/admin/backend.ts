import type { TableStatus } from "../table/status.ts";
import type { JournalFilter, JournalReport } from "../telemetry/journal-entry.ts";
import type { LostKeysReport } from "../telemetry/lost-keys.ts";

/** Why the sidecar is not ready; the closed list of `GET /ready`. */
export type NotReadyReason = "starting" | "draining" | "no-table";

/** One listener in `GET /connections`. */
export interface ListenerConnections {
  readonly name: string;
  readonly direction: "inbound" | "outbound";
  /** `host:port` as bound, so with the real port where the config says 0. */
  readonly address: string;
  /** Open downstream connections. */
  readonly open: number;
  /** Requests being worked on. */
  readonly activeRequests: number;
}

/** The pool of one endpoint in `GET /connections`. */
export interface EndpointConnections {
  /** `host:port` as written in table or config. */
  readonly endpoint: string;
  readonly idle: number;
  readonly active: number;
  readonly connecting: number;
  /** Requests that wait for a connection. */
  readonly waiting: number;
  /** Requests sent and not yet answered: what the balancer compares. */
  readonly outstanding: number;
  /** Milliseconds until the endpoint is tried again; 0 when it is not ejected. */
  readonly ejectedMs: number;
}

/** Certificate and authorities of a listener or of a service's endpoints. */
export interface CertificateReport {
  /** `listener inbound`, `upstream ledger`. */
  readonly name: string;
  /** Whose certificate is in use; absent when there is none, as to endpoints that ask for none. */
  readonly subject?: string;
  /** ISO 8601. */
  readonly notAfter?: string;
  /** Why the present content of the files is not in use, or is of no use. */
  readonly error?: string;
}

/** A key by which signed routing keys are verified. */
export interface SigningKeyReport {
  readonly id: string;
  readonly algorithm: "hmac" | "ed25519";
  /** Why the present content of its file is not in use; the last good key is. */
  readonly error?: string;
}

/** `GET /connections`. */
export interface ConnectionsReport {
  readonly listeners: readonly ListenerConnections[];
  readonly endpoints: readonly EndpointConnections[];
  readonly certificates: readonly CertificateReport[];
  readonly signingKeys: readonly SigningKeyReport[];
}

/** `GET /journal`. */
export interface JournalAnswer extends JournalReport {
  /** The service that the sidecar stands beside; the entries of its outbound listeners name the services called. */
  readonly service: string;
  /** Of whose copy of the service, where the config says so. */
  readonly sandbox?: string;
}

/** The question of `GET /explain`: `service` or `host`, and what the request would carry. */
export interface ExplainQuery {
  /** Name of a service in the table. */
  readonly service?: string;
  /** Authority as a caller would write it, with or without port. */
  readonly host?: string;
  /** A routing key as if a carrier had yielded it; goes before `headers`. */
  readonly key?: string;
  /** Request target, for carriers in the query: `/x?sidelane=pr-7`. */
  readonly path?: string;
  /** Address of the caller, for listeners with `edge: true`. */
  readonly caller?: string;
  /** Header fields in order; the carriers of the config look for the key here. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** The answer: any JSON value, or why the question makes no sense (status 400). */
export type ExplainAnswer =
  | { readonly ok: true; readonly explanation: object }
  | { readonly ok: false; readonly detail: string };

/**
 * All that the admin server needs from the process around it, so that it runs in a test without a proxy. Methods are called
 * per admin request, never on the request path; each answers from memory. One that throws gives a 500 answer and a log line.
 */
export interface AdminBackend {
  /** Empty: ready. */
  notReady(): readonly NotReadyReason[];
  /** Prometheus text exposition. */
  metrics(): Promise<string>;
  tableStatus(): TableStatus;
  /** The current table in full, as far as `CompiledTable.describe()` goes. */
  describeTable(): object;
  explain(query: ExplainQuery): ExplainAnswer | Promise<ExplainAnswer>;
  connections(): ConnectionsReport;
  /** The last exchanges that had to do with a key; rejects never: workers that do not answer are left out. */
  journal(filter: JournalFilter): Promise<JournalAnswer>;
  /** Which services lose the routing key towards which; workers that do not answer are left out here, too. */
  lostKeys(): Promise<LostKeysReport>;
  /** The effective config: defaults and environment filled in. */
  config(): object;
  /** Starts the drain and returns at once; calling it again changes nothing. */
  drain(): void;
}
