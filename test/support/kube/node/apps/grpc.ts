// A gRPC service without a library: /app.Who/Are answers one string field with its name, version and the baggage it got; tells its
// health by grpc.health.v1.
import { type ServerHttp2Session, createServer } from "node:http2";

const { NAME = "grpc", VERSION = "", PORT = "9090" } = process.env;

const server = createServer();
server.on("stream", (stream, headers) => {
  stream.on("error", () => {});
  stream.resume();
  const isHealth = headers[":path"] === "/grpc.health.v1.Health/Check";
  const isKnown = isHealth || headers[":path"] === "/app.Who/Are";
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": isKnown ? "0" : "12" }));
  const text = Buffer.from(`${NAME} ${VERSION} ${String(headers["baggage"] ?? "")}`.trim());
  const message = isHealth ? Buffer.from([8, 1]) : Buffer.concat([Buffer.from([0x0a, text.length]), text]);
  stream.end(isKnown ? Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]) : undefined);
});
const sessions = new Set<ServerHttp2Session>();
server.on("session", (session) => {
  sessions.add(session);
  session.once("close", () => sessions.delete(session));
});
server.on("sessionError", () => {});
server.listen(Number(PORT), () => process.stdout.write(`${NAME} ${VERSION} listens on ${PORT}\n`));
process.once("SIGTERM", () => {
  server.close();
  for (const session of sessions) session.close();
});
