// What the fields of `tenancy` say about each other and about the listeners.

import { valueAt } from "../routing/finding.ts";
import type { Finding } from "../routing/finding.ts";
import { checkKey, checkName } from "../routing/names.ts";
import { checkAddressRange } from "./address-range.ts";
import { checkCarriers } from "./check-carriers.ts";
import type { CheckContext } from "./check-tls.ts";
import type { EdgeConfig, ListenerConfig, ProxyConfigDocument, TenancyConfig } from "./proxy-config.ts";

type TenancyDocument = ProxyConfigDocument["tenancy"];

/** `tenancy`, aliases expanded and paths made absolute. `repairWritten`: `tenancy.repair` is no default. */
export function toTenancy(
  { tenancy, workers }: ProxyConfigDocument,
  repairWritten: boolean,
  listeners: readonly ListenerConfig[],
  context: CheckContext,
): TenancyConfig {
  const { carriers, stamp, edge, ...rest } = tenancy;
  if (stamp !== undefined) checkStamp(stamp, listeners, context.problems);
  warnOfUnreadMember(tenancy, context);
  if (repairWritten && tenancy.repair !== "off") checkRepair(tenancy.repair, workers, listeners, context);
  return {
    ...rest,
    carriers: checkCarriers(carriers, ["tenancy", "carriers"], context),
    ...(stamp === undefined ? {} : { stamp }),
    edge: toEdge(edge, listeners, context),
  };
}

/** What is written for the services behind goes into baggage; a sidecar with this config would not look there. */
function warnOfUnreadMember({ carriers, stamp, repair }: TenancyDocument, { warnings }: CheckContext): void {
  if (carriers.some(({ baggage, alias }) => baggage !== undefined || alias !== undefined)) return;
  if (stamp === undefined && repair !== "restore" && carriers.every(({ propagate }) => propagate === false)) return;
  warnings.push({
    place: valueAt("tenancy", "carriers"),
    message: "no carrier reads baggage",
    why: "keys are written into baggage for the services behind, and sidecars with this config would not find them there",
    hint: "add - baggage: sidelane",
  });
}

function checkStamp(stamp: string, listeners: readonly ListenerConfig[], problems: Finding[]): void {
  const place = valueAt("tenancy", "stamp");
  const wrong = checkKey(stamp);
  if (wrong !== undefined) {
    const hint = stamp === "" ? "remove it" : wrong.hint;
    problems.push({ place, message: `${quote(stamp)} is not a routing key`, why: wrong.problem, hint });
  }
  if (has(listeners, "outbound")) return;
  problems.push({
    place,
    message: "tenancy.stamp without an outbound listener",
    why: "what the service sends is stamped, and none of it comes by here",
    hint: "add a listener with direction: outbound, or remove it",
  });
}

function checkRepair(
  repair: "report" | "restore",
  workers: number,
  listeners: readonly ListenerConfig[],
  { problems, warnings }: CheckContext,
): void {
  const place = valueAt("tenancy", "repair");
  for (const direction of ["inbound", "outbound"] as const) {
    if (has(listeners, direction)) continue;
    problems.push({
      place,
      message: `tenancy.repair is ${repair}, but no listener is ${direction}`,
      why: "a lost key shows where a trace comes in with it and goes out without it",
      hint: `add a listener with direction: ${direction}, or write off`,
    });
  }
  if (workers === 1) return;
  const finding = {
    place,
    other: valueAt("workers"),
    message: `tenancy.repair is ${repair} with ${workers} workers`,
    why: "a trace that comes in at one process and goes out at another is not recognised",
  };
  if (repair === "restore") problems.push({ ...finding, hint: "write workers: 1, or repair: report" });
  else warnings.push({ ...finding, hint: "write workers: 1 to see every lost key" });
}

function toEdge(
  edge: TenancyDocument["edge"],
  listeners: readonly ListenerConfig[],
  context: CheckContext,
): EdgeConfig {
  const { problems, warnings } = context;
  for (const [index, caller] of edge.callers.entries()) {
    checkAddressRange(caller, ["tenancy", "edge", "callers", index], context);
  }
  checkEdgeListeners(edge, listeners, problems, warnings);
  if (edge.signedBy.length > 0 && edge.carriers.length === 0) {
    problems.push({
      place: valueAt("tenancy", "edge", "signedBy"),
      message: "tenancy.edge.signedBy without tenancy.edge.carriers",
      why: "it says who has to sign the keys that are found there",
      hint: "add carriers: [{ query: sidelane }] beside it, or remove it",
    });
  }
  const host = edge.carriers.findIndex((carrier) => carrier.host !== undefined);
  if (edge.signedBy.length > 0 && host !== -1) {
    problems.push({
      place: valueAt("tenancy", "edge", "carriers", host, "host"),
      other: valueAt("tenancy", "edge", "signedBy"),
      message: "a host at an edge whose keys are signed",
      why: "a signed key is longer than a label of a host may be, so that nobody could ever send one there",
      hint: "use query and cookie",
    });
  }
  return {
    carriers: checkCarriers(edge.carriers, ["tenancy", "edge", "carriers"], context),
    callers: edge.callers,
    signedBy: edge.signedBy.map((key, index) => {
      checkSigningKeyId(edge.signedBy, index, problems);
      return { ...key, file: context.resolvePath(key.file) };
    }),
  };
}

function checkEdgeListeners(
  edge: TenancyDocument["edge"],
  listeners: readonly ListenerConfig[],
  problems: Finding[],
  warnings: Finding[],
): void {
  const used = (["carriers", "callers", "signedBy"] as const).find((field) => edge[field].length > 0);
  const first = listeners.findIndex((listener) => listener.direction === "inbound" && listener.edge);
  if (first === -1 && used !== undefined) {
    const inbound = listeners.find(({ direction }) => direction === "inbound");
    problems.push({
      place: valueAt("tenancy", "edge", used),
      message: `tenancy.edge.${used}, but no listener has edge: true`,
      why: "it would protect nobody",
      hint: `add edge: true to ${inbound === undefined ? "an inbound listener" : `listener ${inbound.name}`}, or remove it`,
    });
  }
  if (first !== -1 && edge.carriers.length === 0 && edge.callers.length === 0) {
    warnings.push({
      place: valueAt("listeners", first, "edge"),
      message: `listener ${listeners[first]?.name} removes every routing key`,
      why: "tenancy.edge trusts no carrier and no caller",
      hint: "add tenancy.edge.carriers or tenancy.edge.callers if requests from there shall reach sandboxes",
    });
  }
}

function checkSigningKeyId(keys: TenancyDocument["edge"]["signedBy"], index: number, problems: Finding[]): void {
  const id = keys[index]?.id ?? "";
  const place = valueAt("tenancy", "edge", "signedBy", index, "id");
  const wrong = checkName(id);
  if (wrong !== undefined) {
    problems.push({ place, message: `${quote(id)} is not the name of a key`, why: wrong.problem, hint: wrong.hint });
  }
  const first = keys.findIndex((key) => key.id === id);
  if (first === index) return;
  problems.push({
    place,
    other: valueAt("tenancy", "edge", "signedBy", first, "id"),
    message: `two keys of tenancy.edge.signedBy are called ${id}`,
    why: "a signed key says by this name which of them signed it",
    hint: `write ${id}-2, and let those who sign say so`,
  });
}

function has(listeners: readonly ListenerConfig[], direction: ListenerConfig["direction"]): boolean {
  return listeners.some((listener) => listener.direction === direction);
}

function quote(text: string): string {
  return JSON.stringify(text);
}
