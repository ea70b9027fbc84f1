// Entry of the process that exports a sidecar's spans with the OpenTelemetry SDK; see exporter-process.ts. Its environment is the
// sidecar's: OTEL_EXPORTER_OTLP_* (headers, compression, time-out, certificates) and OTEL_RESOURCE_ATTRIBUTES are the SDK's business.
//
// Signals are the sidecar's business. A sidecar that is gone, whatever ended it, ends this process after the batch it works on.
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { constants, setPriority } from "node:os";
import { DiagLogLevel, diag } from "@opentelemetry/api";
import { ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  type Resource,
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import { ATTR_SERVICE_INSTANCE_ID, ATTR_SERVICE_NAME } from "@opentelemetry/semantic-conventions";
import type { FromExporter, ToExporter } from "./messages.ts";
import { readableSpan } from "./readable-span.ts";
import type { FinishedSpan } from "./span.ts";

/** Requests go first where there are too few processors. */
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

process.on("SIGTERM", () => {});
process.on("SIGINT", () => {});
process.on("SIGHUP", () => {});

let exporter: OTLPTraceExporter | undefined;
let resource: Resource = defaultResource();
let exporting: Promise<void> = Promise.resolve();

const complain = (message: string): void => tell({ kind: "trouble", message });
diag.setLogger(
  { error: complain, warn: complain, info() {}, debug() {}, verbose() {} },
  { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
);

process.on("message", (message: ToExporter) => {
  if (message.kind === "start") start(message);
  else exporting = exportSpans(message.spans);
});
process.on("disconnect", () => void end());
if (!process.connected) void end(); // it went before this line ran
void lastInLine();

function start({ endpoint, service, sandbox }: Extract<ToExporter, { kind: "start" }>): void {
  // What the environment says about the resource wins: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
  const own = resourceFromAttributes({
    [ATTR_SERVICE_NAME]: service,
    [ATTR_SERVICE_INSTANCE_ID]: randomUUID(),
    ...(sandbox === "" ? {} : { "sidelane.sandbox": sandbox }),
  });
  resource = defaultResource()
    .merge(own)
    .merge(detectResources({ detectors: [envDetector] }));
  exporter = new OTLPTraceExporter({ url: endpoint });
}

function exportSpans(spans: readonly FinishedSpan[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const readable = spans.map((span) => readableSpan(span, resource));
  exporter?.export(readable, ({ code, error }) => {
    tell({
      kind: "exported",
      error: code === ExportResultCode.SUCCESS ? "" : (error?.message ?? "the collector did not take them"),
    });
    resolve();
  });
  return promise;
}

async function end(): Promise<void> {
  await exporting;
  await exporter?.shutdown();
}

/** When the memory of the container runs out, this process is the one to end. */
async function lastInLine(): Promise<void> {
  try {
    await writeFile("/proc/self/oom_score_adj", "1000");
  } catch {
    // Not Linux, or not allowed: then the kernel chooses by size.
  }
}

function tell(message: FromExporter): void {
  // The sidecar may go at any moment: with a callback that is an answer, without one an exception.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}
