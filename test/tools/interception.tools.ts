// Interception for real: apps, sidecars and rules in network namespaces, and clients outside of them. Not part of `npm test`: it
// needs root, iproute2, iptables and util-linux (setpriv, unshare).
//
// Long because every test needs the same small world.
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { ports } from "../support/pod-ports.ts";
import { type Pod, type PodProcess, makePods } from "../support/pods.ts";

const OPEN = 15_004;
const INBOUND = `${ports.http}:15100,${ports.h2}:15101,${ports.grpc}:15102,${ports.tcp}:15103`;

interface HttpAnswer {
  readonly status: number;
  readonly length: number;
  readonly digest: string;
  readonly text: string;
}

/** What an injected pod's sidecar has for a config. */
function configOf(more: object = {}): object {
  const inbound = (name: string, address: string, port: number, protocol = "auto"): object => ({
    ...{ name, direction: "inbound", address, target: `127.0.0.1:${port}`, port: name, protocol },
  });
  return {
    service: "shop",
    listeners: [
      inbound("http", "*:15100", ports.http),
      inbound("h2", "*:15101", ports.h2),
      inbound("grpc", "*:15102", ports.grpc),
      inbound("redis", "*:15103", ports.tcp, "tcp"),
      { name: "outbound", direction: "outbound", address: "localhost:15200", egress: "keep" },
    ],
    admin: { open: `*:${OPEN}`, reach: [ports.excluded] },
    ...more,
  };
}

function endpointsOf(pod: Pod, ipv4: boolean): object {
  const host = pod.ipv6 === undefined ? pod.ipv4 : `[${pod.ipv6}]`;
  const all = { http: ports.http, h2: ports.h2, grpc: ports.grpc, redis: ports.tcp };
  // Both families, where there are two: one port by the one, the others by the other.
  return Object.fromEntries(
    Object.entries(all).map(([name, port]) => [name, [`${name === "http" && ipv4 ? pod.ipv4 : host}:${port}`]]),
  );
}

interface World {
  readonly baseline: Pod;
  readonly fork: Pod;
  readonly outside: Pod;
  readonly client: PodProcess;
  readonly app: PodProcess;
  readonly sidecar: PodProcess;
  restartSidecar(): Promise<PodProcess>;
}

/** A pod with the service, a pod with a sandbox's copy of it, and a client outside of both. */
async function makeWorld(
  options: {
    readonly ipv4?: boolean;
    readonly ipv6?: boolean;
    readonly flags?: readonly string[];
    readonly more?: object;
  } = {},
): Promise<World> {
  const { ipv4 = true, ipv6 = true, flags = ["--inbound", INBOUND, "--outbound", "8080:15200"], more = {} } = options;
  const [baseline, fork, outside] = (await makePods(3, { ipv6 })) as [Pod, Pod, Pod];
  if (!ipv4) {
    for (const pod of [baseline, fork, outside]) await pod.run("ip", "-4", "addr", "flush", "dev", "eth0");
  }
  const table = {
    services: {
      shop: {
        hosts: ["shop.test"],
        ports: { http: ports.http, h2: ports.h2, grpc: ports.grpc, redis: ports.tcp },
        baseline: endpointsOf(baseline, ipv4),
      },
    },
    sandboxes: { "pr-7": { services: { shop: endpointsOf(fork, ipv4) } } },
  };
  if (flags.length > 0) {
    for (const pod of [baseline, fork]) expect(await pod.intercept(...flags)).toMatchObject({ status: 0 });
  }
  const [app, , sidecar, , client] = await Promise.all([
    baseline.app("baseline"),
    fork.app("fork"),
    baseline.sidecar(configOf(more), table),
    fork.sidecar({ ...configOf(more), sandbox: "pr-7" }, table),
    outside.client(),
  ]);
  return {
    ...{ baseline, fork, outside, client, app, sidecar },
    restartSidecar: () => baseline.sidecar(configOf(more), table),
  };
}

