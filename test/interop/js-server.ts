// The interop server on grpc-js, after the official description of what a server does.
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import {
  ECHO_INITIAL,
  ECHO_TRAILING,
  type Empty,
  type HealthRequest,
  type HealthResponse,
  type SimpleRequest,
  type SimpleResponse,
  type StreamingInputRequest,
  type StreamingInputResponse,
  type StreamingOutputRequest,
  type StreamingOutputResponse,
  payload,
  service,
} from "./definitions.ts";

/** A running server. */
export interface InteropServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Starts one on loopback; `id` is what it calls itself in `server_id`. */
export async function startJsServer(id: string): Promise<InteropServer> {
  const server = new Server();
  // UnimplementedCall has no handler, UnimplementedService is not there at all: both are the library's to answer.
  server.addService(service("grpc.testing.TestService"), {
    EmptyCall: (_call: ServerUnaryCall<Empty, Empty>, done: sendUnaryData<Empty>) => done(null, {}),
    UnaryCall: (call: ServerUnaryCall<SimpleRequest, SimpleResponse>, done: sendUnaryData<SimpleResponse>) =>
      unaryCall(id, call, done),
    StreamingOutputCall: streamingOutputCall,
    StreamingInputCall: streamingInputCall,
    FullDuplexCall: fullDuplexCall,
  });
  server.addService(service("grpc.health.v1.Health"), {
    Check: (_call: ServerUnaryCall<HealthRequest, HealthResponse>, done: sendUnaryData<HealthResponse>) =>
      done(null, { status: "SERVING" }),
    Watch: (call: ServerWritableStream<HealthRequest, HealthResponse>) => void call.write({ status: "SERVING" }),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    close() {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

function unaryCall(
  id: string,
  call: ServerUnaryCall<SimpleRequest, SimpleResponse>,
  done: sendUnaryData<SimpleResponse>,
): void {
  const { responseStatus, responseSize, fillServerId } = call.request;
  const trailers = echoMetadata(call);
  if (responseStatus?.code) {
    done({ code: responseStatus.code, details: responseStatus.message, metadata: trailers });
  } else {
    done(null, { payload: payload(responseSize ?? 0), serverId: fillServerId === true ? id : "" }, trailers);
  }
}

function streamingOutputCall(call: ServerWritableStream<StreamingOutputRequest, StreamingOutputResponse>): void {
  for (const { size } of call.request.responseParameters ?? []) call.write({ payload: payload(size) });
  call.end();
}

function streamingInputCall(
  call: ServerReadableStream<StreamingInputRequest, StreamingInputResponse>,
  done: sendUnaryData<StreamingInputResponse>,
): void {
  let bytes = 0;
  call.on("data", (request: StreamingInputRequest) => {
    bytes += request.payload?.body.length ?? 0;
  });
  call.on("end", () => done(null, { aggregatedPayloadSize: bytes }));
}

function fullDuplexCall(call: ServerDuplexStream<StreamingOutputRequest, StreamingOutputResponse>): void {
  const trailers = echoMetadata(call);
  call.on("data", ({ responseStatus, responseParameters }: StreamingOutputRequest) => {
    if (responseStatus?.code) {
      call.emit("error", { code: responseStatus.code, details: responseStatus.message, metadata: trailers });
      return;
    }
    for (const { size } of responseParameters ?? []) call.write({ payload: payload(size) });
  });
  call.on("end", () => call.end(trailers));
}

/** Sends the initial metadata back and returns the trailers that go back at the end. */
function echoMetadata(call: { readonly metadata: Metadata; sendMetadata(metadata: Metadata): void }): Metadata {
  const [initial] = call.metadata.get(ECHO_INITIAL);
  if (initial !== undefined) {
    const metadata = new Metadata();
    metadata.set(ECHO_INITIAL, initial);
    call.sendMetadata(metadata);
  }
  const trailers = new Metadata();
  const [trailing] = call.metadata.get(ECHO_TRAILING);
  if (trailing !== undefined) trailers.set(ECHO_TRAILING, trailing);
  return trailers;
}
