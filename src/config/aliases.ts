// The places in which other systems carry their routing keys, so that moving from one of them to Sidelane is one line.

import { carrierOf } from "../routing/carrier.ts";
import type { Carrier, CarrierKind } from "../routing/carrier.ts";

interface Alias {
  /** In the order in which the system's own documentation names them, the present one first. */
  readonly places: readonly (readonly [kind: CarrierKind, name: string])[];
  /** Keys fall back level by level. */
  readonly levels?: boolean;
}

const aliases: Readonly<Record<string, Alias>> = {
  signadot: {
    places: [
      ["baggage", "sd-routing-key"],
      ["tracestate", "sd-routing-key"],
      ["header", "ot-baggage-sd-routing-key"],
      ["header", "uberctx-sd-routing-key"],
    ],
  },
  mirrord: {
    places: [
      ["baggage", "mirrord-session"],
      ["query", "mirrord-session"],
      ["cookie", "mirrord-session"],
    ],
  },
  okteto: {
    places: [
      ["baggage", "okteto-divert"],
      ["header", "x-okteto-divert"],
    ],
  },
  "bridge-to-kubernetes": {
    places: [
      ["header", "kubernetes-route-as"],
      ["header", "azds-route-as"],
    ],
  },
  ktenv: { places: [["header", "x-virtual-env"]], levels: true },
  nocalhost: {
    places: [
      ["header", "uberctx-trace"],
      ["header", "baggage-trace"],
    ],
  },
  uber: {
    places: [
      ["baggage", "request-tenancy"],
      ["header", "uberctx-request-tenancy"],
    ],
  },
};

/** Systems that `alias` can name. */
export const aliasNames: readonly string[] = Object.keys(aliases);

/** The carriers of a system; undefined when the name stands for none. */
export function aliasCarriers(name: string, propagate = true): readonly Carrier[] | undefined {
  const alias = Object.hasOwn(aliases, name) ? aliases[name] : undefined;
  if (alias === undefined) return undefined;
  const { places, levels = false } = alias;
  return places.map(([kind, place]) => carrierOf(kind, place, { alias: name, propagate, levels }));
}
