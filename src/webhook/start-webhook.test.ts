import { Agent, request } from "node:https";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { IncomingMessage } from "node:http";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeAuthority } from "../../test/support/certificates.ts";
import type { KeyPair } from "../../test/support/certificates.ts";
import { silentLog } from "../base/log.ts";
import { loadWebhookConfig } from "../config/load-webhook-config.ts";
import type { KubeRequest } from "../kube/client.ts";
import { startWebhook } from "./start-webhook.ts";
import type { RunningWebhook, WebhookDeps } from "./start-webhook.ts";

// A replica over its real servers, with an API server made up.

const authority = await makeAuthority();

/** What the API server knows; a list waits for `opened`. */
class FakeKube {
  readonly namespace = "sidelane";
  readonly opened = Promise.withResolvers<void>();
  readonly namespaces = new Map<string, Readonly<Record<string, string>>>([
    ["shop", { "sidelane.dev/injection": "enabled" }],
  ]);
  asked = 0;

  async list(path: string): Promise<never> {
    await this.opened.promise;
    const all = [...this.namespaces].map(([name, labels]) => ({ metadata: { name, labels } }));
    const spec = { selector: { app: "checkout" }, ports: [{ port: 80, targetPort: 8080 }] };
    const services = [{ metadata: { name: "checkout", namespace: "shop" }, spec }];
    return { resourceVersion: "1", items: path.endsWith("services") ? services : all } as never;
  }

