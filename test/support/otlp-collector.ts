// A collector of spans: takes OTLP over HTTP as protobuf, decoded by protobufjs, and gives them as plain values.
import { EventEmitter, once } from "node:events";
import { type IncomingHttpHeaders, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { onTestFinished } from "vitest";

/** Attributes by name. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** One span as the collector got it. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: "SERVER" | "CLIENT" | "INTERNAL" | "PRODUCER" | "CONSUMER" | "UNSPECIFIED";
  readonly status: "UNSET" | "OK" | "ERROR";
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  readonly resource: Attributes;
  readonly scope: string;
}

interface KeyValue {
  readonly key: string;
  readonly value: Readonly<Record<string, string | number | boolean>> & { readonly value: string };
}

interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string };
      readonly spans: readonly {
        readonly traceId: Buffer;
        readonly spanId: Buffer;
        readonly parentSpanId: Buffer;
        readonly name: string;
        readonly kind: string;
        readonly startTimeUnixNano: string;
        readonly endTimeUnixNano: string;
        readonly attributes: readonly KeyValue[];
        readonly status: { readonly code: string };
      }[];
    }[];
  }[];
}

const packages = loadSync(join(import.meta.dirname, "otlp-trace.proto"), {
  defaults: true,
  oneofs: true,
  enums: String,
  longs: String,
});
const service = packages["opentelemetry.proto.collector.trace.v1.TraceService"] as unknown as ServiceDefinition;
const decode = service["Export"]?.requestDeserialize as (bytes: Buffer) => ExportRequest;

/** A running collector. */
export class OtlpCollector {
  readonly spans: CollectedSpan[] = [];
  /** Headers of each request. */
  readonly requests: IncomingHttpHeaders[] = [];
  /** What it answers; anything but 200 takes nothing. */
  status = 200;
  /** It reads and never answers. */
  silent = false;
  readonly #server: Server;
  readonly #events = new EventEmitter();

  constructor() {
    this.#server = createServer((request, response) => {
      void buffer(request).then((body) => {
        this.requests.push(request.headers);
        if (this.status === 200 && !this.silent) {
          const bytes = request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
          this.spans.push(...spansIn(decode(bytes)));
        }
        if (!this.silent) response.writeHead(this.status, { "content-type": "application/x-protobuf" }).end();
        return this.#events.emit("request");
      });
    });
  }

  /** The URL that takes spans. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/traces`;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  /** Resolves with all spans when there are at least so many. */
  async collected(count: number): Promise<readonly CollectedSpan[]> {
    while (this.spans.length < count) await once(this.#events, "request");
    return this.spans;
  }

  /** Resolves when it has had so many requests. */
  async requested(count: number): Promise<void> {
    while (this.requests.length < count) await once(this.#events, "request");
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Starts one; closed when the test is over. */
export async function startCollector(): Promise<OtlpCollector> {
  const collector = new OtlpCollector();
  await collector.listen();
  onTestFinished(() => collector.close());
  return collector;
}

function spansIn(request: ExportRequest): CollectedSpan[] {
  return request.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) =>
      spans.map((span) => ({
        traceId: span.traceId.toString("hex"),
        spanId: span.spanId.toString("hex"),
        parentSpanId: span.parentSpanId.toString("hex"),
        name: span.name,
        kind: span.kind.replace("SPAN_KIND_", "") as CollectedSpan["kind"],
        status: (span.status?.code ?? "UNSET").replace("STATUS_CODE_", "") as CollectedSpan["status"],
        startMs: Number(span.startTimeUnixNano) / 1e6,
        endMs: Number(span.endTimeUnixNano) / 1e6,
        attributes: valuesOf(span.attributes),
        resource: valuesOf(resource.attributes),
        scope: scope.name,
      })),
    ),
  );
}

function valuesOf(attributes: readonly KeyValue[]): Attributes {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const found = value[value.value] as string | number | boolean;
      return [key, value.value === "intValue" ? Number(found) : found];
    }),
  );
}
