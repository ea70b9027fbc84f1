// The rights that the chart gives to control plane, webhook and operator, held against what they ask for: the three run with exactly
// these rights against a real API server, whose audit log says what they did. Nothing of it may be refused, nothing granted may
// stay unused, and with any single verb taken away, something that was done is refused. Needs `npm run setup:kube`, etcd and root.
//
// Long because the scenario has to make each role do all that it ever does.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startCluster } from "../support/kube/cluster.ts";
import type { Cluster } from "../support/kube/cluster.ts";
import { Installation } from "../support/kube/installation.ts";
import type { KubeObject } from "../support/kube/kube-api.ts";

const ROLES = ["control", "webhook", "operator"] as const;
type RoleName = (typeof ROLES)[number];
const ACCOUNT = /^system:serviceaccount:sidelane:sidelane-(control|webhook|operator)$/u;
const RBAC = "/apis/rbac.authorization.k8s.io/v1";

/** https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource?: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number; readonly message?: string };
}

/** One thing that was done, as the authorizer sees it. */
interface Deed {
  readonly role: RoleName;
  readonly verb: string;
  readonly group: string;
  /** With its subresource: `sandboxes/status`. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

interface RoleObject extends KubeObject {
  readonly rules: readonly Rule[];
}

/** The smallest part of a rule: one verb on one resource, or on one object of it. */
interface Grant {
  readonly role: RoleName;
  readonly path: string;
  /** Of the Role; "" for a ClusterRole. */
  readonly namespace: string;
  readonly index: number;
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly name: string;
}

/** Asked for in no request of ours: the admission plugin OwnerReferencesPermissionEnforcement asks for it on our behalf. */
const asked = new Set(["update sidelane.dev/sandboxes/finalizers"]);

let cluster: Cluster;
let installation: Installation;
let folder: string;
let deeds: readonly Deed[] = [];

async function events(): Promise<readonly AuditEvent[]> {
  const text = await readFile(join(folder, "audit.log"), "utf8");
  const lines = text.split("\n").filter((line) => line.endsWith("}"));
  return lines.map((line) => JSON.parse(line) as AuditEvent).filter(({ user }) => ACCOUNT.test(user.username));
}

/** What the API server has refused, once each, and why. */
async function refusals(): Promise<readonly string[]> {
  const refused = (await events()).filter(({ responseStatus }) => responseStatus?.code === 403);
  return [...new Set(refused.map(({ verb, responseStatus }) => `${verb}: ${responseStatus?.message ?? ""}`))];
}

/** What an event needed permission for; server-side apply of something new needs that of creating, too. */
function deedsOf({ user, verb, objectRef, responseStatus }: AuditEvent): readonly Deed[] {
  const role = ACCOUNT.exec(user.username)?.[1] as RoleName;
  const { apiGroup = "", resource = "", subresource, namespace = "", name = "" } = objectRef ?? {};
  if (resource === "") return [];
  const one = {
    role,
    verb,
    group: apiGroup,
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    namespace,
    // What is created by POST has no name for the authorizer.
    name: verb === "create" ? "" : name,
  };
  return verb === "patch" && responseStatus?.code === 201 ? [one, { ...one, verb: "create", name }] : [one];
}

async function grants(): Promise<readonly Grant[]> {
  const found: Grant[] = [];
  for (const role of ROLES) {
    for (const namespace of ["", "sidelane"]) {
      const kind = namespace === "" ? "/clusterroles" : "/namespaces/sidelane/roles";
      const path = `${RBAC}${kind}/sidelane-${role}`;
      const object = await cluster.api.get<RoleObject>(path).catch(() => undefined);
      for (const [index, rule] of (object?.rules ?? []).entries()) {
        for (const group of rule.apiGroups)
          for (const resource of rule.resources)
            for (const verb of rule.verbs)
              for (const name of rule.resourceNames ?? [""])
                found.push({ role, path, namespace, index, verb, group, resource, name });
      }
    }
  }
  return found;
}

function covers(grant: Grant, deed: Deed): boolean {
  return (
    grant.role === deed.role &&
    grant.verb === deed.verb &&
    grant.group === deed.group &&
    grant.resource === deed.resource &&
    (grant.namespace === "" || grant.namespace === deed.namespace) &&
    (grant.name === "" || grant.name === deed.name)
  );
}

const text = ({ role, verb, group, resource, name }: Grant | Deed): string =>
  `${role}: ${verb} ${group}/${resource}${name === "" ? "" : ` ${name}`}`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sidelane-audit-"));
  const policy = {
    apiVersion: "audit.k8s.io/v1",
    kind: "Policy",
    rules: [{ level: "Metadata", userGroups: ["system:serviceaccounts:sidelane"] }, { level: "None" }],
  };
  await writeFile(join(folder, "policy.yaml"), JSON.stringify(policy));
  cluster = await startCluster({
    apiServer: [
      `--audit-policy-file=${join(folder, "policy.yaml")}`,
      `--audit-log-path=${join(folder, "audit.log")}`,
      "--audit-log-mode=blocking",
      "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
    ],
  });
  installation = await Installation.start(cluster);
  try {
    await play();
  } catch (error) {
    throw new Error(`${[...(await refusals())].join("\n")}\n${installation.logs()}`, { cause: error });
  }
  deeds = (await events()).flatMap(deedsOf);
}, 400_000);