  // oxlint-disable-next-line require-yield -- nothing ever changes
  async *watch(
    _path: string,
    _version: string,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<never> {
    if (signal !== undefined && !signal.aborted) await once(signal, "abort");
  }

  get(): Promise<never> {
    return Promise.resolve({ minor: "34+" } as never);
  }

  request({ path }: KubeRequest): Promise<never> {
    this.asked++;
    const name = path.split("/").at(-1) ?? "";
    const labels = this.namespaces.get(name);
    return labels === undefined
      ? Promise.reject(new Error("gone"))
      : Promise.resolve({ metadata: { name, labels } } as never);
  }
}

interface World {
  readonly kube: FakeKube;
  readonly folder: string;
  readonly put: (pair: KeyPair) => Promise<void>;
  readonly start: (deps?: Partial<WebhookDeps>) => Promise<RunningWebhook | undefined>;
}

async function world(drainMs = 0): Promise<World> {
  const kube = new FakeKube();
  const folder = await mkdtemp(join(tmpdir(), "sidelane-webhook-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const loaded = loadWebhookConfig(
    "address: 127.0.0.1:0\nadmin: { address: 127.0.0.1:0 }\ntls: { certificate: tls.crt, key: tls.key }\n" +
      "sidecar: { image: sidelane }\n" +
      `timeouts: { drainMs: ${drainMs} }\n`,
    join(folder, "webhook.yaml"),
    {},
  );
  if (!loaded.ok) throw new Error("a good config was refused");
  return {
    kube,
    folder,
    put: async ({ certificate, key }) => {
      await writeFile(join(folder, "tls.crt"), certificate);
      await writeFile(join(folder, "tls.key"), key);
    },
    start: async (deps = {}) => {
      const times = { pollMs: 10, settleMs: 5 };
      const signal = new AbortController().signal;
      const client = kube as unknown as WebhookDeps["client"];
      const running = await startWebhook(loaded.config, {
        client,
        log: silentLog,
        version: "9.9.9",
        signal,
        times,
        ...deps,
      });
      if (running !== undefined) onTestFinished(() => running.close());
      return running;
    },
  };
}

const pod = { metadata: { labels: { app: "checkout" } }, spec: { containers: [{ name: "app" }] } };

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly serial: string;
}

async function post(address: string, namespace: string, agent?: Agent): Promise<Answer> {
  const kind = { group: "", version: "v1", kind: "Pod" };
  const body = JSON.stringify({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: { uid: "u", kind, namespace, operation: "CREATE", object: pod },
  });
  const asked = request(`https://${address.replace("127.0.0.1", "localhost")}/inject?timeout=5s`, {
    method: "POST",
    ca: authority.certificate,
    family: 4,
    ...(agent === undefined ? { agent: false } : { agent }),
  });
  asked.end(body);
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  const socket = response.socket as unknown as { getPeerCertificate(): { readonly serialNumber: string } };
  const { serialNumber: serial } = socket.getPeerCertificate();
  return { status: response.statusCode ?? 0, body: await text(response), serial };
}

async function ready(admin: string): Promise<Response> {
  return fetch(`http://${admin}/ready`);
}

test("it is ready when namespaces, Services and version are known, and says until then what is missing", async () => {
  const { kube, put, start } = await world();
  await put(await authority.sign("webhook"));
  const running = await start();
  const { reviews = "", admin = "" } = running ?? {};
  const early = await ready(admin);
  expect(early.status).toBe(503);
  expect(await early.text()).toContain("the namespaces are not known yet; the Services are not known yet");
  expect((await post(reviews, "shop")).status).toBe(503);
  expect((await fetch(`http://${admin}/live`)).status).toBe(200);

  kube.opened.resolve();
  await expect.poll(async () => (await ready(admin)).status).toBe(200);
  const { status, body } = await post(reviews, "shop");
  expect(status).toBe(200);
  expect(body).toContain("JSONPatch");
  const metrics = await (await fetch(`http://${admin}/metrics`)).text();
  expect(metrics).toContain('sidelane_webhook_reviews_total{result="injected",reason="none"} 1');
  expect(metrics).toContain("sidelane_webhook_review_duration_seconds_count 1");
  expect(metrics).toContain("sidelane_webhook_ready 1");
  expect(kube.asked).toBe(0);
});

test("a namespace whose label is on its way is asked for; one that nobody knows fails the review", async () => {
  const { kube, put, start } = await world();
  await put(await authority.sign("webhook"));
  kube.opened.resolve();
  const { reviews = "", admin = "" } = (await start()) ?? {};
  await expect.poll(async () => (await ready(admin)).status).toBe(200);
  kube.namespaces.set("new", { "sidelane.dev/injection": "enabled" });
  expect((await post(reviews, "new")).body).toContain("no-ports");
  expect(kube.asked).toBe(1);
  expect((await post(reviews, "unknown")).status).toBe(500);
  expect(await (await fetch(`http://${admin}/metrics`)).text()).toContain('{result="failed",reason="none"} 1');
});

test("it waits for its certificate, takes the next one without losing a review, and ends while it waits", async () => {
  const { kube, put, start } = await world();
  kube.opened.resolve();
  const ending = new AbortController();
  const waiting = start({ signal: ending.signal });
  ending.abort();
  expect(await waiting).toBeUndefined();

  const starting = start();
  await put(await authority.sign("webhook"));
  const { reviews = "", admin = "" } = (await starting) ?? {};
  await expect.poll(async () => (await ready(admin)).status).toBe(200);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const { serial: first } = await post(reviews, "shop", agent);
  await put(await authority.sign("webhook"));
  await expect.poll(async () => (await post(reviews, "shop")).serial).not.toBe(first);
  expect(await post(reviews, "shop", agent)).toMatchObject({ status: 200, serial: first });
});

test("one that is told to end is not ready, and answers until the API server has heard of it", async () => {
  const { kube, put, start } = await world(300);
  await put(await authority.sign("webhook"));
  kube.opened.resolve();
  const running = await start();
  const { reviews = "", admin = "" } = running ?? {};
  await expect.poll(async () => (await ready(admin)).status).toBe(200);
  const closing = running?.close();
  const answer = await ready(admin);
  expect(answer.status).toBe(503);
  expect(await answer.text()).toContain("this replica is ending");
  expect((await post(reviews, "shop")).status).toBe(200);
  await closing;
  await expect(post(reviews, "shop")).rejects.toThrow("ECONNREFUSED");
});

test("what is no review is refused with a sentence", async () => {
  const { kube, put, start } = await world();
  await put(await authority.sign("webhook"));
  kube.opened.resolve();
  const { reviews = "" } = (await start()) ?? {};
  const asked = request(`https://${reviews.replace("127.0.0.1", "localhost")}/inject`, {
    method: "POST",
    ca: authority.certificate,
    family: 4,
    agent: false,
  });
  asked.end("{}");
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  expect(response.statusCode).toBe(400);
  expect(await text(response)).toContain("no AdmissionReview");
});
