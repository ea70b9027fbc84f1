import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { JsonMap } from "../../kube/object.ts";
import {
  checkout,
  checkoutService,
  container,
  deployment,
  http,
  httpPort,
  input,
  live,
  podSpec,
  sandbox,
  service,
  template,
} from "./fixture.ts";
import { buildFork } from "./fork.ts";
import { mapAt } from "./json.ts";
import { shapes } from "./shapes.ts";
import { takenBy, workloadMissing } from "./unforkable.ts";

// Each shape as it comes out is golden/NAME.yaml; update with `vitest run -u`.
test.each(Object.keys(shapes))("%s", async (name) => {
  const built = buildFork(shapes[name] ?? expect.fail(name));
  expect(built.problems).toStrictEqual([]);
  const { objects, ...rest } = built;
  const text = [rest, ...objects]
    .map((one) => stringify(one, { lineWidth: 0, aliasDuplicateObjects: false }))
    .join("---\n");
  await expect(text).toMatchFileSnapshot(`golden/${name}.yaml`);
});

describe("says what is there instead of", () => {
  const problemsOf = (...given: Parameters<typeof input>): readonly string[] => {
    const { objects, problems } = buildFork(input(...given));
    expect(objects).toStrictEqual([]);
    return problems;
  };
  const ports = (...list: JsonMap[]): { services: ReturnType<typeof service>[] } => ({
    services: [service("checkout", { app: "checkout" }, list)],
  });

  test("a container that is not there", () => {
    expect(problemsOf(checkout(), { containers: [{ name: "ap", image: "x" }] })).toStrictEqual([
      "Deployment checkout has no container ap; it has app",
    ]);
    expect(problemsOf(checkout(), { containers: [{ name: "appp", image: "x" }] })).toStrictEqual([
      "Deployment checkout has no container appp; it has app: did you mean app?",
    ]);
  });

  test("a Service that is not there", () => {
    expect(problemsOf(checkout(), { services: ["chekout"] })).toStrictEqual([
      "there is no Service chekout in namespace shop for the fork of Deployment checkout to answer for; there is checkout: did you mean checkout?",
    ]);
  });

  test("a named port that no container has", () => {
    expect(problemsOf(checkout(), {}, ports(httpPort, { name: "grpc", port: 9090, targetPort: "grpc" }))).toStrictEqual(
      [
        "Service checkout sends port grpc (9090) to grpc, but no container of the fork of Deployment checkout has a TCP port called grpc; it has http (8080): give the port that name",
      ],
    );
  });

  test("a port that the patch takes away", () => {
    const patch = { spec: { containers: [container("app", { ports: [{ containerPort: 9000 }] })] } };
    expect(problemsOf(checkout(), { patch }, ports({ port: 80, targetPort: 8080 }))).toStrictEqual([
      "Service checkout sends port 80 to 8080, which the change takes away from Deployment checkout; the fork has 9000: leave the port in",
    ]);
  });

  test("a TCP port", () => {
    expect(problemsOf(checkout(), {}, ports({ name: "dns", port: 53, protocol: "UDP" }))).toStrictEqual([
      "Service checkout has no TCP port, only dns (UDP 53); Sidelane routes TCP (HTTP, gRPC and other), so no fork can answer for it",
    ]);
  });

  test("ports at all, and a Service of one's own", () => {
    expect(problemsOf(checkout(), {}, ports())[0]).toMatch(/^Service checkout has no ports/);
    const external = service("ext", {}, [httpPort], { type: "ExternalName" });
    expect(problemsOf(checkout(), { services: ["ext"] }, { services: [external] })[0]).toMatch(/is an ExternalName/);
  });

  test("containers", () => {
    expect(problemsOf(checkout(), { patch: { spec: { containers: null } } })[0]).toMatch(/has no containers left/);
  });

  test("a baseline", () => {
    const fork = buildFork(input(checkout())).objects[0] ?? expect.fail();
    expect(problemsOf(fork)[0]).toBe(
      "Deployment pr-7-checkout is itself a fork, of Sandbox pr-7; name the workload that it was made from",
    );
    const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web-1", uid: "1", controller: true };
    const pod = live("v1", "Pod", "web-1-x", podSpec([container("app")]), { ownerReferences: [owner] });
    expect(problemsOf(pod)[0]).toBe(
      "Pod web-1-x belongs to ReplicaSet web-1, which makes it anew whenever it likes; name its Deployment",
    );
    const run = live("batch/v1", "Job", "r-1", {}, { ownerReferences: [{ ...owner, kind: "CronJob", name: "r" }] });
    expect(problemsOf(run)[0]).toBe(
      "Job r-1 belongs to CronJob r, which makes it anew whenever it likes; name that CronJob",
    );
    expect(problemsOf(live("apps/v1", "DaemonSet", "d", {}))[0]).toMatch(
      /^a DaemonSet cannot be forked; name a Deployment/,
    );
  });

  test("a sidecar, without which a job would ask the baseline", () => {
    const off = { "sidelane.dev/inject": "false" };
    const job = live("batch/v1", "Job", "report", { template: template({}, podSpec([container("app")]), off) });
    expect(problemsOf(job)[0]).toMatch(
      /^the pods of Job report say sidelane\.dev\/inject: "false", and without a sidecar/u,
    );
    const patch = { metadata: { annotations: { "sidelane.dev/inject": "true" } } };
    expect(buildFork(input(job, { patch })).problems).toEqual([]);
    // What it sends has the key by itself or not at all; what comes in has been decided already.
    const web = deployment("web", template({}, podSpec([container("app")]), off));
    expect(buildFork(input(web)).problems).toEqual([]);
  });

  test("a network of its own", () => {
    const onHost = checkout({}, { hostNetwork: true });
    expect(problemsOf(onHost)[0]).toMatch(/^Deployment checkout runs in the network of its node/);
    expect(buildFork(input(onHost, { patch: { spec: { hostNetwork: false } } })).problems).toStrictEqual([]);
  });

  test("a name that is free", () => {
    const taken = live("apps/v1", "Deployment", "pr-7-checkout", {});
    const sentence =
      "Deployment pr-7-checkout is there already and is not a fork of Sandbox pr-7; nothing of somebody else's is overwritten: give the Sandbox another name";
    expect(problemsOf(checkout(), {}, { others: [taken] })).toStrictEqual([sentence]);
    expect(takenBy(taken, sandbox([]))).toBe(sentence);
    const own = buildFork(input(checkout())).objects;
    expect(own.map((object) => takenBy(object, sandbox([])))).toStrictEqual([undefined, undefined]);
    expect(
      own.map((object) =>
        takenBy(object, { ...sandbox([]), metadata: { name: "pr-7", namespace: "shop", uid: "2" } }),
      )[0],
    ).toMatch(/not a fork/);
    expect(buildFork(input(checkout(), {}, { others: own })).problems).toStrictEqual([]);
  });

  test("a workload", () => {
    expect(workloadMissing({ kind: "Deployment", name: "chekout" }, "shop", ["pay", "checkout"])).toBe(
      "there is no Deployment chekout in namespace shop to fork; there are checkout, pay: did you mean checkout?",
    );
    expect(workloadMissing({ kind: "Job", name: "x" }, "shop", [])).toBe(
      "there is no Job x in namespace shop to fork; there are none",
    );
  });

  test("a Service for something that comes to an end", () => {
    const job = live("batch/v1", "Job", "migrate", { template: template({}, podSpec([container("app")])) });
    expect(problemsOf(job, { services: ["checkout"] })).toStrictEqual([
      "the fork of Job migrate comes to an end, so it cannot answer for a Service; leave `services` out",
    ]);
  });
});

