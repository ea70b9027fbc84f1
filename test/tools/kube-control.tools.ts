// A control plane of two replicas in a real Kubernetes API, whole: sidecars, tokens of ServiceAccounts, and TLS as the chart sets it
// up. Needs the programs of `npm run setup:kube` and etcd.
import { mkdtemp, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { prepareSidecar } from "../../src/cli/sidecar.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { loadControlConfig } from "../../src/config/load-control-config.ts";
import { startControl } from "../../src/control/start-control.ts";
import type { RunningControl } from "../../src/control/start-control.ts";
import { PemFolder, makeAuthority } from "../support/certificates.ts";
import { startApp } from "../support/control-plane.ts";
import type { Cluster } from "../support/kube/cluster.ts";
import { StoreWorld } from "../support/kube/store-world.ts";
import { startSwallowingProxy } from "../support/swallowing-proxy.ts";

let world: StoreWorld;
let cluster: Cluster;
let kubeconfigBefore: string | undefined;
beforeAll(async () => {
  world = await StoreWorld.start();
  ({ cluster } = world);
  kubeconfigBefore = process.env["KUBECONFIG"];
  process.env["KUBECONFIG"] = cluster.kubeconfig;
}, 120_000);
afterAll(() => {
  if (kubeconfigBefore === undefined) delete process.env["KUBECONFIG"];
  else process.env["KUBECONFIG"] = kubeconfigBefore;
  return cluster?.stop();
});

/** A replica with this config; ends with the test. */
async function start(namespace: string, config: object): Promise<RunningControl> {
  const text = JSON.stringify({
    store: `kubernetes://${namespace}`,
    ...{ feed: { address: "127.0.0.1:0" }, timeouts: { drainMs: 0 }, connect: { host: "127.0.0.1" } },
    ...config,
  });
  const read = loadControlConfig(text, "/control.yaml", {});
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  const control = await startControl(read.config, silentLog, "test");
  onTestFinished(() => control.close());
  return control;
}

/** The sidecar of checkout at a replica. */
async function startSidecar({ feed }: RunningControl, token?: string): Promise<void> {
  const folder = await mkdtemp(join(cluster.folder, "sidecar-"));
  if (token !== undefined) await writeFile(join(folder, "token"), token);
  const config = {
    service: "checkout",
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1" }],
    table: {
      ...{ control: feed, keep: join(folder, "kept.json") },
      ...(token === undefined ? {} : { tokenFile: join(folder, "token") }),
    },
    admin: { address: "127.0.0.1:0" },
  };
  const proxy = loadConfig(JSON.stringify(config), join(folder, "sidelane.yaml"), {});
  if (!proxy.ok) throw new Error(JSON.stringify(proxy.problems));
  const sidecar = await prepareSidecar(proxy.config, silentLog);
  onTestFinished(() => sidecar.close());
  await sidecar.open();
}

test("the API and the sidecars know people and pods by tokens of ServiceAccounts", async () => {
  const namespace = await world.namespace();
  const roles = [
    { name: `system:serviceaccount:${namespace}:people`, role: "editor" },
    { name: "system:serviceaccount:*:*", role: "sidecar" },
  ];
  const config = { api: { address: "127.0.0.1:0" }, auth: { kubernetes: { roles } } };
  const a = await start(namespace, config);
  const b = await start(namespace, config);
  const people = await cluster.token(namespace, "people", { audience: "sidelane" });
  const pod = await cluster.token(namespace, "checkout", { audience: "sidelane" });
  const ask = (at: RunningControl, method: string, path: string, token: string, body?: object): Promise<Response> =>
    fetch(`http://${at.api}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const made = await ask(a, "PUT", "/v1/services/checkout", people, { hosts: ["checkout"], baseline: ["127.0.0.1:1"] });
  expect(made.status).toBe(201);
  await vi.waitFor(async () => expect((await ask(b, "GET", "/v1/services/checkout", people)).status).toBe(200));
  expect((await ask(b, "GET", "/v1/services/checkout", pod)).status).toBe(403);
  expect((await ask(b, "GET", "/v1/services/checkout", "guess-guess-guess")).status).toBe(401);
  const audit = (await (await ask(b, "GET", "/v1/audit", people)).json()) as { readonly entries: readonly object[] };
  expect(audit.entries).toMatchObject([{ actor: `system:serviceaccount:${namespace}:people`, name: "checkout" }]);

  await startSidecar(b, pod);
  await vi.waitFor(async () => {
    const { sidecars } = (await (await ask(a, "GET", "/v1/sidecars", people)).json()) as {
      readonly sidecars: object[];
    };
    expect(sidecars).toMatchObject([{ service: "checkout" }]);
  }, 20_000);
}, 60_000);

test("two replicas with one certificate, which has no addresses, ask each other, also after it was renewed by another authority", async () => {
  const namespace = await world.namespace();
  const names = [`sidelane-control.${namespace}.svc`, "sidelane-control", "localhost"];
  const folder = await PemFolder.make();
  const renew = async (name: string): Promise<string> => {
    const authority = await makeAuthority(name);
    await folder.put("ca.crt", authority.certificate);
    await folder.putPair("tls", await authority.sign("control", { names }));
    return authority.certificate;
  };
  const ca = [await renew("First")];
  const tls = { certificate: join(folder.path, "tls.crt"), key: join(folder.path, "tls.key") };
  const config = { api: { address: "127.0.0.1:0", tls }, replicas: { ca: join(folder.path, "ca.crt") }, auth: "none" };
  const a = await start(namespace, config);
  const b = await start(namespace, config);
  const ask = async (at: RunningControl, method: string, path: string, body?: object) => {
    const headers = { "content-type": "application/json" };
    const sent = request(`https://${at.api}${path}`, { method, headers, ca, agent: false, servername: "localhost" });
    sent.end(body === undefined ? "" : JSON.stringify(body));
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const issuer = (response.socket as TLSSocket).getPeerCertificate().issuer.CN;
    return { issuer, status: response.statusCode, body: await text(response) };
  };
  const ready = (at: RunningControl, name: string) =>
    ask(at, "GET", `/v1/sandboxes/${name}/wait?for=ready&withinMs=20000`).then(
      ({ body }) => /event: done\ndata: (.*)/u.exec(body)?.[1] ?? body,
    );
  const app = await startApp((_request, response) => void response.end("pr"));
  await ask(a, "PUT", "/v1/services/checkout", { hosts: ["checkout"] });
  await startSidecar(b);
  await ask(a, "PUT", "/v1/sandboxes/pr-7", { services: { checkout: [app] } });
  expect(await ready(a, "pr-7")).toContain('"reached":true');
  expect((await ask(a, "GET", "/v1/sidecars")).body).toContain('"missing": []');

  ca.push(await renew("Second"));
  await vi.waitFor(async () => {
    for (const one of [a, b]) expect((await ask(one, "GET", "/live")).issuer).toBe("Second");
  }, 20_000);
  await ask(a, "PUT", "/v1/sandboxes/pr-8", { services: { checkout: [app] } });
  expect(await ready(a, "pr-8")).toContain('"reached":true');
  await vi.waitFor(async () => expect((await ask(a, "GET", "/v1/sidecars")).body).toContain('"missing": []'), 20_000);
}, 120_000);

interface Control {
  readonly status: number;
  readonly body: string;
}

async function asked(at: RunningControl, method: string, path: string, body?: object): Promise<Control> {
  const headers = { "content-type": "application/json" };
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await fetch(`http://${at.api}${path}`, { method, headers, ...sent });
  return { status: response.status, body: await response.text() };
}

/** What a wait for a sandbox ends with. */
async function waited(at: RunningControl, name: string, withinMs: number): Promise<string> {
  const { body } = await asked(at, "GET", `/v1/sandboxes/${name}/wait?for=ready&withinMs=${withinMs}`);
  return /event: done\ndata: (.*)/u.exec(body)?.[1] ?? body;
}

const plain = { api: { address: "127.0.0.1:0" }, auth: "none" };

test("a replica that is cut off from the API server: its sidecars go on, and no sandbox is ready before they know of it", async () => {
  const namespace = await world.namespace();
  const proxy = await startSwallowingProxy(`127.0.0.1:${cluster.port}`);
  process.env["KUBECONFIG"] = await world.kubeconfigBy(proxy.endpoint);
  const a = await start(namespace, plain);
  process.env["KUBECONFIG"] = cluster.kubeconfig;
  const b = await start(namespace, plain);
  const app = await startApp((_request, response) => void response.end("pr"));
  await asked(b, "PUT", "/v1/services/checkout", { hosts: ["checkout"] });
  await startSidecar(a);
  await asked(b, "PUT", "/v1/sandboxes/pr-7", { services: { checkout: [app] } });
  expect(await waited(b, "pr-7", 20_000)).toContain('"reached":true');
  proxy.part();
  await asked(b, "PUT", "/v1/sandboxes/pr-8", { services: { checkout: [app] } });
  // Longer than its Lease lasts.
  const late = await waited(b, "pr-8", 16_000);
  expect(late).toContain('"reached":false');
  expect((await asked(b, "GET", "/v1/sidecars")).body).toContain('"service": "checkout"');
  expect((await asked(a, "GET", "/v1/sandboxes/pr-7")).status).toBe(200);
  expect((await asked(a, "PUT", "/v1/sandboxes/pr-9", { services: { checkout: [app] } })).status).toBe(503);
  proxy.join();
  expect(await waited(b, "pr-8", 30_000)).toContain('"reached":true');
  expect(await waited(a, "pr-8", 30_000)).toContain('"reached":true');
}, 120_000);

test("without the API server sidecars come and go on, and what waits is written when it is back", async () => {
  const namespace = await world.namespace();
  const a = await start(namespace, plain);
  const b = await start(namespace, plain);
  const app = await startApp((_request, response) => void response.end("pr"));
  await asked(a, "PUT", "/v1/services/checkout", { hosts: ["checkout"] });
  await startSidecar(a);
  await asked(a, "PUT", "/v1/sandboxes/pr-7", { services: { checkout: [app] } });
  expect(await waited(a, "pr-7", 20_000)).toContain('"reached":true');
  await cluster.killApiServer();
  await startSidecar(b);
  await vi.waitFor(async () => {
    const { body } = await asked(a, "GET", "/v1/sidecars");
    const { sidecars } = JSON.parse(body) as { readonly sidecars: { readonly appliedRevision: number }[] };
    expect(sidecars.map(({ appliedRevision }) => appliedRevision)).toEqual([2, 2]);
  }, 20_000);
  const refused = await asked(b, "PUT", "/v1/sandboxes/pr-8", { services: { checkout: [app] } });
  expect(refused).toMatchObject({ status: 503, body: expect.stringContaining("cannot be reached") as string });
  await cluster.restartApiServer();
  await vi.waitFor(async () => {
    const { status } = await asked(b, "PUT", "/v1/sandboxes/pr-8", { services: { checkout: [app] } });
    expect([200, 201]).toContain(status);
  }, 30_000);
  expect(await waited(a, "pr-8", 30_000)).toContain('"reached":true');
}, 120_000);
