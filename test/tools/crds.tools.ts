// The custom resources before a real API server: what their schemas take, what they refuse and in which words, how kubectl shows
// and explains them; and every shape of fork, applied. Needs the programs of `npm run setup:kube` and etcd.
//
// Long because it is one table of sentences, and one cluster serves all of it.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { isMap } from "../../src/base/is-map.ts";
import { FIELD_MANAGER } from "../../src/kube/object-names.ts";
import type { JsonMap, KubernetesObject } from "../../src/kube/object.ts";
import { pathOf } from "../../src/kube/object.ts";
import { buildFork } from "../../src/operator/fork/fork.ts";
import { shapes } from "../../src/operator/fork/shapes.ts";
import { fencedBlocks } from "../rules/markdown.ts";
import { projectFiles, readProjectFile } from "../rules/project.ts";
import { startCluster } from "../support/kube/cluster.ts";
import type { Cluster } from "../support/kube/cluster.ts";
import { KubeRefusal } from "../support/kube/kube-api.ts";
import type { KubeObject } from "../support/kube/kube-api.ts";

const crdFiles = ["sandboxes", "routegroups", "tablecommits"].map(
  (name) => `deploy/helm/sidelane/definitions/${name}.yaml`,
);

interface ListedCrd extends KubeObject {
  readonly status: {
    readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[];
  };
}

let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ manifests: crdFiles.map(readProjectFile) });
  for (const name of ["shop", "examples"]) {
    await cluster.api.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
}, 120_000);

afterAll(async () => {
  await cluster?.stop();
});

const plurals: Readonly<Record<string, string>> = {
  Sandbox: "sandboxes",
  RouteGroup: "routegroups",
  TableCommit: "tablecommits",
};

function collection(kind: string, query = ""): string {
  const plural = plurals[kind] ?? expect.fail(`no such kind: ${kind}`);
  return `${pathOf({ apiVersion: "sidelane.dev/v1alpha1", plural }, "shop")}${query}`;
}

function custom(kind: string, spec: JsonMap | undefined, name = "pr-7"): JsonMap {
  return { apiVersion: "sidelane.dev/v1alpha1", kind, metadata: { name, namespace: "shop" }, ...(spec && { spec }) };
}

/** What the API server says to it: the object as it would be stored, or the sentence of its refusal. */
async function asked(object: JsonMap): Promise<JsonMap | string> {
  const path = collection(String(object["kind"]), "?dryRun=All&fieldValidation=Strict");
  try {
    return await cluster.api.create<JsonMap>(path, object);
  } catch (error) {
    if (error instanceof KubeRefusal) return error.message;
    throw error;
  }
}

const web = { kind: "Deployment", name: "checkout" };
const fork = (more: JsonMap = {}, workload: JsonMap = web): JsonMap => ({ forks: [{ workload, ...more }] });
const change = (more: JsonMap): JsonMap => fork({ containers: [{ name: "app", ...more }] });
const at = (more: JsonMap): JsonMap => ({ endpoints: [{ service: "checkout", ...more }] });
const addresses = ["10.0.0.7:8080"];

