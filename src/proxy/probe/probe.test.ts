import { type Http2Server, createServer as createHttp2Server } from "node:http2";
import { type RequestListener, createServer } from "node:http";
import { type AddressInfo, type Server, connect, createServer as createTcpServer } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { PemFolder, makeAuthority } from "../../../test/support/certificates.ts";
import { startBlackhole } from "../../../test/support/blackhole.ts";
import { startGrpcApp } from "../../../test/support/grpc.ts";
import { type ProbedProxy, startProbed } from "../../../test/support/probed-proxy.ts";

const authority = await makeAuthority();

async function listening(server: Server | Http2Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket: { destroy(): void }) => sockets.add(socket));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const startApp = (answer: RequestListener): Promise<string> => listening(createServer(answer));

/** An address where nobody listens. */
async function startNobody(): Promise<string> {
  const server = createTcpServer();
  const address = await listening(server);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return address;
}

/** The sidecar beside checkout, with a sandbox pr-7 that has these endpoints. */
function startCheckout(endpoints: readonly string[], more: object = {}, listener: object = {}): Promise<ProbedProxy> {
  return startProbed(
    {
      listeners: [
        { direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1", ...listener },
        { direction: "outbound", address: "127.0.0.1:0" },
      ],
      ...more,
    },
    { services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: endpoints } } } },
  );
}

describe("HTTP/1.1", () => {
  test("is answered by the sandbox, with what a caller would send", async () => {
    const seen: string[] = [];
    const app = await startApp(({ url, headers }, response) => {
      seen.push(`${url} ${headers.host} ${headers["user-agent"]} ${String(headers["baggage"])}`);
      response.end("hello");
    });
    const sidecar = await startCheckout([app]);
    expect(await sidecar.probe({ path: "/healthz?deep=1" })).toEqual({
      answered: true,
      destination: "pr-7",
      endpoint: app,
      status: 200,
      detail: `pr-7 at ${app} answered with status 200`,
    });
    expect(seen).toEqual(["/healthz?deep=1 checkout sidelane-probe sidelane=pr-7;probe"]);
  });

  test("any status of the app is an answer", async () => {
    const app = await startApp((_request, response) => response.writeHead(500).end("no"));
    const sidecar = await startCheckout([app]);
    expect(await sidecar.probe({}, 2999.5)).toMatchObject({ answered: true, status: 500 });
  });

  test("an endpoint that refuses connections is named", async () => {
    const nobody = await startNobody();
    const sidecar = await startCheckout([nobody]);
    const result = await sidecar.probe({});
    expect(result).toMatchObject({ answered: false, destination: "none", endpoint: nobody, status: 503 });
    expect(result).toHaveProperty("detail", expect.stringContaining(`${nobody}: connect ECONNREFUSED`));
  });

  test("an endpoint that says nothing is named when the time is up", async () => {
    const silent = await listening(createTcpServer(() => {}));
    const sidecar = await startCheckout([silent]);
    const result = await sidecar.probe({ protocol: "http1" }, 300);
    expect(result).toMatchObject({ answered: false, endpoint: silent });
    expect(result).toHaveProperty("detail", expect.stringContaining("no answer within 300 ms"));
  });

  test("an app that is slow is waited for, whatever else is tried meanwhile", async () => {
    let answer = (): void => {};
    const app = await listening(
      createTcpServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", (bytes) => {
          if (bytes.toString("latin1").startsWith("PRI * HTTP/2.0")) answer();
          else answer = () => socket.write("HTTP/1.1 204 No Content\r\n\r\n");
        });
      }),
    );
    const sidecar = await startCheckout([app]);
    expect(await sidecar.probe({}, 2000)).toMatchObject({ answered: true, status: 204 });
  });

  test("so is one that no packet comes back from", async () => {
    const hole = `127.0.0.1:${await startBlackhole()}`;
    const sidecar = await startCheckout([hole]);
    expect(await sidecar.probe({}, 300)).toMatchObject({ answered: false, endpoint: hole });
  });

  test("a baseline that stands in does not count", async () => {
    const nobody = await startNobody();
    const app = await startApp((_request, response) => response.end());
    const sidecar = await startCheckout([nobody], { tenancy: { onUnavailable: "baseline" } }, { target: app });
    const result = await sidecar.probe({});
    expect(result).toMatchObject({ answered: false, destination: "baseline", status: 200 });
    expect(result).toHaveProperty("detail", expect.stringContaining(nobody));
  });

  test("an app that streams for ever answers with its head", async () => {
    const app = await startApp((_request, response) => {
      response.write("data: 1\n\n");
    });
    const sidecar = await startCheckout([app]);
    expect(await sidecar.probe({})).toMatchObject({ answered: true, status: 200 });
  });

  test("an app behind a sidecar of its own that cannot reach it has not answered", async () => {
    const nobody = await startNobody();
    const inner = await startProbed(
      { sandbox: "pr-7", listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: nobody }] },
      { services: { checkout: {} }, sandboxes: {} },
    );
    const sidecar = await startCheckout([`127.0.0.1:${inner.port("inbound")}`]);
    const result = await sidecar.probe({});
    expect(result).toMatchObject({ answered: false, status: 503, endpoint: nobody });
  });
});

