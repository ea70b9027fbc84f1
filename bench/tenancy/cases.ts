// What is measured: a sidecar under a load, and against what.

import type { BackendPorts } from "../backends.ts";
import type { Destination } from "../load/requests.ts";
import { keylessBaggage, type RequestShape } from "./load.ts";
import { signedToken, type SidecarName } from "./sidecars.ts";

export interface Case {
  readonly name: string;
  /** A row of the table. */
  readonly title: string;
  readonly sidecar: SidecarName;
  readonly direction: "inbound" | "outbound";
  readonly request: RequestShape;
  readonly goesTo: Destination;
  /** The case that it is compared with; "" for those that others are compared with. */
  readonly against: string;
  /** What has come in before; the requests that follow are of the same traces. */
  readonly cameIn?: RequestShape;
}

type Row = Omit<Case, "name">;

const keyless = { baggage: keylessBaggage } as const;
/** Traces that come in with a key and go out without it. */
const lost = { ...keyless, traces: "b" } as const;
const lostCameIn = { traces: "b" } as const;
const path = "/api/v1/orders/4711?expand=lines";

/** All of them, in the order of the table. */
export function casesOf(backends: BackendPorts): Case[] {
  const elsewhere = { authority: `127.0.0.1:${backends.baseline}` };
  const rows: Record<string, Row> = {
    off: inbound("key in baggage, everything off", "off", {}, ""),
    "off-keyless": inbound("no key, everything off", "off", keyless, "", "baseline"),
    "off-traceless": inbound("no trace, everything off", "off", { trace: "none" }, ""),
    default: inbound("default: journal, repair: report", "default", {}, "off"),
    "default-keyless": inbound("the same, no key", "default", { ...keyless, traces: "c" }, "off-keyless", "baseline"),
    journal: inbound("journal, requests with traceparent", "journal", {}, "off"),
    "journal-keyless": inbound("journal, no key", "journal", keyless, "off-keyless", "baseline"),
    "journal-traceless": inbound("journal, requests without trace", "journal", { trace: "none" }, "off-traceless"),
    remember: inbound("repair: report, trace remembered", "report", {}, "off"),
    query: inbound("key from the query into baggage", "query", { ...keyless, path: `${path}&sidelane=pr-7` }, "off"),
    cookie: inbound(
      "key from a cookie into baggage",
      "cookie",
      { ...keyless, cookie: "sidelane=pr-7; theme=dark" },
      "off",
    ),
    host: inbound("key from the host into baggage", "host", { ...keyless, authority: "pr-7--checkout" }, "off"),
    require: inbound("require= met", "off", { baggage: "user.tier=gold,sidelane=pr-7;require=checkout" }, "off"),
    edge: inbound("edge, nothing to strip", "edge", keyless, "off-keyless", "baseline"),
    "edge-strips": inbound("edge, baggage stripped", "edge", {}, "off", "baseline"),
    signed: inbound(
      "edge, signed key in the query (cached)",
      "signed",
      {
        ...keyless,
        path: `${path}&sidelane=${signedToken()}`,
      },
      "off",
    ),
    "spans-none": inbound("spans, no trace sampled", "spans", { trace: "unsampled" }, "off"),
    spans: inbound("spans, each trace sampled", "spans", {}, "off"),
    out: outbound("outbound, key in baggage, everything off", "off", {}, ""),
    "out-keyless": outbound("outbound, no key, everything off", "off", keyless, "", "baseline"),
    "out-default": outbound("outbound, default", "default", {}, "out"),
    find: outbound("repair: report, key present", "report", {}, "out"),
    "find-nothing": outbound(
      "repair: report, no key, trace unknown",
      "report",
      { ...keyless, traces: "d" },
      "out-keyless",
      "baseline",
    ),
    reported: {
      ...outbound("repair: report, key lost", "report", lost, "out-keyless", "baseline"),
      cameIn: lostCameIn,
    },
    restored: { ...outbound("repair: restore, key lost", "restore", lost, "out-keyless"), cameIn: lostCameIn },
    stamp: outbound("stamp, no key", "stamp", keyless, "out-keyless"),
    keep: outbound("outbound, host outside the table, egress: keep", "keep", elsewhere, "", "baseline"),
    strip: outbound("the same, egress: strip", "off", elsewhere, "keep", "baseline"),
  };
  return Object.entries(rows).map(([name, row]) => ({ name, ...row }));
}

function inbound(
  title: string,
  sidecar: SidecarName,
  request: RequestShape,
  against: string,
  goesTo: Destination = "sandbox",
): Row {
  return { title, sidecar, direction: "inbound", request, goesTo, against };
}

function outbound(
  title: string,
  sidecar: SidecarName,
  request: RequestShape,
  against: string,
  goesTo: Destination = "sandbox",
): Row {
  return { title, sidecar, direction: "outbound", request, goesTo, against };
}