describe("a Sandbox that is taken", () => {
  test.each<[string, JsonMap]>([
    ["a bare fork", fork()],
    [
      "each kind",
      {
        forks: Object.keys({ Deployment: 0, StatefulSet: 0, Pod: 0, Job: 0, CronJob: 0 }).map((kind) => ({
          workload: { kind, name: "a.b" },
        })),
      },
    ],
    [
      "a whole fork",
      fork({
        services: ["checkout", "admin"],
        replicas: 2,
        containers: [
          {
            name: "app",
            image: "registry.example:5000/checkout@sha256:0123",
            env: [
              { name: "A", value: "" },
              { name: "B", valueFrom: { secretKeyRef: { name: "s", key: "k", optional: true } } },
              { name: "C", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
              { name: "D", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
              { name: "E", valueFrom: { configMapKeyRef: { name: "c", key: "k" } } },
            ],
            removeEnv: ["F"],
            command: ["/app"],
            args: [],
            resources: { requests: { cpu: 1, memory: "64Mi" }, limits: { memory: "1.5Gi" } },
          },
        ],
        patch: {
          metadata: { labels: { stage: "review", gone: null }, annotations: { note: "x" } },
          spec: { nodeSelector: { zone: null }, anything: { of: ["any", 1, null] } },
        },
      }),
    ],
    ["a cron job with its schedule", fork({ schedule: "keep" }, { kind: "CronJob", name: "report" })],
    ["endpoints", at({ addresses: ["10.0.0.7:8080", "[fd00::7]:8080", "checkout.pr-7.svc:80"] })],
    [
      "endpoints by port of another namespace",
      { endpoints: [{ service: "ledger.pay", ports: { http: addresses, grpc: ["10.0.0.7:9090"] } }] },
    ],
    ["a developer's machine", { connect: [{ service: "checkout" }] }],
    [
      "everything else",
      { ...fork(), key: "Größe 42 % ü", strict: true, ttl: "521w", ttlFrom: "traffic", owner: "ada", description: "x" },
    ],
    ["a ttl of a million seconds less one", { ...fork(), ttl: "999999s" }],
    ["ten years", { ...fork(), ttl: "3652d" }],
  ])("%s", async (_, spec) => {
    const stored = await asked(custom("Sandbox", spec));
    expect(stored).toMatchObject({ spec: JSON.parse(JSON.stringify(spec)) as JsonMap });
  });

  test("gets its defaults", async () => {
    expect(await asked(custom("Sandbox", fork()))).toMatchObject({ spec: { strict: false, ttlFrom: "creation" } });
  });
});

describe("a Sandbox that is refused", () => {
  test.each<[string, JsonMap | undefined, string]>([
    ["no spec", undefined, "spec: Required value"],
    ["nothing", {}, "a sandbox without forks, endpoints and connect would change nothing; write at least one of them"],
    [
      "empty lists",
      { forks: [], endpoints: [], connect: [] },
      "a sandbox without forks, endpoints and connect would change nothing",
    ],
    ["an unknown field", { ...fork(), keys: "x" }, 'unknown field "spec.keys"'],
    ["an unknown field of a fork", fork({ image: "x" }), 'unknown field "spec.forks[0].image"'],
    [
      "a key with a semicolon",
      { ...fork(), key: "a;b" },
      "spec.key: Invalid value: \"string\": a routing key is printable, has no ';', and no space at either end",
    ],
    ["a key with a space at its end", { ...fork(), key: "a " }, "no space at either end"],
    ["a key with a line break", { ...fork(), key: "a\nb" }, "a routing key is printable"],
    [
      "an empty key",
      { ...fork(), key: "" },
      'spec.key: Invalid value: "": spec.key in body should be at least 1 chars long',
    ],
    [
      "a key of too many bytes",
      { ...fork(), key: "ü".repeat(200) },
      "a routing key has at most 256 bytes of UTF-8; shorten it",
    ],
    ["a ttl without a unit", { ...fork(), ttl: "30" }, "a ttl is a number and s, m, h, d or w: write 30m, 4h or 7d"],
    ["a ttl of two units", { ...fork(), ttl: "1h30m" }, "a ttl is a number and s, m, h, d or w"],
    ["a ttl of nothing", { ...fork(), ttl: "0m" }, "a ttl is a number and s, m, h, d or w"],
    [
      "a ttl of more than ten years",
      { ...fork(), ttl: "522w" },
      "a ttl is at most ten years; leave it out for a sandbox that stays",
    ],
    [
      "a ttl from somewhere else",
      { ...fork(), ttlFrom: "now" },
      'Unsupported value: "now": supported values: "creation", "traffic"',
    ],
    ["a fork of no workload", { forks: [{}] }, "spec.forks[0].workload: Required value"],
    [
      "a fork of another kind",
      fork({}, { kind: "DaemonSet", name: "x" }),
      'Unsupported value: "DaemonSet": supported values: "Deployment", "StatefulSet", "Pod", "Job", "CronJob"',
    ],
    [
      "a fork in another namespace",
      fork({}, { kind: "Pod", name: "pay/x" }),
      "a Sandbox forks workloads of its own namespace",
    ],
    [
      "two forks of one workload",
      { forks: [{ workload: web }, { workload: web }] },
      "two forks are of one workload; put all changes of a workload into one fork",
    ],
    [
      "two forks for one service",
      {
        forks: [
          { workload: web, services: ["a"] },
          { workload: { ...web, name: "b" }, services: ["a"] },
        ],
      },
      "two forks answer for one service; name it in the `services` of one of them",
    ],
    [
      "a fork and endpoints for one service",
      { ...fork({ services: ["checkout"] }), ...at({ addresses }) },
      "one service has a fork and endpoints as well",
    ],
    [
      "a service of another namespace for a fork",
      fork({ services: ["a.pay"] }),
      "a fork answers for Services of the Sandbox's own namespace: write the name alone",
    ],
    ["one service twice", fork({ services: ["a", "a"] }), 'spec.forks[0].services[1]: Duplicate value: "a"'],
    [
      "a service for a job",
      fork({ services: ["a"] }, { kind: "Job", name: "x" }),
      "a Job comes to an end, so it cannot answer for a service; leave `services` out",
    ],
    [
      "replicas of a cron job",
      fork({ replicas: 2 }, { kind: "CronJob", name: "x" }),
      "`replicas` is for a Deployment, StatefulSet or Pod; leave it out",
    ],
    ["no replicas", fork({ replicas: 0 }), "spec.forks[0].replicas in body should be greater than or equal to 1"],
    ["a schedule of a Deployment", fork({ schedule: "keep" }), "`schedule` is for a CronJob only; leave it out"],
    [
      "a container without a change",
      change({}),
      "nothing of the container is changed; write at least one of image, env, removeEnv, command, args and resources",
    ],
    [
      "a container twice",
      fork({
        containers: [
          { name: "a", image: "x" },
          { name: "a", image: "y" },
        ],
      }),
      "spec.forks[0].containers[1]: Duplicate value",
    ],
    ["an image with a space", change({ image: "a b" }), "an image has no spaces"],
    [
      "a variable without a value",
      change({ env: [{ name: "A" }] }),
      'a variable has either a `value` or a `valueFrom`; for an empty one write value: ""',
    ],
    [
      "a variable with two",
      change({ env: [{ name: "A", value: "x", valueFrom: { fieldRef: { fieldPath: "x" } } }] }),
      "a variable has either a `value` or a `valueFrom`",
    ],
    [
      "a value from nowhere",
      change({ env: [{ name: "A", valueFrom: {} }] }),
      "write exactly one of fieldRef, resourceFieldRef, configMapKeyRef and secretKeyRef",
    ],
    [
      "a variable with an equals sign",
      change({ env: [{ name: "A=B", value: "x" }] }),
      "the name of a variable has no '=' and no spaces",
    ],
    [
      "a variable set and removed",
      change({ env: [{ name: "A", value: "x" }], removeEnv: ["A"] }),
      "a variable is in `env` and in `removeEnv` as well; decide for one",
    ],
    [
      "an amount that is none",
      change({ resources: { limits: { memory: "much" } } }),
      "spec.forks[0].containers[0].resources.limits.memory in body should match",
    ],
    ["a patch of something else", fork({ patch: { template: {} } }), 'unknown field "spec.forks[0].patch.template"'],
    [
      "endpoints without any",
      at({}),
      "write either `addresses`, for a service with one port, or `ports`, for one with several",
    ],
    [
      "endpoints in two ways",
      at({ addresses, ports: { http: addresses } }),
      "write either `addresses`, for a service with one port",
    ],
    ["no address", at({ addresses: [] }), "spec.endpoints[0].addresses in body should have at least 1 items"],
    [
      "an address without a port",
      at({ addresses: ["10.0.0.7"] }),
      "an address is host:port, such as 10.0.0.7:8080, [fd00::7]:8080 or checkout.pr-7:8080",
    ],
    ["an address with a scheme", at({ addresses: ["http://10.0.0.7:80"] }), "an address is host:port"],
    ["an address with too high a port", at({ ports: { http: ["10.0.0.7:70000"] } }), "an address is host:port"],
    [
      "a service of nowhere",
      { connect: [{ service: "a.b.svc" }] },
      "a service is written as name or name.namespace, such as checkout or checkout.shop",
    ],
    ["a service twice", { connect: [{ service: "a" }, { service: "a" }] }, "spec.connect[1]: Duplicate value"],
  ])("%s", async (_, spec, sentence) => {
    const answer = await asked(custom("Sandbox", spec));
    expect(answer).toBeTypeOf("string");
    expect(answer).toContain(sentence);
    // Nobody has to read a rule, or wade through the object.
    expect(answer).not.toContain("failed rule");
    expect(answer).not.toContain("no such key");
  });

  test.each(["pr.7", "x".repeat(64)])("the name %s", async (name) => {
    expect(await asked(custom("Sandbox", fork(), name))).toContain(
      "the name of a Sandbox is part of the names of its forks",
    );
  });

  test("another key", async () => {
    const path = collection("Sandbox", "/keeps-its-key");
    await cluster.api.create(collection("Sandbox"), custom("Sandbox", { ...fork(), key: "blue" }, "keeps-its-key"));
    const sentence = "the key of a sandbox stays what it is, because requests on their way carry it";
    for (const key of ["red", null]) {
      await expect(cluster.api.patch(path, "merge", { spec: { key } })).rejects.toThrow(sentence);
    }
    await expect(cluster.api.patch(path, "merge", { spec: { owner: "ada", key: "blue" } })).resolves.toMatchObject({
      spec: { owner: "ada" },
    });
    await cluster.api.delete(path);
  });
});

describe("a RouteGroup", () => {
  test.each<[string, JsonMap]>([
    ["with names", { sandboxes: ["pr-7", "pr-9.pay"], key: "release-42" }],
    ["with labels", { match: { all: { team: ["shop"] }, any: { stage: ["review", "ready"] } }, owner: "ada" }],
  ])("%s is taken", async (_, spec) => {
    expect(await asked(custom("RouteGroup", spec))).toMatchObject({ spec });
  });

  test.each<[string, JsonMap | undefined, string]>([
    ["no spec", undefined, "spec: Required value"],
    ["nothing", {}, "write either `sandboxes`, their names in order, or `match`, the labels that they have"],
    ["both", { sandboxes: ["a"], match: { all: { a: ["b"] } } }, "write either `sandboxes`"],
    ["no sandbox", { sandboxes: [] }, "should have at least 1 items"],
    ["a sandbox twice", { sandboxes: ["a", "b", "a"] }, "one sandbox is named twice; leave the second out"],
    [
      "a sandbox of nowhere",
      { sandboxes: ["a/b"] },
      "a sandbox is written as name or name.namespace, such as pr-7 or pr-7.shop",
    ],
    ["a match of everything", { match: {} }, "a match without labels would take nothing: write all: { team: [shop] }"],
    ["a match of empty maps", { match: { all: {}, any: {} } }, "a match without labels would take nothing"],
    ["a label without values", { match: { all: { team: [] } } }, "should have at least 1 items"],
    ["a bad key", { sandboxes: ["a"], key: "a;b" }, "a routing key is printable, has no ';'"],
  ])("%s is refused", async (_, spec, sentence) => {
    const answer = await asked(custom("RouteGroup", spec));
    expect(answer).toBeTypeOf("string");
    expect(answer).toContain(sentence);
    expect(answer).not.toContain("failed rule");
  });

  test("keeps its key", async () => {
    const path = collection("RouteGroup", "/keeps-its-key");
    await cluster.api.create(collection("RouteGroup"), custom("RouteGroup", { sandboxes: ["a"] }, "keeps-its-key"));
    await expect(cluster.api.patch(path, "merge", { spec: { key: "new" } })).rejects.toThrow(
      "the key of a group stays what it is",
    );
    await cluster.api.delete(path);
  });
});

test("a TableCommit keeps whatever a later version writes into it", async () => {
  const spec = { format: 1, record: "commit", revision: 7, encoding: "json", data: "{}", later: { x: [1] } };
  expect(await asked(custom("TableCommit", spec))).toMatchObject({ spec });
  expect(await asked(custom("TableCommit", {}))).toContain("spec.format: Required value");
});

describe("with kubectl", () => {
  test("the schemas are structural, and served", async () => {
    const crds = await cluster.api.list<ListedCrd>("/apis/apiextensions.k8s.io/v1/customresourcedefinitions");
    for (const { metadata, status } of crds) {
      const conditions = (status?.["conditions"] ?? []) as { type: string; status: string; message: string }[];
      const said = conditions.filter(
        ({ type, status }) => (type === "Established" || type === "NamesAccepted") === (status !== "True"),
      );
      expect({ name: metadata.name, said }).toStrictEqual({ name: metadata.name, said: [] });
    }
    expect(crds.map(({ metadata }) => metadata.name)).toEqual(
      expect.arrayContaining(["routegroups.sidelane.dev", "sandboxes.sidelane.dev", "tablecommits.sidelane.dev"]),
    );
  });

  test("get has columns that tell how it stands", async () => {
    const condition = {
      type: "Ready",
      status: "False",
      reason: "SidecarBehind",
      message: "checkout-1 is behind",
      lastTransitionTime: "2026-11-23T10:00:00Z",
    };
    await cluster.api.create(collection("Sandbox"), custom("Sandbox", { ...fork(), owner: "ada" }, "shown"));
    await cluster.api.patch(collection("Sandbox", "/shown/status"), "merge", {
      status: {
        observedGeneration: 1,
        key: "shown",
        name: "shown.shop",
        serviceNames: "checkout.shop",
        services: [{ name: "checkout.shop", endpoints: addresses }],
        forks: [{ workload: "Deployment/checkout", name: "shown-checkout", ready: "1/1", image: "x" }],
        expiresAt: "2026-11-24T10:00:00Z",
        conditions: [condition],
      },
    });
    await cluster.api.create(collection("RouteGroup"), custom("RouteGroup", { sandboxes: ["shown"] }, "group"));
    await cluster.api.patch(collection("RouteGroup", "/group/status"), "merge", {
      status: {
        key: "group",
        memberNames: "shown.shop",
        members: ["shown.shop"],
        conditions: [{ ...condition, status: "True", reason: "Ready" }],
      },
    });
    const words = (text: string): string[][] =>
      text
        .trim()
        .split("\n")
        .map((line) => line.split(/\s{2,}/));
    const [heads, row] = words(await cluster.kubectl(["-n", "shop", "get", "sbx", "shown"]));
    expect(heads).toStrictEqual(["NAME", "KEY", "READY", "REASON", "SERVICES", "AGE"]);
    expect(row?.slice(0, 5)).toStrictEqual(["shown", "shown", "False", "SidecarBehind", "checkout.shop"]);
    const [wideHeads, wide] = words(await cluster.kubectl(["-n", "shop", "get", "sandbox", "shown", "-o", "wide"]));
    expect(wideHeads).toStrictEqual([
      "NAME",
      "KEY",
      "READY",
      "REASON",
      "SERVICES",
      "OWNER",
      "EXPIRES",
      "MESSAGE",
      "AGE",
    ]);
    expect(wide).toContain("checkout-1 is behind");
    const [groupHeads, group] = words(await cluster.kubectl(["-n", "shop", "get", "rg"]));
    expect(groupHeads).toStrictEqual(["NAME", "KEY", "READY", "REASON", "MEMBERS", "AGE"]);
    expect(group?.slice(0, 5)).toStrictEqual(["group", "group", "True", "Ready", "shown.shop"]);
    const both = await cluster.kubectl(["-n", "shop", "get", "sidelane", "-o", "name"]);
    expect(both.trim().split("\n").toSorted()).toStrictEqual([
      "routegroup.sidelane.dev/group",
      "sandbox.sidelane.dev/shown",
    ]);
  });

  test("the status is a thing of its own", async () => {
    await cluster.api.create(collection("Sandbox"), {
      ...custom("Sandbox", fork(), "plain"),
      status: { key: "forged" },
    });
    expect(await cluster.api.get<JsonMap>(collection("Sandbox", "/plain"))).not.toHaveProperty("status");
    await cluster.api.delete(collection("Sandbox", "/plain"));
  });

  test.each([
    ["sandbox", /A Sandbox is a set of changed services that share everything else with the\s+baseline/],
    ["sandbox.spec", /forks\s+<\[\]Object>\s+Copies of workloads of the Sandbox's own namespace/],
    ["sandbox.spec.forks.containers.env", /value\s+<string>\s+Its value/],
    ["sandbox.spec.forks.workload.kind", /ENUM:\s+Deployment\s+StatefulSet/],
    ["sandbox.status.conditions", /message\s+<string> -required-\s+A sentence, for people/],
    ["routegroup.spec.match", /all\s+<map\[string\]\[\]string>/],
    ["tablecommit", /A TableCommit is a piece of the log/],
  ])("explain %s", async (path, words) => {
    expect(await cluster.kubectl(["explain", path])).toMatch(words);
  });

  test("explain has a sentence for every field", async () => {
    for (const kind of ["sandbox", "routegroup", "tablecommit"]) {
      const text = await cluster.kubectl(["explain", kind, "--recursive"]);
      expect(text).not.toContain("<no description>");
    }
    for (const file of crdFiles)
      expect(undescribed(parseAllDocuments(readProjectFile(file))[0]?.toJS(), file)).toStrictEqual([]);
  });
});

test("the examples in the pages are taken", async () => {
  const found = projectFiles(".", ".md").flatMap((page) =>
    fencedBlocks(readProjectFile(page), "yaml").flatMap(({ line, text }) =>
      parseAllDocuments(text.includes("sidelane.dev/v1alpha1") ? text : "")
        .map((document): unknown => document.toJS())
        .filter((object): object is JsonMap => isMap(object) && object["apiVersion"] === "sidelane.dev/v1alpha1")
        .map((object) => ({ at: `${page}:${line}`, object })),
    ),
  );
  expect(found.length).toBeGreaterThan(3);
  for (const { at, object } of found) {
    const named = { ...object, metadata: { ...(object["metadata"] as JsonMap), namespace: "shop" } };
    expect({ at, answer: await asked(named) }).toMatchObject({ at, answer: { kind: object["kind"] } });
  }
});

describe("forks", () => {
  test.each(Object.keys(shapes))("%s can be applied, and again without a change", async (name) => {
    const built = buildFork(shapes[name] ?? expect.fail(name));
    for (const object of built.objects) {
      const first = await applied(object);
      expect(await applied(object)).toStrictEqual(first);
      await cluster.api.delete(`${collectionOf(object)}/${object.metadata.name}`);
    }
  });
});

function collectionOf({ apiVersion, kind }: KubernetesObject): string {
  return pathOf({ apiVersion, plural: `${kind.toLowerCase()}s` }, "examples");
}

/** Uid and generation; a generation that moves means that something is changed with each apply. */
async function applied(object: KubernetesObject): Promise<readonly unknown[]> {
  // Without its owner: there is no such Sandbox, and the collector of garbage is quick.
  const { ownerReferences: _, ...metadata } = object.metadata;
  const moved = { ...object, metadata: { ...metadata, namespace: "examples" } };
  const query = `?fieldManager=${FIELD_MANAGER}&force=true&fieldValidation=Strict`;
  const path = `${collectionOf(object)}/${object.metadata.name}${query}`;
  const { metadata: stored } = await cluster.api.patch<KubernetesObject>(path, "apply", moved);
  return [stored.uid, stored.generation];
}

/** Paths of fields of a schema that say nothing about themselves. */
function undescribed(crd: unknown, path: string): readonly string[] {
  const found: string[] = [];
  const visit = (schema: unknown, at: string): void => {
    if (!isMap(schema)) return;
    for (const [name, field] of Object.entries(isMap(schema["properties"]) ? schema["properties"] : {})) {
      // The API server says itself what metadata is.
      if (isMap(field) && typeof field["description"] !== "string" && name !== "metadata") found.push(`${at}.${name}`);
      visit(field, `${at}.${name}`);
    }
    visit(schema["items"], `${at}[]`);
    visit(schema["additionalProperties"], `${at}{}`);
  };
  const versions = (crd as { spec: { versions: { schema: { openAPIV3Schema: unknown } }[] } }).spec.versions;
  for (const { schema } of versions) visit(schema.openAPIV3Schema, path);
  return found;
}