describe("where it goes", () => {
  test("to another service by the outbound listener, with its host and port", async () => {
    const hosts: (string | undefined)[] = [];
    const app = await startApp(({ headers }, response) => {
      hosts.push(headers.host);
      response.end();
    });
    const sidecar = await startProbed(
      { listeners: [{ direction: "outbound", address: "127.0.0.1:0" }] },
      {
        services: { ledger: { hosts: ["ledger.shop"], ports: { http: 8080, admin: 8081 } } },
        sandboxes: { "pr-7": { services: { ledger: { http: ["127.0.0.1:1"], admin: [app] } } } },
      },
    );
    expect(await sidecar.probe({ service: "ledger", port: "admin" })).toMatchObject({ answered: true, endpoint: app });
    expect(hosts).toEqual(["ledger.shop:8081"]);
  });

  test("a group's key is answered by its first member that has the service", async () => {
    const app = await startApp((_request, response) => response.end());
    const sidecar = await startProbed(
      { listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1" }] },
      {
        services: { checkout: {}, ledger: {} },
        sandboxes: { "pr-8": { services: { ledger: [app] } }, "pr-7": { services: { checkout: [app] } } },
        groups: { release: { sandboxes: ["pr-8", "pr-7"] } },
      },
    );
    expect(await sidecar.probe({ key: "release" })).toMatchObject({ answered: true, destination: "pr-7" });
  });

  test.each([
    [{ header: "x-sandbox" }, "/ checkout pr-7"],
    [{ query: "sandbox" }, "/?sandbox=pr-7 checkout undefined"],
    [{ host: "{key}--*" }, "/ pr-7--checkout undefined"],
  ])("the key travels as %j", async (carrier, wanted) => {
    const seen: string[] = [];
    const app = await startApp(({ url, headers }, response) => {
      seen.push(`${url} ${headers.host} ${String(headers["x-sandbox"])}`);
      response.end();
    });
    const sidecar = await startCheckout([app], { tenancy: { carriers: [carrier] } });
    expect(await sidecar.probe({})).toMatchObject({ answered: true });
    expect(seen).toEqual([wanted]);
  });

  test("never by a listener where the world comes in", async () => {
    const sidecar = await startProbed(
      { listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1", edge: true }] },
      { services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: ["127.0.0.1:1"] } } } },
    );
    expect(await sidecar.probe({})).toEqual({
      error: expect.stringContaining("it has no listener by which checkout"),
    });
  });

  test.each([
    [{ key: "pr-8" }, "no sandbox or group with the key pr-8"],
    [{ service: "billing" }, "does not have the service billing"],
    [{ service: "ledger" }, "nothing that the key pr-7 selects has the service ledger"],
    [{ port: "grpc", service: "mail" }, 'no port "grpc" of the service mail'],
  ])("the table says so when it does not have %j", async (question, words) => {
    const sidecar = await startProbed(
      { listeners: [{ direction: "outbound", address: "127.0.0.1:0" }] },
      {
        services: { checkout: {}, ledger: {}, mail: { ports: { smtp: 25, http: 80 } } },
        sandboxes: { "pr-7": { services: { checkout: ["127.0.0.1:1"] } } },
      },
    );
    expect(await sidecar.probe(question)).toHaveProperty("detail", expect.stringContaining(words));
  });

  test("a path that would end the line is not asked for", async () => {
    const sidecar = await startCheckout(["127.0.0.1:1"]);
    expect(await sidecar.probe({ path: "/ HTTP/1.1\r\nx: y" })).toHaveProperty("error");
  });
});