afterAll(async () => {
  await installation?.stop();
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

const labels = (app: string) => ({ metadata: { labels: { app } } });
const container = { name: "app", image: "shop:1", ports: [{ containerPort: 8080 }] };
const pods = (app: string, restartPolicy = "Always") => ({
  ...labels(app),
  spec: { restartPolicy, containers: [container] },
});
const workload = (kind: string, apiVersion: string, name: string, spec: object) => ({
  apiVersion,
  kind,
  metadata: { name, namespace: "shop", labels: { app: name } },
  spec,
});
const service = (name: string) =>
  workload("Service", "v1", name, { selector: { app: name }, ports: [{ name: "http", port: 8080 }] });
const selector = (app: string) => ({ matchLabels: { app } });

const application = [
  workload("Deployment", "apps/v1", "checkout", { selector: selector("checkout"), template: pods("checkout") }),
  service("checkout"),
  workload("StatefulSet", "apps/v1", "ledger", {
    serviceName: "ledger",
    selector: selector("ledger"),
    template: pods("ledger"),
  }),
  service("ledger"),
  workload("Pod", "v1", "lone", pods("lone").spec),
  service("lone"),
  workload("Job", "batch/v1", "report", { template: pods("report", "Never") }),
  workload("CronJob", "batch/v1", "nightly", {
    schedule: "0 3 * * *",
    jobTemplate: { spec: { template: pods("nightly", "Never") } },
  }),
];
const forks = application.filter(({ kind }) => kind !== "Service");

const apply = (object: object): Promise<string> =>
  cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(object) });
const custom = (kind: string, name: string, spec: object) => ({
  apiVersion: "sidelane.dev/v1alpha1",
  kind,
  metadata: { name, namespace: "shop" },
  spec,
});

/** Asks until it is so, for what tells of no change by itself. */
async function until(what: string, holds: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  try {
    await vi.waitUntil(holds, { timeout: withinMs, interval: 50 });
  } catch (error) {
    throw new Error(`not within ${withinMs} ms: ${what}`, { cause: error });
  }
}

