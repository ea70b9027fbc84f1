// What the sidecar and its exporting process say to each other over IPC. Both sides are this code in the same version.
import type { FinishedSpan } from "./span.ts";

/** Sidecar to exporter. At most one `spans` is on its way: the next follows the answer. The end is a closed channel. */
export type ToExporter =
  | {
      readonly kind: "start";
      /** URL that takes OTLP over HTTP. */
      readonly endpoint: string;
      /** `service` and `sandbox` of the config; no sandbox: "". */
      readonly service: string;
      readonly sandbox: string;
    }
  | { readonly kind: "spans"; readonly spans: readonly FinishedSpan[] };

/** Exporter to sidecar. */
export type FromExporter =
  /** The answer to `spans`; `error` is "" when the collector has taken them. */
  | { readonly kind: "exported"; readonly error: string }
  /** Something that OpenTelemetry has to say to the operator. */
  | { readonly kind: "trouble"; readonly message: string };
