// Sidelane in a test's cluster, from the chart, as its users install it.
import { join } from "node:path";
import { repository } from "./images.ts";
import type { PodObject, World } from "./world.ts";

const chart = join(repository, "deploy", "helm", "sidelane");
const roles = ["sidelane-control", "sidelane-webhook", "sidelane-operator"];

type Values = Readonly<Record<string, string>>;

/** The chart with its defaults, but one replica of webhook and operator each, unless `values` (of `--set`) say otherwise. */
function flagsOf(values: Values): readonly string[] {
  const set = {
    "webhook.replicas": "1",
    "operator.replicas": "1",
    "webhook.config.timeouts.drainMs": "1000",
    ...values,
  };
  return ["--namespace=sidelane", ...Object.entries(set).map(([name, value]) => `--set=${name}=${value}`)];
}

/** `helm install`, until all of it is there. */
export async function installSidelane(world: World, values: Values = {}): Promise<void> {
  await world.cluster.helm(["install", "sidelane", chart, "--create-namespace", ...flagsOf(values)]);
  await rolledOut(world);
}

/** `helm upgrade`, until all of it is there. */
export async function upgradeSidelane(world: World, values: Values): Promise<void> {
  await world.cluster.helm(["upgrade", "sidelane", chart, ...flagsOf(values)]);
  await rolledOut(world);
}

async function rolledOut(world: World): Promise<void> {
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
