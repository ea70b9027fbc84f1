// What tenancy needs beyond one request, once per process: which fields are looked at, which trace came in with which key,
// whose signatures count. Whatever the config leaves off is not there.
import type { Log } from "../../base/log.ts";
import { AddressSet } from "../../config/address-set.ts";
import type { ProxyConfig } from "../../config/proxy-config.ts";
import { WatchList } from "../../protocol/context/request-view.ts";
import { type Carrier, carrierOf } from "../../routing/carrier.ts";
import { headersOfCarriers } from "../../routing/key-finder.ts";
import { LostKeys } from "../../telemetry/lost-keys.ts";
import type { Telemetry } from "../../telemetry/metrics.ts";
import type { SpanRecorder } from "../../telemetry/spans/recorder.ts";
import { loggedFields } from "../log-exchange.ts";
import type { KeyVerifier } from "./key-verifier.ts";
import { traceHeaders } from "./request-traces.ts";
import { JAEGER_BAGGAGE, withSynonyms } from "./synonyms.ts";
import { TraceMemory } from "./trace-memory.ts";

/** The field that asks for `x-sidelane-route`. */
export const DEBUG = "x-sidelane-debug";

/** What a `Tenancy` is made of. */
export interface TenancyDeps {
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly logged: boolean;
  readonly spans: SpanRecorder | undefined;
  /** Undefined: keys are not signed. */
  readonly verifier: KeyVerifier | undefined;
}

/** The tenancy of one process. */
export interface Tenancy {
  readonly config: ProxyConfig;
  readonly telemetry: Telemetry;
  readonly log: Log;
  readonly watch: WatchList;
  /** Undefined: lost keys are nobody's business. */
  readonly memory: TraceMemory | undefined;
  readonly spans: SpanRecorder | undefined;
  readonly verifier: KeyVerifier | undefined;
  /** Callers that the edge takes at their word. */
  readonly callers: AddressSet;
}

/** Sets up what the config asks for. */
export function openTenancy(config: ProxyConfig, deps: TenancyDeps): Tenancy {
  const { telemetry, log, logged, spans, verifier } = deps;
  const { tenancy, limits, timeouts } = config;
  const remembers = tenancy.repair !== "off" && hasBothWays(config) && limits.tracesRememberedMax > 0;
  if (remembers) {
    telemetry.lostKeys = new LostKeys(log, {
      repair: tenancy.repair,
      peersMax: limits.lostKeyPeersMax,
      logMs: timeouts.lostKeyLogMs,
    });
  }
  const read = [...tenancy.carriers, ...tenancy.edge.carriers, carrierOf("baggage", memberName(tenancy.carriers))];
  const traced = remembers || telemetry.journal !== undefined || spans !== undefined;
  return {
    config,
    telemetry,
    log,
    watch: new WatchList([
      ...headersOfCarriers(strips(config) ? withSynonyms(read) : read),
      ...(strips(config) ? [JAEGER_BAGGAGE, DEBUG] : []),
      ...(traced ? traceHeaders : []),
      ...(logged ? loggedFields : []),
    ]),
    memory: remembers ? new TraceMemory(limits.tracesRememberedMax, timeouts.traceRememberedMs) : undefined,
    spans,
    verifier,
    callers: new AddressSet(tenancy.edge.callers),
  };
}

/** Without both, no trace that came in is ever seen going out. */
function hasBothWays({ listeners }: ProxyConfig): boolean {
  return ["inbound", "outbound"].every((way) => listeners.some(({ direction }) => direction === way));
}

/** Whether keys are taken out of requests anywhere. */
function strips({ listeners }: ProxyConfig): boolean {
  return listeners.some((one) => (one.direction === "inbound" ? one.edge : one.egress === "strip"));
}

/** The member of baggage in which keys are written for the services behind. */
export function memberName(carriers: readonly Carrier[]): string {
  const inBaggage = carriers.filter(({ kind }) => kind === "baggage");
  return (inBaggage.find(({ alias }) => alias === "") ?? inBaggage[0])?.name ?? "sidelane";
}
