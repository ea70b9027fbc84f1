// Pods of a real API server on the test node: what the node does itself. Needs `npm run setup:kube`, etcd, and root for network
// namespaces (Debian: etcd-server, iproute2, iptables, util-linux).
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { NodeNetwork } from "../support/kube/node/network.ts";
import { World, app, ask, isReady, namespace, said, saidByGrpc, until } from "../support/kube/node/world.ts";

const run = promisify(execFile);
let world: World;

beforeAll(async () => {
  world = await World.start();
  await world.apply(namespace("plain"));
  await world.cluster.api.until("/api/v1/namespaces/plain/serviceaccounts", "default", () => true);
}, 180_000);
afterAll(() => world?.close(), 60_000);

const pod = (name: string, spec: object, annotations: object = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "plain", annotations },
  spec: { terminationGracePeriodSeconds: 5, ...spec },
});
const echo = (name: string, extra: object = {}): object => ({ name, image: "app/echo:v1", ...extra });
const variable = (name: string, value: string): object => ({ name, value });

test("what a killed run has left is gone with the next one", async () => {
  const file = join(import.meta.dirname, "..", "support", "kube", "node", "network.ts");
  const script = `const { NodeNetwork } = await import(${JSON.stringify(file)});
    const network = await NodeNetwork.make(); await network.addPod(); console.log(network.id); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [id] = (await once(child.stdout, "data")) as [Buffer];
  child.kill("SIGKILL");
  await once(child, "close");
  const names = async (): Promise<string> => (await run("ip", ["netns", "list"])).stdout;
  expect(await names()).toContain(id.toString().trim());
  const next = await NodeNetwork.make();
  onTestFinished(() => next.close());
  expect(await names()).not.toContain(id.toString().trim());
});

describe("a service of pods", () => {
  test("is reached by address and by name, from the host and from a pod, and follows an update", async () => {
    const back = app({ namespace: "plain", name: "back", program: "echo:v1", replicas: 2 });
    const next = "http://back.plain.svc.cluster.local/";
    const front = app({ namespace: "plain", name: "front", program: "echo:v1", env: { NEXT: next } });
    await world.apply(...back, ...front);
    const [address] = await Promise.all([world.service("plain", "front"), world.service("plain", "back", 2)]);
    const answer = await until("the front reaches the back", async () => {
      const one = await said(address, { baggage: "a=b" });
      return one.next?.version === "v1" ? one : undefined;
    });
    expect(answer).toMatchObject({ name: "front", from: expect.stringContaining(world.network.hostAddress) });
    expect(answer.next).toMatchObject({ name: "back", context: { baggage: "a=b" } });
    await world.cluster.kubectl(["-n", "plain", "set", "image", "deployment/back", "app=app/echo:v2"]);
    await until("the back is v2", async () => (await said(address)).next?.version === "v2" || undefined);
    await world.cluster.kubectl(["-n", "plain", "delete", "deployment", "front"]);
    await until("refused at once", async () => /ECONNREFUSED/u.test((await ask(address)).text) || undefined);
  }, 90_000);

  test("speaks gRPC, and is probed with it", async () => {
    const container = { readinessProbe: { grpc: { port: 9090 }, periodSeconds: 1 } };
    await world.apply(...app({ namespace: "plain", name: "who", program: "grpc:v3", port: 9090, container }));
    const address = await world.service("plain", "who");
    expect(await until("it answers", () => saidByGrpc(address))).toBe("who v3");
  }, 60_000);

  test("that is headless has the addresses of its pods as its name's, in short too", async () => {
    await world.apply(...app({ namespace: "plain", name: "bare", program: "echo:v1", replicas: 2, clusterIP: "None" }));
    const pods = await world.readyPods("plain", "app=bare", 2);
    const at = pods[0]?.metadata.name ?? "";
    const script = "require('dns').lookup('bare',{all:true},(e,a)=>console.log(e??a.map(x=>x.address).sort().join()))";
    const expected = pods
      .map(({ status }) => status?.podIP ?? "")
      .toSorted((a, b) => (a < b ? -1 : 1))
      .join();
    const found = await until("the names are the pods'", async () => {
      const { output } = await world.node.exec(`plain/${at}`, "app", [process.execPath, "-e", script]);
      return output.trim() === expected ? output : undefined;
    });
    expect(found.split(",")).toHaveLength(2);
  }, 60_000);
});

describe("a pod", () => {
  test("has its volumes and variables, as its user, and sees a changed annotation", async () => {
    await world.apply(
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "settings", namespace: "plain" },
        data: { "a.txt": "A" },
      },
      { apiVersion: "v1", kind: "Secret", metadata: { name: "keys", namespace: "plain" }, stringData: { key: "K" } },
      pod(
        "volumes",
        {
          securityContext: { runAsUser: 4321, runAsNonRoot: true },
          containers: [
            echo("app", {
              env: [
                variable("PLAIN", "p"),
                variable("BOTH", "$(PLAIN)-$(NODE)-$$(PLAIN)"),
                { name: "OWN", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
                { name: "KEY", valueFrom: { secretKeyRef: { name: "keys", key: "key" } } },
                { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
              ],
              resources: { limits: { cpu: "1500m" } },
              securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
              volumeMounts: [
                { name: "settings", mountPath: "/etc/settings" },
                { name: "own", mountPath: "/etc/own" },
                { name: "scratch", mountPath: "/scratch" },
                { name: "token", mountPath: "/var/run/secrets/other" },
              ],
            }),
          ],
          volumes: [
            { name: "settings", configMap: { name: "settings" } },
            { name: "scratch", emptyDir: {} },
            {
              name: "own",
              downwardAPI: { items: [{ path: "mark", fieldRef: { fieldPath: "metadata.annotations['mark']" } }] },
            },
            {
              name: "token",
              projected: {
                sources: [{ serviceAccountToken: { path: "token", audience: "other", expirationSeconds: 600 } }],
              },
            },
          ],
        },
        { mark: "one" },
      ),
    );
    const { status } = await world.pod("plain", "volumes", isReady);
    const sh = async (script: string): Promise<string> =>
      (await world.node.exec("plain/volumes", "app", ["sh", "-c", script])).output.trim();
    expect(await sh("echo $BOTH $OWN $KEY $CPU; id -u; cat /etc/settings/a.txt")).toBe(
      `p-$(NODE)-$(PLAIN) ${status?.podIP} K 2\n4321\nA`,
    );
    expect(await sh("touch /scratch/x && echo wrote; cat /etc/own/mark")).toMatch(/^wrote\none/u);
    expect(await sh("touch /x")).toContain("Read-only file system");
    expect(await sh("hostname -i")).toContain(status?.podIP);
    expect(await sh("grep CapEff /proc/self/status")).toMatch(/0{16}$/u);
    const claims = (await sh("cut -d. -f2 /var/run/secrets/other/token")).replaceAll("\n", "");
    expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({
      aud: ["other"],
      "kubernetes.io": { pod: { name: "volumes" } },
    });
    await world.cluster.kubectl(["-n", "plain", "annotate", "pod", "volumes", "mark=two", "--overwrite"]);
    await until("the file says two", async () => (await sh("cat /etc/own/mark")) === "two" || undefined);
  }, 60_000);

  test("asks the API server with its token", async () => {
    await world.apply(pod("asks", { containers: [echo("app")] }));
    await world.pod("plain", "asks", isReady);
    const folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    const script = `fetch('https://kubernetes.default.svc/api/v1/namespaces/plain/pods',{headers:{authorization:'Bearer '+require('fs').readFileSync('${folder}/token','utf8')}}).then(async (r)=>console.log((await r.json()).message),(e)=>console.log(e.cause))`;
    const asked = ["env", `NODE_EXTRA_CA_CERTS=${folder}/ca.crt`, process.execPath, "-e", script];
    expect((await world.node.exec("plain/asks", "app", asked)).output).toContain(
      'User "system:serviceaccount:plain:default" cannot list resource "pods"',
    );
  }, 60_000);

  test("starts in order, ends its sidecar last, and lets its requests end", async () => {
    const say = (text: string, then = "true"): object => ({
      command: ["sh", "-c", `date +%s%N > /log/${text}; ${then}`],
    });
    const folder = await mkdtemp(join(tmpdir(), "sidelane-order-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await chmod(folder, 0o777);
    const volumeMounts = [{ name: "log", mountPath: "/log" }];
    const ending = (text: string): string =>
      `trap 'date +%s%N > /log/${text}; exit 0' TERM; while :; do sleep 0.1; done`;
    await world.apply(
      pod("order", {
        initContainers: [
          { ...echo("first", say("1-first")), volumeMounts },
          {
            ...echo("side", say("2-side", ending("6-side-ends"))),
            restartPolicy: "Always",
            startupProbe: { exec: { command: ["test", "-e", "/log/2-side"] }, periodSeconds: 1 },
            volumeMounts,
          },
          { ...echo("second", say("3-second")), volumeMounts },
        ],
        containers: [{ ...echo("app", say("4-app", ending("5-app-ends"))), volumeMounts }],
        volumes: [{ name: "log", hostPath: { path: folder } }],
      }),
      ...app({ namespace: "plain", name: "slow", program: "echo:v1" }),
    );
    await world.pod("plain", "order", isReady);
    const address = await world.service("plain", "slow");
    // The rules follow the endpoints.
    const late = await until("it is under way", () => fetch(`http://${address}/slow?ms=2000`));
    await world.cluster.kubectl(["-n", "plain", "delete", "pod/order", "deployment/slow", "--wait=false"]);
    expect(await late.json()).toMatchObject({ name: "slow" });
    await world.cluster.api.untilGone("/api/v1/namespaces/plain/pods", "order");
    const { stdout } = await run("sh", [
      "-c",
      `cd ${folder} && for f in [1-6]-*; do echo $(cat $f) $f; done | sort -n`,
    ]);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ")[1]),
    ).toEqual(["1-first", "2-side", "3-second", "4-app", "5-app-ends", "6-side-ends"]);
  }, 60_000);

  test("tells the truth when it cannot start, crashes, hangs or is ill", async () => {
    const liveness = { httpGet: { path: "/health", port: 8080 }, periodSeconds: 1, failureThreshold: 2 };
    await world.apply(
      pod("no-image", { containers: [{ name: "app", image: "nobody/nothing:1" }] }),
      pod("no-config", { containers: [echo("app", { envFrom: [{ configMapRef: { name: "absent" } }] })] }),
      pod("crashes", { containers: [echo("app", { command: ["sh", "-c", "echo why; exit 3"] })] }),
      pod("hangs", { containers: [echo("app", { livenessProbe: liveness })] }),
      pod("ill", { containers: [echo("app", { readinessProbe: { ...liveness, failureThreshold: 1 } })] }),
    );
    const waiting =
      (reason: string) =>
      (one: { readonly status?: { readonly containerStatuses?: readonly { readonly state: object }[] } }) =>
        JSON.stringify(one.status?.containerStatuses?.[0]?.state ?? {}).includes(`"${reason}"`);
    await world.pod("plain", "no-image", waiting("ErrImagePull"));
    await world.pod("plain", "no-image", waiting("ImagePullBackOff"));
    await world.pod("plain", "no-config", waiting("CreateContainerConfigError"));
    const crashed = await world.pod("plain", "crashes", waiting("CrashLoopBackOff"));
    expect(crashed.status?.containerStatuses?.[0]?.lastState.terminated).toMatchObject({
      exitCode: 3,
      message: "why\nwhy\n",
    });
    const ill = await world.pod("plain", "ill", isReady);
    await ask(`${ill.status?.podIP}:8080`, "/ill");
    await world.pod("plain", "ill", (one) => !isReady(one));
    await ask(`${ill.status?.podIP}:8080`, "/well");
    await world.pod("plain", "ill", isReady);
    const hung = await world.pod("plain", "hangs", isReady);
    await ask(`${hung.status?.podIP}:8080`, "/die");
    await world.pod("plain", "hangs", (one) => one.status?.containerStatuses?.[0]?.restartCount === 1 && isReady(one));
    await world.node.signal("plain/hangs", "app", "SIGKILL");
    const killed = await world.pod("plain", "hangs", (one) => one.status?.containerStatuses?.[0]?.restartCount === 2);
    expect(killed.status?.containerStatuses?.[0]?.lastState.terminated).toMatchObject({ exitCode: 137 });
  }, 90_000);

  test("of a Job ends with it, its sidecar too", async () => {
    const caller = { name: "app", image: "app/caller:v1", env: [variable("URL", "http://target.plain/")] };
    const spec = {
      restartPolicy: "Never",
      initContainers: [echo("side", { restartPolicy: "Always" })],
      containers: [caller],
    };
    await world.apply(...app({ namespace: "plain", name: "target", program: "echo:v1" }));
    await world.service("plain", "target");
    await world.apply({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "once", namespace: "plain" },
      spec: { backoffLimit: 3, template: { spec } },
    });
    interface JobObject {
      readonly status?: { readonly succeeded?: number };
    }
    const done = (job: unknown): boolean => (job as JobObject).status?.succeeded === 1;
    const job = await world.cluster.api.until("/apis/batch/v1/namespaces/plain/jobs", "once", done);
    expect(job.metadata.name).toBe("once");
  }, 60_000);
});
