// How connections get to the sidecar: by rules in the pod's network (redirect), or by the names of its ports.

import { PREFIX } from "../../kube/injected-pod.ts";
import type { PodReview } from "./review-pod.ts";
import type { PodSettings } from "./settings.ts";

/** The mode, or why what the pod asks for cannot be. */
export type InterceptionMode =
  | { readonly mode: "redirect" | "named-ports"; readonly warnings: readonly string[] }
  | { readonly problem: string };

const ENFORCE = "pod-security.kubernetes.io/enforce";

/** Decides by annotation, cluster default, and what Pod Security lets in. */
export function interceptionMode({ namespace, defaults }: PodReview, settings: PodSettings): InterceptionMode {
  const level = namespace.labels[ENFORCE];
  // Rules need NET_ADMIN, which the API server refuses below `privileged`: the pod would never be there.
  const strict = level === "baseline" || level === "restricted";
  const asked = settings.interception ?? (defaults.interception === "auto" ? undefined : defaults.interception);
  const mode = asked === "redirect" && settings.interception === undefined && strict ? undefined : asked;
  const where = `namespace ${namespace.name} has ${ENFORCE}: ${level}, which refuses the NET_ADMIN that redirecting needs`;
  if (mode === "redirect" && strict) {
    return {
      problem: `annotation ${PREFIX}interception: ${where}; write named-ports, or let the namespace enforce privileged`,
    };
  }
  const chosen = mode ?? (strict ? "named-ports" : "redirect");
  if (chosen === "redirect") return { mode: chosen, warnings: [] };
  const outbound =
    settings.stamp !== undefined ? "stamp" : settings.outboundPorts.length > 0 ? "outbound-ports" : undefined;
  if (outbound !== undefined) {
    const why = strict ? where : "the pod's interception is named-ports";
    return {
      problem: `annotation ${PREFIX}${outbound}: ${why}, and requests that go out are only seen by redirecting; leave it out, or write ${PREFIX}interception: redirect where the namespace allows it`,
    };
  }
  if (settings.excludeInboundRanges.length > 0) {
    return {
      mode: chosen,
      warnings: [`${PREFIX}exclude-inbound-ranges has no effect with named ports, which are the same for every caller`],
    };
  }
  if (!strict || settings.interception === "named-ports") return { mode: chosen, warnings: [] };
  return { mode: chosen, warnings: [`${where}; interception is by named ports instead`] };
}