test("follows the baseline", () => {
  const change = { containers: [{ name: "app", env: [{ name: "FLAG", value: "on" }] }] };
  const before = buildFork(input(checkout(), change)).objects[0];
  const after = buildFork(input(checkout({ image: "registry.example/app:2.0.0" }), change)).objects[0];
  const appOf = (object: typeof before): JsonMap => {
    const list = mapAt(mapAt(object?.spec, "template"), "spec")["containers"];
    return (list as JsonMap[])[0] ?? {};
  };
  expect(appOf(before)["image"]).toBe("registry.example/app:1.0.0");
  expect(appOf(after)["image"]).toBe("registry.example/app:2.0.0");
  expect(appOf(after)["env"]).toStrictEqual(appOf(before)["env"]);
});

test("makes another Job of other content, and the same of the same", () => {
  const nameOf = (image: string): string => {
    const job = live("batch/v1", "Job", "migrate", { template: template({}, podSpec([container("app", { image })])) });
    return buildFork(input(job)).objects[0]?.metadata.name ?? "";
  };
  expect(nameOf("a")).toBe(nameOf("a"));
  expect(nameOf("a")).not.toBe(nameOf("b"));
  expect(nameOf("a")).toMatch(/^pr-7-migrate-[a-z0-9]{5}$/);
});