const json = (name: string, from: string): object => expect.objectContaining({ name, from }) as object;
const parsed = (text: string): unknown => JSON.parse(text);
const digestOf = (body: Buffer): string => createHash("sha256").update(body).digest("hex");

/** `host` is an address of the baseline's pod. */
async function expectRouted({ client }: World, host: string): Promise<void> {
  const http = (key?: string): Promise<HttpAnswer> =>
    client.ask("http", host, ports.http, key === undefined ? {} : { key });
  expect(parsed((await http()).text)).toEqual(json("baseline", "127.0.0.1"));
  expect(parsed((await http("pr-7")).text)).toEqual(json("fork", "127.0.0.1"));
  expect(parsed((await http("nobody")).text)).toEqual(json("baseline", "127.0.0.1"));
  expect(parsed(await client.ask("h2", host, ports.h2))).toEqual(json("baseline", "127.0.0.1"));
  expect(parsed(await client.ask("h2", host, ports.h2, "pr-7"))).toEqual(json("fork", "127.0.0.1"));
  expect(await client.ask("grpc", host, ports.grpc, "hello")).toBe("baseline: hello");
  expect(await client.ask("grpc", host, ports.grpc, "hello", "pr-7")).toBe("fork: hello");
  expect(await client.ask("websocket", host, ports.http, "hello")).toBe("baseline: hello");
  expect(await client.ask("websocket", host, ports.http, "hello", "pr-7")).toBe("fork: hello");
  expect(await client.ask("greeting", host, ports.tcp)).toBe("baseline for 127.0.0.1\n");
}

