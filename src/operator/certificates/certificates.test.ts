import { X509Certificate, createPrivateKey } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { KubeError } from "../../kube/kube-error.ts";
import { silentLog } from "../../base/log.ts";
import type { Log } from "../../base/log.ts";
import { OVERLAP_MS } from "./authority.ts";
import { Certificates } from "./certificates.ts";
import type { CertificatesOptions } from "./certificates.ts";
import { certificatesOf } from "./inspect.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const CA = "/api/v1/namespaces/sidelane/secrets/sidelane-ca";
const CONTROL = "/api/v1/namespaces/sidelane/secrets/sidelane-control-tls";
const WEBHOOK = "/api/v1/namespaces/sidelane/secrets/sidelane-webhook-tls";
const CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sidelane";
const shopTrust = "/api/v1/namespaces/shop/configmaps/sidelane-ca";

interface Stored {
  metadata: { name: string; namespace?: string; resourceVersion: string };
  data?: Record<string, string>;
  type?: string;
  webhooks?: { name: string; clientConfig: { caBundle?: string } }[];
}

/** As much of an API server as certificates need; what the real one does with these requests is tested in test/tools. */
class Cluster {
  readonly objects = new Map<string, Stored>();
  namespaces = ["shop"];
  writes: string[] = [];
  /** Called before each write is looked at: another operator's turn. */
  beforeWrite: (path: string) => void | Promise<void> = () => {};
  #version = 0;

  constructor() {
    this.put(CONFIGURATION, {
      webhooks: [
        { name: "enabled", clientConfig: {} },
        { name: "on-request", clientConfig: {} },
      ],
    });
  }

