import type { MetricInfo } from "./exposition.ts";

const ROUTE = ["service", "direction", "protocol", "destination"] as const;

/** Every metric of Sidelane's own (DESIGN §3.7); the process metrics of prom-client come on top. docs/metrics.md lists both. */
export const metricInfos = {
  sidelane_requests_total: {
    type: "counter",
    labels: [...ROUTE, "reason", "code"],
    help: "Finished exchanges by route, reason and status code.",
    aggregator: "sum",
  },
  sidelane_request_duration_seconds: {
    type: "histogram",
    labels: [...ROUTE, "reason"],
    help: "From the first byte of a request to the last of its response.",
    aggregator: "sum",
  },
  sidelane_active_requests: {
    type: "gauge",
    labels: ROUTE,
    help: "Exchanges that are running.",
    aggregator: "sum",
  },
  sidelane_grpc_requests_total: {
    type: "counter",
    labels: ["service", "direction", "destination", "method", "grpc_status"],
    help: "Finished gRPC calls by method and status.",
    aggregator: "sum",
  },
  sidelane_upstream_connections: {
    type: "gauge",
    labels: ["state"],
    help: "Connections to endpoints by state: idle, active, connecting.",
    aggregator: "sum",
  },
  sidelane_upstream_connect_seconds: {
    type: "histogram",
    labels: [],
    help: "Time to establish a connection to an endpoint; failed attempts are not in it.",
    aggregator: "sum",
  },
  sidelane_retries_total: {
    type: "counter",
    labels: [],
    help: "Requests sent again: on a fresh connection, or because an endpoint had not acted on them.",
    aggregator: "sum",
  },
  sidelane_http2_abuse_total: {
    type: "counter",
    labels: ["kind"],
    help: "HTTP/2 connections and streams ended because the peer exceeded a limit against floods.",
    aggregator: "sum",
  },
  sidelane_lost_keys_total: {
    type: "counter",
    labels: ["service", "peer", "outcome"],
    help: "Requests that lost their routing key in the service beside this sidecar, by the service they went to.",
    aggregator: "sum",
  },
  sidelane_keys_written_total: {
    type: "counter",
    labels: ["source"],
    help: "Routing keys written into requests by where they came from; full: not written, for want of room in baggage.",
    aggregator: "sum",
  },
  sidelane_keys_stripped_total: {
    type: "counter",
    labels: ["where"],
    help: "Requests from which routing keys were taken: edge, egress.",
    aggregator: "sum",
  },
  sidelane_spans_total: {
    type: "counter",
    labels: [],
    help: "Spans that the collector has taken.",
    aggregator: "sum",
  },
  sidelane_spans_dropped_total: {
    type: "counter",
    labels: [],
    help: "Spans that were lost: too many at once, or the collector did not take them.",
    aggregator: "sum",
  },
  sidelane_tls_handshakes_total: {
    type: "counter",
    labels: ["side", "result"],
    help: "TLS handshakes with clients and endpoints by result: full, resumed, failed.",
    aggregator: "sum",
  },
  sidelane_tls_reloads_total: {
    type: "counter",
    labels: ["result"],
    help: "Changes of certificate, key and authority files by result: applied, rejected.",
    aggregator: "sum",
  },
  sidelane_signing_key_reloads_total: {
    type: "counter",
    labels: ["result"],
    help: "Changes of the files of tenancy.edge.signedBy by result: applied, rejected.",
    aggregator: "sum",
  },
  sidelane_tls_certificate_expiry_timestamp_seconds: {
    type: "gauge",
    labels: ["certificate"],
    help: "When the certificate in use ends to be valid, in seconds since the epoch.",
    aggregator: "min",
  },
  sidelane_table_version: {
    type: "gauge",
    labels: [],
    help: "Generation of the current table in this process: 1, 2, 3 and so on; 0 before the first.",
    aggregator: "max",
  },
  sidelane_table_reloads_total: {
    type: "counter",
    labels: ["result"],
    help: "Attempts to load a table by result: applied, unchanged, rejected, unreadable.",
    aggregator: "sum",
  },
  sidelane_table_age_seconds: {
    type: "gauge",
    labels: [],
    help: "Since the current table was published.",
    aggregator: "max",
  },
  sidelane_table_stale: {
    type: "gauge",
    labels: [],
    help: "1 while the newest content of the table file could not be used and an older table is, else 0.",
    aggregator: "max",
  },
  sidelane_table_revision: {
    type: "gauge",
    labels: [],
    help: "The control plane's revision of the current table; 0 before the first.",
    aggregator: "min",
  },
  sidelane_table_connected: {
    type: "gauge",
    labels: [],
    help: "1 while the control plane is connected, else 0.",
    aggregator: "min",
  },
  sidelane_event_loop_delay_seconds: {
    type: "gauge",
    labels: ["quantile"],
    help: "Lateness of the event loop since the previous scrape; quantile 1 is the worst case.",
    aggregator: "max",
  },
} as const satisfies Record<string, MetricInfo>;
