// A service in Node: node:http or undici, and grpc-js, instrumented as the demo's services are. What it does is told in
// ../fleet.ts.
import "../../../../src/demo/instrumentation.ts";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { createRequire } from "node:module";
import { createInterface } from "node:readline/promises";
import { text } from "node:stream/consumers";
import type * as Grpc from "@grpc/grpc-js";
import type { Hop } from "../fleet.ts";
import { request as undici } from "undici";

// Required, because the instrumentation patches what passes `require`.
const grpc = createRequire(import.meta.url)("@grpc/grpc-js") as typeof Grpc;
const raw = (message: Buffer): Buffer => message;
const call = {
  path: "/hop.Hop/Call",
  requestStream: false,
  responseStream: false,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
};
const Client = grpc.makeGenericClientConstructor({ call }, "Hop");

let sidecar = "";

const web = http.createServer((request, response) => {
  serve(request).then(
    (hops) => response.end(JSON.stringify(hops)),
    (error: unknown) => response.writeHead(502).end(String(error)),
  );
});

async function serve(request: http.IncomingMessage): Promise<Hop[]> {
  const self = hop(request.headersDistinct["baggage"]);
  const { pathname, search } = new URL(request.url ?? "", "http://node");
  const [next = "", ...rest] = pathname.slice(1).split("/");
  if (next === "") return [self];
  const answer = await (search === "?undici" ? askUndici : askHttp)(next, `/${rest.join("/")}`);
  if (answer.status !== 200) throw new Error(`${next} said ${answer.status}: ${answer.body}`);
  return [self, ...(JSON.parse(answer.body) as Hop[])];
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** The sidecar as the client's proxy. */
async function askHttp(host: string, path: string): Promise<Answer> {
  const agent = new http.Agent({ proxyEnv: { HTTP_PROXY: sidecar } });
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  http.get(`http://${host}${path}`, { agent }, resolve).on("error", reject);
  const answer = await promise;
  return { status: answer.statusCode ?? 0, body: await text(answer) };
}

/** The sidecar as the address, the service as the authority. */
async function askUndici(host: string, path: string): Promise<Answer> {
  const answer = await undici(`${sidecar}${path}`, { headers: { host } });
  return { status: answer.statusCode, body: await answer.body.text() };
}

function hop(baggage: readonly string[] = []): Hop {
  return { service: process.env["SERVICE"] ?? "", copy: process.env["COPY"] ?? "", baggage };
}

const rpc = new grpc.Server();
rpc.addService(
  { call },
  {
    call({ metadata, request }: Grpc.ServerUnaryCall<Buffer, Buffer>, done: Grpc.sendUnaryData<Buffer>) {
      const self = hop(metadata.get("baggage").map(String));
      const [next = "", ...rest] = request.toString().split("/");
      if (next === "") return done(null, Buffer.from(JSON.stringify([self])));
      const options = { "grpc.default_authority": `${next}:9090`, "grpc.enable_http_proxy": 0 };
      const client = new Client(new URL(sidecar).host, grpc.credentials.createInsecure(), options);
      const ask = client["call"] as (path: Buffer, callback: Grpc.requestCallback<Buffer>) => Grpc.ClientUnaryCall;
      ask.call(client, Buffer.from(rest.join("/")), (error, reply) => {
        client.close();
        if (error !== null) return done(error);
        const others = JSON.parse(String(reply)) as Hop[];
        done(null, Buffer.from(JSON.stringify([self, ...others])));
      });
    },
  },
);

const input = createInterface(process.stdin)[Symbol.asyncIterator]();
const rpcPort = Promise.withResolvers<number>();
rpc.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
  error === null ? rpcPort.resolve(port) : rpcPort.reject(error),
);
const listening = Promise.withResolvers<void>();
web.listen(0, "127.0.0.1", listening.resolve);
await listening.promise;
console.log(JSON.stringify({ http: (web.address() as AddressInfo).port, grpc: await rpcPort.promise }));
sidecar = (await input.next()).value ?? "";
console.log("configured");
await input.next();
web.close();
web.closeAllConnections();
rpc.forceShutdown();