test("tells namesakes of one sandbox apart", () => {
  const forks = (["Deployment", "CronJob"] as const).map((kind) => ({ workload: { kind, name: "checkout" } }));
  const own = sandbox(forks);
  const names = forks.map((forkSpec) => buildFork({ ...input(checkout()), sandbox: own, forkSpec }).name);
  expect(names).toStrictEqual(["pr-7-checkout", "pr-7-checkout-cronjob"]);
});

test("gives a fork that has no Service what it needs to be known: its service's name and the key", () => {
  const { objects, remarks } = buildFork(input(checkout(), {}, { services: [] }));
  expect(objects).toHaveLength(1);
  expect(remarks[0]).toMatch(/^no Service selects the pods of Deployment checkout/);
  expect(mapAt(mapAt(objects[0]?.spec, "template"), "metadata")["annotations"]).toStrictEqual({
    "sidelane.dev/sandbox": "pr-7.shop",
    "sidelane.dev/service": "checkout.shop",
    "sidelane.dev/stamp": "pr-7",
  });
});

test("does not take a fork's Service for one of the baseline", () => {
  const forkService = buildFork(input(checkout(), {}, { name: "pr-9" })).objects[1] ?? expect.fail();
  const { serviceNames, problems } = buildFork(input(checkout(), {}, { services: [checkoutService, forkService] }));
  expect(problems).toStrictEqual([]);
  expect(serviceNames).toStrictEqual(["checkout"]);
  expect(
    buildFork(input(checkout(), { services: ["pr-9-checkout"] }, { services: [checkoutService, forkService] }))
      .problems,
  ).toHaveLength(1);
});

test("tells of environment variables that are not there to be removed", () => {
  const change = { containers: [{ name: "app", removeEnv: ["NO"] }] };
  expect(buildFork(input(checkout(), change)).remarks).toStrictEqual([
    "container app has no environment variable NO to remove",
  ]);
  const from = deployment("checkout", template({}, podSpec([container("app", { ports: [http], envFrom: [{}] })])));
  expect(buildFork(input(from, change)).remarks[0]).toMatch(/by envFrom can be set to another value, not removed$/);
});

test.each([
  ["an empty object", {}],
  ["a template of another shape", { template: [], selector: "x" }],
  ["containers of another shape", { template: { metadata: null, spec: { containers: ["x", null, {}] } } }],
])("does not fall over %s", (_, spec) => {
  const kinds = ["Deployment", "StatefulSet", "Job", "CronJob", "Pod"];
  const built = kinds.map((kind) => buildFork(input(live("v1", kind, "odd", spec))));
  expect(built.every(({ problems, objects }) => problems.length > 0 || objects.length > 0)).toBe(true);
});
