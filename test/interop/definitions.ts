// The services of the interop cases as grpc-js wants them, from the .proto files beside this one.
import { join } from "node:path";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

export interface Payload {
  readonly type?: "COMPRESSABLE";
  readonly body: Uint8Array;
}

export interface EchoStatus {
  readonly code: number;
  readonly message: string;
}

export interface SimpleRequest {
  readonly responseSize?: number;
  readonly payload?: Payload | null;
  readonly responseStatus?: EchoStatus | null;
  readonly fillServerId?: boolean;
}

export interface SimpleResponse {
  readonly payload: Payload | null;
  readonly serverId: string;
}

export interface StreamingInputRequest {
  readonly payload: Payload | null;
}

export interface StreamingInputResponse {
  readonly aggregatedPayloadSize: number;
}

export interface StreamingOutputRequest {
  readonly responseParameters?: readonly { readonly size: number; readonly intervalUs?: number }[];
  readonly payload?: Payload | null;
  readonly responseStatus?: EchoStatus | null;
}

export interface StreamingOutputResponse {
  readonly payload: Payload | null;
}

export interface HealthRequest {
  readonly service: string;
}

export interface HealthResponse {
  readonly status: string;
}

/** No message has a field in it. */
export type Empty = Readonly<Record<string, never>>;

const packages = loadSync(
  ["grpc-testing.proto", "health.proto"].map((file) => join(import.meta.dirname, file)),
  { defaults: true, enums: String },
);

/** A service of the .proto files, by its full name. */
export function service(name: string): ServiceDefinition {
  return packages[name] as ServiceDefinition;
}

function method<Request, Response>(of: string, name: string): MethodDefinition<Request, Response> {
  return service(of)[name] as MethodDefinition<Request, Response>;
}

const TEST = "grpc.testing.TestService";

/** The methods that clients call. */
export const methods = {
  emptyCall: method<Empty, Empty>(TEST, "EmptyCall"),
  unaryCall: method<SimpleRequest, SimpleResponse>(TEST, "UnaryCall"),
  streamingOutputCall: method<StreamingOutputRequest, StreamingOutputResponse>(TEST, "StreamingOutputCall"),
  streamingInputCall: method<StreamingInputRequest, StreamingInputResponse>(TEST, "StreamingInputCall"),
  fullDuplexCall: method<StreamingOutputRequest, StreamingOutputResponse>(TEST, "FullDuplexCall"),
  unimplementedMethod: method<Empty, Empty>(TEST, "UnimplementedCall"),
  unimplementedService: method<Empty, Empty>("grpc.testing.UnimplementedService", "UnimplementedCall"),
  healthCheck: method<HealthRequest, HealthResponse>("grpc.health.v1.Health", "Check"),
  healthWatch: method<HealthRequest, HealthResponse>("grpc.health.v1.Health", "Watch"),
} as const;

/** The metadata that a server sends back: the first with the head, the second with the trailers. */
export const ECHO_INITIAL = "x-grpc-test-echo-initial";
export const ECHO_TRAILING = "x-grpc-test-echo-trailing-bin";

/** A payload of zeros. */
export function payload(bytes: number): Payload {
  return { type: "COMPRESSABLE", body: new Uint8Array(bytes) };
}