  put(path: string, content: object): void {
    const name = path.split("/").at(-1) ?? "";
    const namespace = /namespaces\/([^/]*)/u.exec(path)?.[1];
    const metadata = {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      resourceVersion: String(++this.#version),
    };
    this.objects.set(path, { ...content, metadata });
  }

  text(path: string, key: string): string {
    const value = this.objects.get(path)?.data?.[key] ?? "";
    return path.includes("/secrets/") ? Buffer.from(value, "base64").toString() : value;
  }

  client(): CertificatesOptions["client"] {
    const list = (path: string): Promise<never> => {
      const items = path.endsWith("/namespaces")
        ? this.namespaces.map((name) => ({ metadata: { name } }))
        : [...this.objects].filter(([at]) => at.includes("/configmaps/")).map(([, object]) => object);
      return Promise.resolve({ resourceVersion: "1", items } as never);
    };
    return {
      find: (path: string) => Promise.resolve(structuredClone(this.objects.get(path)) as never),
      list,
      create: async (collection: string, object: object) => {
        const path = `${collection}/${(object as Stored).metadata.name}`;
        await this.beforeWrite(path);
        if (this.objects.has(path)) throw new KubeError(409, "AlreadyExists", "it is there already");
        this.writes.push(path);
        this.put(path, object);
        return {} as never;
      },
      apply: async (path: string, object: object) => {
        await this.beforeWrite(path);
        const { metadata } = object as Stored;
        const known = this.objects.get(path);
        if (metadata.resourceVersion !== undefined && metadata.resourceVersion !== known?.metadata.resourceVersion) {
          throw new KubeError(409, "Conflict", "it was changed");
        }
        this.writes.push(path);
        this.put(path, object);
        return {} as never;
      },
      patch: async (path: string, patch: object) => {
        this.writes.push(path);
        const webhooks = structuredClone(this.objects.get(path)?.webhooks ?? []);
        for (const change of patch as { op: string; path: string; value: string }[]) {
          const at = webhooks[Number(change.path.split("/")[2])];
          if (change.op === "test" && at?.name !== change.value) throw new KubeError(422, "Invalid", "test failed");
          if (change.op === "add" && at !== undefined) at.clientConfig.caBundle = change.value;
        }
        this.put(path, { webhooks });
        return {} as never;
      },
    };
  }
}

function begin(startMs = Date.now()) {
  const cluster = new Cluster();
  const clock = { nowMs: startMs };
  const said: string[] = [];
  const tell = (message: string): void => void said.push(message);
  const log: Log = { ...silentLog, error: tell, warn: tell };
  const certificates = new Certificates({
    client: cluster.client(),
    namespace: "sidelane",
    clock: () => clock.nowMs,
    log,
  });
  return { cluster, clock, said, certificates, log };
}

/** Whether a client that trusts `ca` accepts what the Secret holds, as the name. */
async function shake(cluster: Cluster, secret: string, ca: string, servername: string): Promise<string> {
  const server = createServer({ cert: cluster.text(secret, "tls.crt"), key: cluster.text(secret, "tls.key") });
  server.on("tlsClientError", () => {});
  server.on("connection", (socket) => socket.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const socket = connect({ host: "127.0.0.1", port: (server.address() as AddressInfo).port, ca, servername });
  try {
    return await new Promise<string>((resolve) => {
      socket.once("secureConnect", () => resolve("trusted"));
      socket.once("error", ({ message }) => resolve(message));
    });
  } finally {
    socket.destroy();
  }
}

test("makes an authority and certificates with which a real handshake succeeds, and hands the authority on", async () => {
  const { cluster, certificates } = begin();
  const { nextCheckMs } = await certificates.reconcile();
  expect(nextCheckMs).toBe(5 * 60_000);
  for (const [secret, service] of [
    [CONTROL, "sidelane-control"],
    [WEBHOOK, "sidelane-webhook"],
  ] as const) {
    for (const name of [service, `${service}.sidelane`, `${service}.sidelane.svc`, "localhost"]) {
      expect(await shake(cluster, secret, certificates.bundle, name)).toBe("trusted");
    }
    expect(await shake(cluster, secret, certificates.bundle, "sidelane.example")).toContain("does not match");
    expect(cluster.text(secret, "ca.crt")).toBe(certificates.bundle);
  }
  const authority = new X509Certificate(cluster.text(CA, "tls.crt"));
  expect(authority.ca).toBe(true);
  expect(authority.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
  expect(authority.checkPrivateKey(createPrivateKey(cluster.text(CA, "tls.key")))).toBe(true);
  const serving = new X509Certificate(cluster.text(CONTROL, "tls.crt"));
  expect(serving.ca).toBe(false);
  expect(serving.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  expect(cluster.text(shopTrust, "ca.crt")).toBe(certificates.bundle);
  const told = cluster.objects.get(CONFIGURATION)?.webhooks?.map(({ clientConfig }) => clientConfig.caBundle);
  expect(told).toEqual(Array(2).fill(Buffer.from(certificates.bundle).toString("base64")));
});

test("the authority's key is in its Secret and nowhere else, and no other key either", async () => {
  const { cluster, certificates } = begin();
  await certificates.reconcile();
  const key = cluster.text(CA, "tls.key").split("\n")[1] ?? "";
  expect(key.length).toBeGreaterThan(40);
  const decode = (object: Stored): string =>
    JSON.stringify(object) +
    Object.values(object.data ?? {})
      .map((value) => Buffer.from(value, "base64").toString())
      .join("");
  for (const [path, object] of cluster.objects) {
    expect(decode(object).includes(key), path).toBe(path === CA);
    if (!path.includes("/secrets/")) expect(decode(object)).not.toContain("PRIVATE KEY");
  }
  expect(certificates.bundle).not.toContain("PRIVATE");
});

test("writes nothing when nothing is due", async () => {
  const { cluster, certificates, clock } = begin();
  await certificates.reconcile();
  cluster.writes = [];
  clock.nowMs += 30 * DAY_MS;
  await certificates.reconcile();
  expect(cluster.writes).toEqual([]);
});

test("a serving certificate is renewed after two thirds of its life, by the same authority", async () => {
  const { cluster, certificates, clock } = begin();
  await certificates.reconcile();
  const before = { authority: cluster.text(CA, "tls.crt"), serving: cluster.text(CONTROL, "tls.crt") };
  clock.nowMs += 60 * DAY_MS;
  await certificates.reconcile();
  expect(cluster.text(CA, "tls.crt")).toBe(before.authority);
  const renewed = new X509Certificate(cluster.text(CONTROL, "tls.crt"));
  expect(renewed.serialNumber).not.toBe(new X509Certificate(before.serving).serialNumber);
  expect(Date.parse(renewed.validTo)).toBeGreaterThan(clock.nowMs + 89 * DAY_MS);
});

test("a roll-over: at every moment the bundle of a day ago trusts what is shown, and what is shown now is trusted for a day", async () => {
  // In the past, so that all of it is valid by the clock of this machine, which the handshakes go by.
  const { cluster, certificates, clock } = begin(Date.now() - 2440 * DAY_MS);
  await certificates.reconcile();
  const first = certificates.bundle;
  clock.nowMs += Math.ceil((3650 * DAY_MS * 2) / 3);
  const steps: number[] = [];
  let earlier = first;
  for (let hour = 0; hour <= 96; hour += 24) {
    const shownBefore = new Map([CONTROL, WEBHOOK].map((path) => [path, cluster.objects.get(path)]));
    await certificates.reconcile();
    steps.push(certificatesOf(certificates.bundle).length);
    for (const path of [CONTROL, WEBHOOK]) {
      const leaf = new X509Certificate(cluster.text(path, "tls.crt"));
      // Whoever has not read its bundle since the last reconcile, a day ago, accepts what is shown now.
      expect(certificatesOf(earlier).some((ca) => leaf.verify(new X509Certificate(ca).publicKey))).toBe(true);
      // A server that has not read its Secret since shows what the new bundle accepts still.
      const old = Buffer.from(shownBefore.get(path)?.data?.["tls.crt"] ?? "", "base64");
      const isTrusted = certificatesOf(certificates.bundle).some((ca) =>
        new X509Certificate(old).verify(new X509Certificate(ca).publicKey),
      );
      expect(isTrusted, `${path} after ${hour} hours`).toBe(true);
    }
    expect(cluster.text(shopTrust, "ca.crt")).toBe(certificates.bundle);
    earlier = certificates.bundle;
    clock.nowMs += OVERLAP_MS;
  }
  expect(steps).toEqual([2, 2, 1, 1, 1]);
  expect(certificates.bundle).not.toContain(certificatesOf(first)[0]);
  expect(await shake(cluster, CONTROL, certificates.bundle, "sidelane-control.sidelane.svc")).toBe("trusted");
  expect(await shake(cluster, CONTROL, first, "sidelane-control.sidelane.svc")).not.toBe("trusted");
});

describe("Secrets that cannot be used are made anew, and the log says why", () => {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const cases: Readonly<Record<string, [path: string, spoil: (cluster: Cluster) => object, why: string]>> = {
    "an authority of rubbish": [CA, () => ({ "tls.crt": "!!", "tls.key": "AAAA" }), "no certificate that can be read"],
    "an authority with another's key": [
      CA,
      (cluster) => ({ ...cluster.objects.get(CA)?.data, "tls.key": cluster.objects.get(CONTROL)?.data?.["tls.key"] }),
      "its key belongs to another certificate",
    ],
    "an authority without a key": [
      CA,
      (cluster) => ({ "tls.crt": cluster.objects.get(CA)?.data?.["tls.crt"] }),
      "no private key",
    ],
    "a server's certificate as authority": [
      CA,
      (cluster) => ({ ...cluster.objects.get(CONTROL)?.data }),
      "none of an authority",
    ],
    "a serving certificate of rubbish": [
      CONTROL,
      () => ({
        "tls.crt": base64("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "tls.key": "AAAA",
      }),
      "no certificate that can be read",
    ],
    "a serving certificate for somebody else": [
      CONTROL,
      (cluster) => ({ ...cluster.objects.get(WEBHOOK)?.data }),
      "not good for sidelane-control",
    ],
  };
  test.for(Object.entries(cases))("%s", async ([, [path, spoil, why]]) => {
    const { cluster, certificates, said } = begin();
    await certificates.reconcile();
    cluster.put(path, { data: spoil(cluster) });
    await certificates.reconcile();
    expect(said.join("\n")).toContain(why);
    expect(await shake(cluster, CONTROL, certificates.bundle, "sidelane-control.sidelane.svc")).toBe("trusted");
    expect(await shake(cluster, WEBHOOK, certificates.bundle, "sidelane-webhook.sidelane.svc")).toBe("trusted");
  });

  test("a deleted Secret and ConfigMap come back", async () => {
    const { cluster, certificates } = begin();
    await certificates.reconcile();
    const before = certificates.bundle;
    cluster.objects.delete(WEBHOOK);
    cluster.objects.delete(shopTrust);
    await certificates.reconcile();
    expect(certificates.bundle).toBe(before);
    expect(await shake(cluster, WEBHOOK, before, "sidelane-webhook")).toBe("trusted");
    expect(cluster.text(shopTrust, "ca.crt")).toBe(before);
  });
});

test.for([
  ["that somebody has deleted", false],
  ["that the chart made empty", true],
] as const)(
  "two operators at once end with one authority in a Secret %s, and with certificates of it",
  async ([, isMade]) => {
    const { cluster, certificates, log } = begin();
    if (isMade) cluster.put(CA, {});
    const other = new Certificates({ client: cluster.client(), namespace: "sidelane", clock: Date.now, log });
    let turns = 0;
    cluster.beforeWrite = async (path) => {
      if (path === CA && turns++ === 0) await other.reconcile();
    };
    await certificates.reconcile();
    expect(certificates.bundle).toBe(other.bundle);
    expect(cluster.writes.filter((path) => path === CA)).toHaveLength(1);
    expect(await shake(cluster, CONTROL, other.bundle, "sidelane-control")).toBe("trusted");
  },
);

test("with an external issuer only its authority is handed on, once there is one", async () => {
  const { cluster, certificates } = begin();
  await certificates.reconcile();
  const issued = certificates.bundle;
  const bare = new Cluster();
  bare.namespaces = ["shop", "web"];
  const external = new Certificates({
    client: bare.client(),
    namespace: "sidelane",
    clock: Date.now,
    log: silentLog,
    issuer: "external",
  });
  expect(await external.reconcile()).toEqual({ nextCheckMs: expect.closeTo(5000, -3) as number });
  expect(bare.writes).toEqual([]);
  bare.put(CONTROL, { data: cluster.objects.get(CONTROL)?.data });
  await external.reconcile();
  expect(external.bundle).toBe(issued);
  expect(bare.writes).toEqual([shopTrust, "/api/v1/namespaces/web/configmaps/sidelane-ca"]);
});