/** Has each role do all that it ever does. */
async function play(): Promise<void> {
  for (const name of ["shop", "late"]) await cluster.kubectl(["create", "namespace", name]);
  await cluster.kubectl(["label", "namespace", "shop", "sidelane.dev/injection=enabled"]);
  for (const object of application) await apply(object);

  const workloads = forks.map(({ kind, metadata: { name } }) => ({ workload: { kind, name } }));
  await apply(custom("Sandbox", "pr-7", { forks: workloads }));
  await apply(custom("Sandbox", "pr-8", { forks: [{ workload: { kind: "Deployment", name: "no-such" } }] }));
  await apply(custom("RouteGroup", "all", { sandboxes: ["pr-7"] }));
  const found = async (kinds: string): Promise<number> => {
    const names = await cluster.kubectl(["-n", "shop", "get", kinds, "-l", "sidelane.dev/sandbox=pr-7", "-o", "name"]);
    return names.split("\n").filter((line) => line !== "").length;
  };
  // One whose time is over soon.
  await apply(
    custom("Sandbox", "pr-9", { ttl: "1s", endpoints: [{ service: "lone", addresses: ["127.0.0.1:8080"] }] }),
  );
  await until("a Sandbox is deleted when its time is over", async () =>
    (await events()).some(({ verb, objectRef }) => verb === "delete" && objectRef?.resource === "sandboxes"),
  );
  await until("each kind is forked", async () => {
    const counts = await Promise.all(
      ["deployments", "statefulsets", "pods", "jobs", "cronjobs", "services"].map(found),
    );
    return counts.every((count) => count > 0);
  });
  // A baseline goes on, a fork is left out, somebody deletes one, and in the end all is taken away.
  await cluster.kubectl(["-n", "shop", "set", "image", "deployment/checkout", "app=shop:2"]);
  await apply(custom("Sandbox", "pr-7", { forks: workloads.slice(0, 1) }));
  await until("forks are taken away", async () => (await found("statefulsets,jobs,cronjobs")) === 0);
  // Another operator takes over, says of pr-8 what the one before has said, and looks which namespaces trust the authority.
  const said = async (verb: string, resource: string): Promise<boolean> =>
    (await events()).some((event) => event.verb === verb && event.objectRef?.resource === resource);
  await until("the operator complains", () => said("create", "events"));
  await installation.startRole("operator");
  await until("the operator complains again", () => said("patch", "events"));
  await until("the operator looks for its ConfigMaps", () => said("list", "configmaps"));
  await cluster.kubectl(["-n", "shop", "delete", "sandbox,routegroup", "--all", "--wait=false"]);
  await until("sandboxes are gone", async () => {
    const left = await cluster.kubectl(["-n", "shop", "get", "sandboxes,routegroups", "-o", "name"]);
    return left.trim() === "";
  });

  // A pod in a namespace whose label the webhook has not heard of: the API server asks, the copy here knows nothing.
  await cluster.kubectl([
    ...["patch", "mutatingwebhookconfiguration", "sidelane", "--type=json", "-p"],
    JSON.stringify([{ op: "replace", path: "/webhooks/0/namespaceSelector", value: {} }]),
  ]);
  await until("the webhook has asked for a namespace", async () => {
    const name = `late-${Date.now()}`;
    await cluster.kubectl(["-n", "late", "run", name, "--image=shop:1", "--restart=Never"]);
    return (await events()).some(({ verb, objectRef }) => verb === "get" && objectRef?.resource === "namespaces");
  });

  // Enough commits for a snapshot, which deletes those before it.
  for (let count = 0; count < 520; count++) {
    const body = { labels: { count: String(count) } };
    const { status, json } = await installation.control("PUT", "/v1/sandboxes/filler", body);
    expect(status, JSON.stringify(json)).toBeLessThan(300);
  }
  // Somebody changes the Lease of a replica that lives, which reads it and goes on.
  await cluster.kubectl(["-n", "sidelane", "annotate", "leases", "-l", "sidelane.dev/lease", "touched=yes"]);
  await until("the Lease was looked for", async () =>
    (await events()).some(
      ({ verb, objectRef }) =>
        verb === "get" && objectRef?.resource === "leases" && /control-/u.test(objectRef.name ?? ""),
    ),
  );
  // A replica dies without a word, and the next one clears away what it left.
  await installation.role("control").stop("SIGKILL");
  await installation.startRole("control");
  await until(
    "the dead replica's Lease is gone",
    async () => (await events()).some(({ verb, objectRef }) => verb === "delete" && objectRef?.resource === "leases"),
    120_000,
  );

  // Last, because nobody here trusts the new authority: somebody deletes the Secrets, and the operator makes them anew.
  const secrets = ["sidelane-ca", "sidelane-control-tls", "sidelane-webhook-tls"];
  await cluster.kubectl(["-n", "sidelane", "delete", "secret", ...secrets]);
  await installation.startRole("operator");
  for (const name of secrets) await cluster.api.until("/api/v1/namespaces/sidelane/secrets", name, () => true);
}

test("nothing that a role asks for is refused", async () => {
  expect(await refusals()).toEqual([]);
  expect(new Set(deeds.map(({ role }) => role))).toEqual(new Set(ROLES));
});

test("nothing is granted that no role has used", async () => {
  const unused = (await grants()).filter(
    (grant) =>
      !asked.has(`${grant.verb} ${grant.group}/${grant.resource}`) && !deeds.some((deed) => covers(grant, deed)),
  );
  expect(unused.map(text)).toEqual([]);
});

