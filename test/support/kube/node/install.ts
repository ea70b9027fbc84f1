// Sidelane in a test's cluster, from the chart, as its users install it.
import { join } from "node:path";
import { repository } from "./images.ts";
import type { PodObject, World } from "./world.ts";

const chart = join(repository, "deploy", "helm", "sidelane");
const roles = ["sidelane-control", "sidelane-webhook", "sidelane-operator"];

/** `helm install`, until all of it is there. One replica each, unless `values` (of `--set`) say otherwise. */
export async function installSidelane(world: World, values: Readonly<Record<string, string>> = {}): Promise<void> {
  const set = {
    "control.replicas": "1",
    "webhook.replicas": "1",
    "operator.replicas": "1",
    // A start on two cores that all pods of a test share takes a while.
    "webhook.config.timeouts.drainMs": "1000",
    ...values,
  };
  const flags = Object.entries(set).map(([name, value]) => `--set=${name}=${value}`);
  await world.cluster.helm(["install", "sidelane", chart, "--namespace=sidelane", "--create-namespace", ...flags]);
  try {
    for (const role of roles) {
      const argv = ["-n", "sidelane", "rollout", "status", `deployment/${role}`, "--timeout=90s"];
      await world.cluster.kubectl(argv, { withinMs: 100_000 });
    }
  } catch (error) {
    throw new Error(`${String(error)}\n${await whatIs(world, "sidelane")}`, { cause: error });
  }
}

/** The pods of a namespace and what their containers said last, for the message of a failed test. */
export async function whatIs(world: World, namespace: string): Promise<string> {
  const parts = [
    await world.cluster.kubectl(["-n", namespace, "get", "pods,deployments,sandboxes", "-o", "wide"]).catch(String),
  ];
  const path = `/api/v1/namespaces/${namespace}/pods`;
  for (const { metadata, spec } of await world.cluster.api.list<PodObject>(path)) {
    for (const { name } of [...(spec.initContainers ?? []), ...spec.containers]) {
      const log = await world.node.logs(`${namespace}/${metadata.name}`, name);
      parts.push(`${metadata.name} ${name}:\n${log.slice(-4000)}`);
    }
  }
  return parts.join("\n\n");
}