describe("HTTP/2", () => {
  test("is tried where HTTP/1.1 gets no answer", async () => {
    const app = await listening(createHttp2Server((_request, response) => response.end("hello")));
    const sidecar = await startCheckout([app]);
    expect(await sidecar.probe({})).toMatchObject({ answered: true, endpoint: app, status: 200 });
    expect(await sidecar.probe({ protocol: "http2" })).toMatchObject({ answered: true });
  });

  test("is tried where HTTP/1.1 is met with silence", async () => {
    const app = await startGrpcApp("pr-7");
    const silent = await listening(
      createTcpServer((socket) => {
        socket.on("error", () => {});
        // What does not begin as HTTP/2 is left waiting.
        socket.once("data", (bytes) => {
          if (!bytes.toString("latin1").startsWith("PRI * HTTP/2.0")) return;
          const behind = connect(app.port, "127.0.0.1");
          behind.on("error", () => {});
          behind.write(bytes);
          socket.pipe(behind).pipe(socket);
        });
      }),
    );
    const sidecar = await startCheckout([silent]);
    expect(await sidecar.probe({}, 1000)).toMatchObject({ answered: true });
  });

  test("a refusal is told", async () => {
    const nobody = await startNobody();
    const sidecar = await startCheckout([nobody]);
    const result = await sidecar.probe({ protocol: "http2" });
    expect(result).toMatchObject({ answered: false, endpoint: nobody, status: 503 });
    expect(result).toHaveProperty("detail", expect.stringContaining("ECONNREFUSED"));
  });

  test.each(["auto", "grpc"])("a gRPC server answers, whatever it says about its health (%s)", async (protocol) => {
    const app = await startGrpcApp("pr-7");
    const sidecar = await startCheckout([`127.0.0.1:${app.port}`]);
    expect(await sidecar.probe({ protocol })).toMatchObject({ answered: true, destination: "pr-7" });
  });

  test("a refusal is told as gRPC tells it", async () => {
    const nobody = await startNobody();
    const sidecar = await startCheckout([nobody]);
    const result = await sidecar.probe({ protocol: "grpc", path: "shop.Checkout" });
    expect(result).toMatchObject({ answered: false, endpoint: nobody });
    expect(result).toHaveProperty("detail", expect.stringContaining("ECONNREFUSED"));
  });
});

describe("TLS and TCP", () => {
  async function tlsOf(clientCertificates: string): Promise<object> {
    const folder = await PemFolder.make();
    const files = await folder.putPair("tls", await authority.sign("checkout"));
    const ca = await folder.put("ca.crt", authority.certificate);
    return { tls: { ...files, clientCertificates, ...(clientCertificates === "none" ? {} : { ca }) } };
  }

  test("a listener with TLS is spoken to with TLS, in either version", async () => {
    const app = await startApp((_request, response) => response.end());
    const sidecar = await startCheckout([app], {}, await tlsOf("none"));
    expect(await sidecar.probe({})).toMatchObject({ answered: true, status: 200 });
    const http2 = await listening(createHttp2Server((_request, response) => response.end()));
    sidecar.publish({ services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: [http2] } } } });
    expect(await sidecar.probe({ protocol: "http2" })).toMatchObject({ answered: true, status: 200 });
  });

  test("where client certificates are demanded the endpoint is connected to, and the result says so", async () => {
    const app = await startApp((_request, response) => response.end());
    const sidecar = await startCheckout([app], {}, await tlsOf("required"));
    const result = await sidecar.probe({});
    expect(result).toMatchObject({ answered: true, endpoint: app, status: 0 });
    expect(result).toHaveProperty("detail", expect.stringContaining("demands a client certificate"));
  });

  test("tcp connects to the endpoints, one after the other", async () => {
    const nobody = await startNobody();
    const app = await listening(createTcpServer(() => {}));
    const sidecar = await startCheckout([nobody, app]);
    expect(await sidecar.probe({ protocol: "tcp" })).toMatchObject({ answered: true, endpoint: app });
    const alone = await startCheckout([nobody]);
    const result = await alone.probe({ protocol: "tcp" });
    expect(result).toMatchObject({ answered: false, endpoint: nobody });
    expect(result).toHaveProperty("detail", expect.stringContaining(`connecting to ${nobody}: connection refused`));
  });
});
