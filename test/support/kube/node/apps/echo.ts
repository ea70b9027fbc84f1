// An HTTP service of a team that does it right: says who it is and what it got, hands the request's context on to the service at
// NEXT, tells its health, ends gracefully. GET /die makes it deaf while its process lives; GET /slow?ms=N answers late.
import { type IncomingMessage, type ServerResponse, createServer, get } from "node:http";

const { NAME = "echo", VERSION = "", PORT = "8080", NEXT = "", MESSAGE = "", SLOW_END_MS = "0" } = process.env;
const passedOn = ["baggage", "traceparent", "tracestate"];
let healthy = true;
let hanging: NodeJS.Timeout | undefined;

function ask(url: string, headers: Record<string, string>): Promise<unknown> {
  return new Promise((resolve) => {
    const asked = get(url, { headers, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      answer.once("end", () => {
        try {
          resolve(JSON.parse(text));
        } catch {
          resolve({ status: answer.statusCode, text });
        }
      });
    });
    asked.once("error", (error) => resolve({ error: error.message }));
  });
}

const server = createServer((request, response) => void answer(request, response));

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://here");
  if (url.pathname === "/health") return void response.writeHead(healthy ? 200 : 500).end(healthy ? "well" : "ill");
  if (url.pathname === "/ill") healthy = false;
  if (url.pathname === "/well") healthy = true;
  if (url.pathname === "/die") {
    response.once("close", () => {
      server.close();
      server.closeAllConnections();
      // Its process goes on, as one that hangs does.
      hanging = setInterval(() => {}, 60_000);
    });
  }
  const lateMs = Number(url.searchParams.get("ms") ?? 0);
  if (lateMs > 0) {
    response.writeHead(200, { "content-type": "application/json" }).flushHeaders();
    await new Promise((resolve) => void setTimeout(resolve, lateMs));
  }
  const context: Record<string, string> = {};
  for (const name of passedOn) {
    const value = request.headers[name];
    if (value !== undefined) context[name] = String(value);
  }
  const next = NEXT === "" ? undefined : await ask(NEXT, context);
  const said = {
    name: NAME,
    version: VERSION,
    message: MESSAGE,
    pod: process.env["HOSTNAME"],
    path: request.url,
    host: request.headers.host,
    from: request.socket.remoteAddress,
    context,
    next,
  };
  if (!response.headersSent) response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(said));
}
server.listen(Number(PORT), () => process.stdout.write(`${NAME} ${VERSION} listens on ${PORT}\n`));
process.once("SIGTERM", () => {
  clearInterval(hanging);
  // As long as others may still take it for there.
  setTimeout(() => {
    server.close();
    server.closeIdleConnections();
  }, Number(SLOW_END_MS));
});
