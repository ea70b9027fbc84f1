// Writes what follows from the Helm chart and its sources: the plain manifests of deploy/kubernetes, and the chart's copies of dashboard
// and alerts. `node scripts/generate-manifests.ts` writes them, with `--check` it says which are stale and exits 1.
//
// Needs helm: that of `npm run setup:kube`, or one on PATH.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kubeProgram } from "./kube/programs.ts";

const root = join(import.meta.dirname, "..");
const chart = "deploy/helm/sidelane";
/** What the manifests are for; everything else about them comes from the chart. */
const NAMESPACE = "sidelane";
const KUBERNETES = "1.34.0";

const head = `# Sidelane with the defaults of its Helm chart, for those who do not use Helm. Made by scripts/generate-manifests.ts.
#
#   kubectl apply --server-side -f sidelane.yaml
#
# Server-side, because the definitions are longer than what kubectl's own bookkeeping takes. The image is \`sidelane:VERSION\` of the
# nodes: \`kustomize edit set image\`, or the chart, where it comes from a registry.
apiVersion: v1
kind: Namespace
metadata:
  name: ${NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
`;

/** Every generated file with its content, paths from the root of the project. */
function generated(): Readonly<Record<string, string>> {
  const source = (path: string): string => readFileSync(join(root, path), "utf8");
  return {
    [`${chart}/dashboards/sidelane.json`]: source("deploy/grafana/sidelane.json"),
    [`${chart}/rules/sidelane.rules.yaml`]: source("deploy/prometheus/sidelane.rules.yaml"),
    "deploy/kubernetes/sidelane.yaml": head + plain(rendered()),
  };
}

/** Without hooks, which only Helm knows how to run. */
function rendered(): string {
  const args = ["template", "sidelane", chart, "--namespace", NAMESPACE, "--no-hooks", "--kube-version", KUBERNETES];
  return execFileSync(helm(), args, { cwd: root, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
}

function helm(): string {
  try {
    return kubeProgram("helm");
  } catch {
    return "helm";
  }
}

/** Without what only says that Helm has made it. */
function plain(manifests: string): string {
  return manifests
    .split("\n")
    .filter((line) => !/^\s+(?:helm\.sh\/chart: |app\.kubernetes\.io\/managed-by: Helm$)|^# Source: /u.test(line))
    .join("\n");
}

const isCheck = process.argv.includes("--check");
for (const [path, content] of Object.entries(generated())) {
  let current = "";
  try {
    current = readFileSync(join(root, path), "utf8");
  } catch {
    // It is made now.
  }
  if (current === content) continue;
  if (isCheck) {
    console.error(`${path} is stale: run node scripts/generate-manifests.ts`);
    process.exitCode = 1;
  } else {
    writeFileSync(join(root, path), content);
    console.log(`wrote ${path}`);
  }
}
