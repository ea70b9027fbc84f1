// Whether everything of a sandbox answers: each port of each of its services, asked through a sidecar.

import type { FeedSandbox } from "../../feed/messages.ts";
import type { SidecarInfo } from "../feed/sidecars.ts";
import type { ProbeSpec } from "../resource.ts";
import { concerns } from "./applied.ts";
import type { Outcome, Subject } from "./prober.ts";
import type { Views } from "./sidecar-views.ts";

/** Whether it answers; `missing` has a sentence for each part that does not, or of which it is not known. */
export interface Answered {
  readonly status: "true" | "false" | "unknown";
  readonly reason: string;
  readonly missing: readonly string[];
}

/** What is to be asked about a sandbox. Services with `probe.protocol: none` are taken at their word. */
export function subjectsOf(
  { name, key, services }: FeedSandbox,
  version: number,
  probeOf: (service: string) => ProbeSpec | undefined,
): readonly Subject[] {
  return services.flatMap(({ service, endpoints: ports }) => {
    const { protocol = "auto", path = "/" } = probeOf(service) ?? {};
    if (protocol === "none") return [];
    return ports.map(({ port, endpoints }) => ({
      sandbox: name,
      version,
      endpoints,
      probe: { service, port, key: key === "" ? name : key, protocol, path },
    }));
  });
}

/** Who can be asked about a service. */
export interface Candidates {
  /** Best first: sidecars of the service itself, else those of others that call it; none that lacks a revision. */
  readonly ready: readonly SidecarInfo[];
  /** Those that lack some revision, the one that lacks least first: while people write all the time, all do. */
  readonly late: readonly SidecarInfo[];
  /** Whether there are any, with or without the newest table. */
  readonly any: boolean;
}

/** Looked up once for each service and `Views`. */
export function candidatesFor(views: Views, service: string, ownReplica: string): Candidates {
  const known = views.candidates.get(service);
  if (known !== undefined) return known;
  const own = views.probing.get(service);
  const all =
    own ??
    views.sidecars.filter((one) => one.connected && one.probes && one.sandbox === "" && concerns(one, [service]));
  const found = {
    ready: nearest(
      all.filter((one) => !views.behind.sidecars.has(one)),
      ownReplica,
    ),
    late: all.filter((one) => views.behind.sidecars.has(one)).toSorted((a, b) => b.appliedRevision - a.appliedRevision),
    any: all.length > 0,
  };
  views.candidates.set(service, found);
  return found;
}

/** Of the candidates those that have a revision. */
export function withRevision({ ready, late }: Candidates, revision: number): readonly SidecarInfo[] {
  if (ready.length > 0) return ready;
  const lacking = late.findIndex(({ appliedRevision }) => appliedRevision < revision);
  return lacking === -1 ? late : late.slice(0, lacking);
}

function nearest(sidecars: readonly SidecarInfo[], ownReplica: string): readonly SidecarInfo[] {
  return sidecars.toSorted((a, b) => Number(a.replica !== ownReplica) - Number(b.replica !== ownReplica));
}

/** What the outcomes say together. `canBeAsked`: there are sidecars for it, if not now. */
export function answeredBy(
  parts: readonly {
    readonly subject: Subject;
    readonly outcome: Outcome | undefined;
    readonly canBeAsked: boolean;
  }[],
): Answered {
  const missing: string[] = [];
  let reason = "";
  let status: Answered["status"] = "true";
  const lacks = (why: string, sentence: string, worst: "false" | "unknown"): void => {
    missing.push(sentence);
    if (reason === "" || (worst === "false" && status !== "false")) reason = why;
    if (status !== "false") status = worst;
  };
  for (const { subject, outcome, canBeAsked } of parts) {
    const { service, port } = subject.probe;
    const what = port === "" ? service : `${service} (port ${port})`;
    if (outcome?.result !== undefined) {
      const { answered, detail } = outcome.result;
      if (!answered) lacks("NoAnswer", `${what}: ${detail} (asked through ${outcome.detail})`, "false");
    } else if (outcome !== undefined && canBeAsked) {
      lacks("CannotAsk", `${what}: nobody could ask it: ${outcome.detail}`, "unknown");
    } else if (canBeAsked) {
      lacks("NotAskedYet", `${what}: not asked yet`, "unknown");
    } else {
      lacks(
        "NoSidecar",
        `${what}: no sidecar is connected by which it could be asked; start one beside ${service} (sidelane proxy with table.control), or set probe.protocol of the service to none`,
        "unknown",
      );
    }
  }
  return { status, reason: reason === "" ? "Answered" : reason, missing };
}