describe.each(["nft", "legacy"])("with iptables' variant %s", (variant) => {
  test("clients of both families reach app and sandbox through the sidecars, whatever they speak", async () => {
    const world = await makeWorld({
      flags: ["--iptables", variant, "--inbound", INBOUND, "--outbound", "8080:15200"],
    });
    const { baseline, client } = world;
    await expectRouted(world, baseline.ipv4);
    await expectRouted(world, baseline.ipv6 ?? "");
    const bytes = 20 * 1024 * 1024;
    const sent = await client.ask<HttpAnswer>("http", baseline.ipv4, ports.http, { bytes, key: "pr-7" });
    expect(parsed(sent.text)).toMatchObject({
      name: "fork",
      length: bytes,
      digest: digestOf(Buffer.alloc(bytes, "body")),
    });
    const got = await client.ask<HttpAnswer>("http", baseline.ipv6 ?? "", ports.http, { path: `/big?bytes=${bytes}` });
    expect(got).toMatchObject({ status: 200, digest: digestOf(Buffer.alloc(bytes, "baseline")) });
  });

  test("rules are the same after a second run, replaced by others, and gone after --remove", async () => {
    const [pod] = (await makePods(1)) as [Pod];
    const saved = async (program: string): Promise<readonly string[]> =>
      (await pod.run(`${program}-${variant}-save`, "-t", "nat")).out
        .split("\n")
        .filter((line) => line.includes("SIDELANE"));
    // Rules of others stay, and ours come first.
    await pod.run(`iptables-${variant}`, "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "1", "-j", "RETURN");
    const flags = ["--iptables", variant, "--inbound", "8080:15100", "--outbound", "80:15200"];
    expect(await pod.intercept(...flags)).toMatchObject({ status: 0 });
    const [first, firstOfV6] = [await saved("iptables"), await saved("ip6tables")];
    expect(first).toContain("-A PREROUTING -p tcp -j SIDELANE_INBOUND");
    expect(first.length).toBe(firstOfV6.length);
    expect(await pod.intercept(...flags)).toMatchObject({ status: 0 });
    expect([await saved("iptables"), await saved("ip6tables")]).toEqual([first, firstOfV6]);
    expect(await pod.intercept("--iptables", variant, "--inbound", "9090:15100")).toMatchObject({ status: 0 });
    expect(await saved("iptables")).toEqual([
      ":SIDELANE_INBOUND - [0:0]",
      "-A PREROUTING -p tcp -j SIDELANE_INBOUND",
      "-A SIDELANE_INBOUND -p tcp -m tcp --dport 9090 -j REDIRECT --to-ports 15100",
    ]);
    // The other variant takes over: never both.
    const other = variant === "nft" ? "legacy" : "nft";
    expect(await pod.intercept("--iptables", other, "--inbound", "9090:15100")).toMatchObject({ status: 0 });
    expect(await saved("iptables")).toEqual([]);
    expect(await pod.intercept("--remove")).toMatchObject({ status: 0, out: expect.stringContaining(other) as string });
    expect(await pod.intercept("--remove")).toMatchObject({ status: 0, out: "there were no rules\n" });
    const rest = await pod.run(`iptables-${variant}-save`, "-t", "nat");
    expect(rest.out).toContain("--dport 1 -j RETURN");
  });
});

test("a pod without IPv6", async () => {
  const world = await makeWorld({ ipv6: false });
  await expectRouted(world, world.baseline.ipv4);
  const { baseline, outside } = world;
  const path = `/call?to=${outside.ipv4}&port=8080&host=shop.test:8080&key=pr-7`;
  const answer = await world.client.ask<HttpAnswer>("http", baseline.ipv4, ports.http, { path });
  expect(parsed(answer.text)).toEqual(json("fork", "127.0.0.1"));
});

test("a pod with IPv6 alone", async () => {
  const world = await makeWorld({ ipv4: false });
  const { baseline, client, sidecar } = world;
  await expectRouted(world, baseline.ipv6 ?? "");
  const nobody = baseline.ipv6?.replace(/::.*$/u, "::250") ?? "";
  const path = `/call?to=${nobody}&port=8080&host=shop.test:8080&key=pr-7`;
  const answer = await client.ask<HttpAnswer>("http", baseline.ipv6, ports.http, { path });
  expect(parsed(answer.text)).toEqual(json("fork", "127.0.0.1"));
  await sidecar.kill("SIGKILL");
  await expect(client.ask("http", baseline.ipv6, ports.http)).rejects.toThrow("ECONNREFUSED");
});

test("a request that the app sends to the sidecar's own listener, by its Host, does not go round for ever", async () => {
  const world = await makeWorld();
  const { baseline, outside, client } = world;
  for (const host of ["localhost:15200", "127.0.0.1:15200", "[::1]:15200"]) {
    const path = `/call?to=${outside.ipv4}&port=8080&host=${encodeURIComponent(host)}`;
    const { text } = await client.ask<HttpAnswer>("http", baseline.ipv4, ports.http, { path });
    expect(text).toContain("loop");
  }
  await expectRouted(world, baseline.ipv4);
});

test("ports and callers that are excluded reach the app directly", async () => {
  const world = await makeWorld();
  const { baseline, outside, client } = world;
  expect(parsed((await client.ask<HttpAnswer>("http", baseline.ipv4, ports.excluded)).text)).toEqual(
    json("baseline", outside.ipv4),
  );
  const excluded = `${outside.ipv4}/32,${outside.ipv6}/128`;
  expect(await baseline.intercept("--inbound", INBOUND, "--exclude-source", excluded)).toMatchObject({ status: 0 });
  for (const [host, from] of [
    [baseline.ipv4, outside.ipv4],
    [baseline.ipv6, outside.ipv6],
  ]) {
    const answer = await client.ask<HttpAnswer>("http", host, ports.http, { key: "pr-7" });
    expect(parsed(answer.text)).toEqual(json("baseline", from ?? ""));
  }
});

test("what the app sends to declared ports goes by its Host; the sidecar's own, DNS and everything else go past", async () => {
  const world = await makeWorld();
  const { baseline, fork, outside, client } = world;
  await outside.app("outside");
  const call = async (to: string | undefined, port: number, host: string, key?: string): Promise<string> => {
    const query = new URLSearchParams({
      to: to ?? "",
      port: String(port),
      host,
      ...(key === undefined ? {} : { key }),
    });
    const path = `/call?${query.toString()}`;
    return (await client.ask<HttpAnswer>("http", baseline.ipv4, ports.http, { path })).text;
  };
  // Nobody has these addresses: where the request goes is decided by its Host alone. The answer came through two sidecars.
  const nobody = [baseline.ipv4.replace(/\.\d+$/u, ".250"), baseline.ipv6?.replace(/::.*$/u, "::250")];
  for (const to of nobody) {
    expect(parsed(await call(to, 8080, "shop.test:8080", "pr-7"))).toEqual(json("fork", "127.0.0.1"));
    // The baseline is this very pod, which is reached without leaving it.
    expect(parsed(await call(to, 8080, "shop.test:8080"))).toEqual(json("baseline", baseline.ipv4));
  }
  // Unknown to the table: where the Host says, from the sidecar, whose own connection is not intercepted.
  expect(parsed(await call(nobody[0], 8080, `${outside.ipv4}:8080`))).toEqual(json("outside", baseline.ipv4));
  // Ports that are not declared.
  expect(parsed(await call(outside.ipv4, ports.excluded, "shop.test:8080", "pr-7"))).toEqual(
    json("outside", baseline.ipv4),
  );
  // What stays in the pod, by loopback and by its own address, is the app's own business.
  for (const to of ["127.0.0.1", "::1", baseline.ipv4]) {
    expect(parsed(await call(to, 8080, "shop.test:8080", "pr-7"))).toMatchObject({ name: "baseline" });
  }
  // UDP to the very port that is declared.
  const inside = await baseline.client();
  expect(await inside.ask("udp", outside.ipv4, ports.udp, "question")).toBe("outside question");
  // In several packets, of which only the first one has a port.
  const large = "q".repeat(8000);
  expect(await inside.ask("udp", outside.ipv4, ports.udp, large)).toBe(`outside ${large}`);

  const range = ["--exclude-destination", `${outside.ipv4}/32,${outside.ipv6}/128`];
  expect(await baseline.intercept("--inbound", INBOUND, "--outbound", "8080:15200", ...range)).toMatchObject({
    status: 0,
  });
  for (const to of [outside.ipv4, outside.ipv6]) {
    expect(parsed(await call(to, 8080, "shop.test:8080", "pr-7"))).toMatchObject({ name: "outside" });
  }
  expect(parsed(await call(fork.ipv4, 8080, "shop.test:8080", "pr-7"))).toEqual(json("fork", "127.0.0.1"));
  // The listener for what the app sends is nobody else's.
  await expect(client.ask("greeting", baseline.ipv4, 15_200)).rejects.toThrow("ECONNREFUSED");
  await expect(client.ask("greeting", baseline.ipv6, 15_200)).rejects.toThrow("ECONNREFUSED");
});

test.each([1, 2])(
  "probes are told the truth, with %i workers, and the rest of admin is out of reach",
  async (workers) => {
    const world = await makeWorld({ more: { workers } });
    const { baseline, client, app } = world;
    const status = async (path: string, host = baseline.ipv4): Promise<number> =>
      (await client.ask<HttpAnswer>("http", host, OPEN, { path })).status;
    for (const host of [baseline.ipv4, baseline.ipv6]) {
      expect(await status("/ready", host)).toBe(200);
      expect(await status("/live", host)).toBe(200);
    }
    const metrics = await client.ask<HttpAnswer>("http", baseline.ipv4, OPEN, { path: "/metrics" });
    expect(metrics.status).toBe(200);
    for (const path of ["/", "/table", "/config", "/journal", "/connections", "/explain", "/lost-keys"]) {
      expect(await status(path)).toBe(404);
    }
    const post = await client.ask<HttpAnswer>("http", baseline.ipv4, OPEN, { path: "/drain", bytes: 1 });
    expect(post.status).toBe(404);
    await expect(client.ask("http", baseline.ipv4, 15_000, { path: "/ready" })).rejects.toThrow("ECONNREFUSED");
    const own = [ports.http, ports.h2, ports.grpc, ports.tcp, ports.excluded];
    for (const port of own) expect(await status(`/reach/tcp/${port}`)).toBe(200);
    for (const port of ["22", "15000", "0", "x", "99999"]) expect(await status(`/reach/tcp/${port}`)).toBe(404);
    // A TCP probe of the port itself would still be taken: by the sidecar.
    await app.kill();
    for (const port of own) expect(await status(`/reach/tcp/${port}`)).toBe(503);
    expect((await client.ask<HttpAnswer>("http", baseline.ipv4, ports.http)).status).toBe(503);
    expect(await status("/ready")).toBe(200);
    expect(parsed((await client.ask<HttpAnswer>("http", baseline.ipv4, ports.http, { key: "pr-7" })).text)).toEqual(
      json("fork", "127.0.0.1"),
    );
    await baseline.app("again");
    expect(await status(`/reach/tcp/${ports.http}`)).toBe(200);
  },
);

test("while the sidecar is gone nobody gets past it, and with a new one everything works again", async () => {
  const world = await makeWorld();
  const { baseline, client, sidecar } = world;
  const before = await client.ask<number>("hold", baseline.ipv4, ports.tcp);
  expect(await client.ask("say", before, "one")).toBe("one");
  // A connection that goes past the sidecar outlives it.
  await baseline.intercept("--inbound", INBOUND.replace(`,${ports.tcp}:15103`, ""));
  expect(await client.ask("say", before, "still there, by the connection's own entry")).toContain("still");
  const past = await client.ask<number>("hold", baseline.ipv4, ports.tcp);
  await baseline.intercept("--inbound", INBOUND);
  await sidecar.kill("SIGKILL");
  expect(await client.ask("say", before, "two")).toBe("closed");
  expect(await client.ask("say", past, "three")).toBe("three");
  for (const host of [baseline.ipv4, baseline.ipv6]) {
    for (const port of [ports.http, ports.h2, ports.grpc, ports.tcp]) {
      await expect(client.ask("greeting", host, port)).rejects.toThrow("ECONNREFUSED");
    }
  }
  await world.restartSidecar();
  await expectRouted(world, baseline.ipv4);
  await expectRouted(world, baseline.ipv6 ?? "");
});

test("without any rules: the listener has the port that clients are sent to", async () => {
  const world = await makeWorld({ flags: [] });
  const { baseline, client } = world;
  for (const host of [baseline.ipv4, baseline.ipv6]) {
    const answer = await client.ask<HttpAnswer>("http", host, 15_100);
    expect(parsed(answer.text)).toEqual(json("baseline", "127.0.0.1"));
    expect(await client.ask("greeting", host, 15_103)).toBe("baseline for 127.0.0.1\n");
  }
  // The fork has no rules either: the table names its listeners then.
});

describe("what is missing is said", () => {
  test("capabilities, and iptables itself", async () => {
    const [pod] = (await makePods(1)) as [Pod];
    const command = [process.execPath, "src/main.ts", "intercept", "--inbound", "8080:15100"];
    const unprivileged = await pod.run("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", ...command);
    expect(unprivileged).toMatchObject({ status: 1 });
    expect(unprivileged.err).toContain("this process lacks NET_ADMIN; the init container needs runAsUser: 0");
    const somebody = await pod.run("setpriv", "--reuid=1000", "--clear-groups", ...command);
    expect(somebody.err).toContain("lacks NET_ADMIN and NET_RAW");
    const bare = await pod.run(
      "unshare",
      "--mount",
      "sh",
      "-c",
      'mount -t tmpfs none /usr/sbin && exec "$@"',
      "sh",
      ...command,
    );
    expect(bare).toMatchObject({ status: 1 });
    expect(bare.err).toContain("there is no iptables here");
    expect((await pod.run("iptables-save", "-t", "nat")).out).not.toContain("SIDELANE");
  });
});