test("no right reaches further than its kind: no wildcards, and Secrets are read and changed only by name", async () => {
  for (const grant of await grants()) {
    expect(Object.values(grant), text(grant)).not.toContain("*");
    if (grant.resource === "secrets" && grant.verb !== "create") expect(grant.name, text(grant)).not.toBe("");
  }
});

describe("with one right taken away", () => {
  test("something that was done is refused", { timeout: 240_000 }, async () => {
    const all = await grants();
    const missing: string[] = [];
    for (const grant of all) {
      const deed = deeds.find((one) => covers(grant, one));
      if (deed === undefined) continue;
      const { rules } = await cluster.api.get<RoleObject>(grant.path);
      await setRules(grant.path, without(rules, grant));
      const isRefused = await until(`${text(grant)} is refused`, async () => !(await mayDo(deed)), 10_000).then(
        () => true,
        () => false,
      );
      if (!isRefused) missing.push(text(grant));
      await setRules(grant.path, rules);
    }
    expect(missing).toEqual([]);
  });

  test("what the API server asks for on our behalf: no fork that holds its Sandbox without a right on its finalizers", async () => {
    const endpoints = [{ service: "lone", addresses: ["127.0.0.1:8080"] }];
    await apply(custom("Sandbox", "owner", { endpoints }));
    const sandbox = await cluster.api.get("/apis/sidelane.dev/v1alpha1/namespaces/shop/sandboxes/owner");
    const { uid } = sandbox.metadata;
    const operator = cluster.apiAs(await cluster.token("sidelane", "sidelane-operator"));
    const owner = {
      apiVersion: "sidelane.dev/v1alpha1",
      kind: "Sandbox",
      name: "owner",
      uid,
      blockOwnerDeletion: true,
    };
    const fork = { ...service("held"), metadata: { name: "held", namespace: "shop", ownerReferences: [owner] } };
    const make = (): Promise<string> =>
      operator
        .patch("/api/v1/namespaces/shop/services/held?fieldManager=sidelane-operator&dryRun=All", "apply", fork)
        .then(() => "made", String);
    const grant = (await grants()).find(({ resource }) => resource === "sandboxes/finalizers");
    if (grant === undefined) return expect.fail("no right on finalizers");
    expect(await make()).toBe("made");
    const { rules } = await cluster.api.get<RoleObject>(grant.path);
    await setRules(grant.path, without(rules, grant));
    await until("it is refused", async () => (await make()).includes("cannot set blockOwnerDeletion"), 10_000);
    await setRules(grant.path, rules);
  });
});

/** The rules less one verb on one resource (or one object of it). */
function without(rules: readonly Rule[], grant: Grant): readonly Rule[] {
  return rules.flatMap((rule, index) => {
    if (index !== grant.index) return [rule];
    const { resourceNames } = rule;
    const others = rule.resources.filter((resource) => resource !== grant.resource);
    const names = resourceNames?.filter((name) => name !== grant.name);
    const left: Rule[] = [
      { ...rule, resources: others },
      { ...rule, resources: [grant.resource], verbs: rule.verbs.filter((verb) => verb !== grant.verb) },
      ...(names === undefined
        ? []
        : [{ ...rule, resources: [grant.resource], verbs: [grant.verb], resourceNames: names }]),
    ];
    return left.filter((one) => one.resources.length > 0 && one.verbs.length > 0 && one.resourceNames?.length !== 0);
  });
}

async function setRules(path: string, rules: readonly Rule[]): Promise<void> {
  const [, namespace = "", name = ""] = /(?:namespaces\/([^/]+)\/)?(?:cluster)?roles\/(.+)$/u.exec(path) ?? [];
  const kind = namespace === "" ? ["clusterrole", name] : ["role", name, "-n", namespace];
  await cluster.kubectl([
    "patch",
    ...kind,
    "--type=json",
    "-p",
    JSON.stringify([{ op: "replace", path: "/rules", value: rules }]),
  ]);
}

async function mayDo({ role, verb, group, resource, namespace, name }: Deed): Promise<boolean> {
  const [kind, subresource] = resource.split("/");
  const { status } = await cluster.api.create<{ readonly status: { readonly allowed: boolean } }>(
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: {
        user: `system:serviceaccount:sidelane:sidelane-${role}`,
        groups: ["system:serviceaccounts", "system:serviceaccounts:sidelane", "system:authenticated"],
        resourceAttributes: { verb, group, resource: kind, subresource, namespace, name },
      },
    },
  );
  return status.allowed;
}
