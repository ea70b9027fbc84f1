// `npm run test:image`: builds the image and uses it the way an orchestrator would: read-only, no capabilities, a user
// id that nobody owns, SIGTERM at the end. Needs Linux, root and podman; whatever is missing is an error that says how
// to get it, never a silent skip.
//
// By default the base image is made here (a minimal Debian plus the pinned Node of scripts/node), so that nothing but
// package registries is needed. `npm run test:image -- --base node:24-slim` pulls the official one instead.
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ContainerEngine, must, requireTools } from "./container-engine.ts";
import { get, indent, NamedChecks, until } from "./named-checks.ts";
import type { Answer } from "./named-checks.ts";

const root = join(import.meta.dirname, "..");
const image = "localhost/sidelane:test";
// Not the image's own 65532: whoever runs it may choose another.
const userId = 10_001;
// What an orchestrator's strictest policy asks for.
const hardened = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"];
const { values } = parseArgs({ options: { base: { type: "string" } } });
requireTools("image", ["podman", "runc", ...(values.base === undefined ? ["debootstrap"] : [])]);
const checks = new NamedChecks();
const engine = new ContainerEngine("image");
const running = [
  "--network=host",
  `--user=${userId}:${userId}`,
  `--volume=${join(engine.folder, "etc")}:/etc/sidelane:ro`,
];
try {
  const base = values.base ?? engine.makeBase();
  await checks.check("the image builds", () => engine.buildImage(image, base));
  if (checks.failed === 0) await useImage();
} finally {
  engine.reset();
}
checks.conclude("image");

async function useImage(): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const backends = await Promise.all([backend("baseline"), backend("sandbox")]);
  const [baseline, sandbox] = backends.map((server) => (server.address() as AddressInfo).port);
  const [inbound, admin] = await Promise.all([freePort(), freePort()]);
  const sandboxes = `sandboxes:\n  pr-7:\n    services:\n      checkout: ["127.0.0.1:${sandbox}"]\n`;
  const services = `services:\n  checkout:\n    baseline: ["127.0.0.1:${baseline}"]\n`;
  mkdirSync(join(engine.folder, "etc"));
  writeFileSync(join(engine.folder, "etc", "routes.yaml"), services);
  writeFileSync(
    join(engine.folder, "etc", "sidelane.yaml"),
    `service: checkout
listeners:
  - { name: inbound, direction: inbound, address: "127.0.0.1:${inbound}", target: "127.0.0.1:${baseline}" }
table: { file: /etc/sidelane/routes.yaml }
admin: { address: "127.0.0.1:${admin}" }
`,
  );

  await checks.check("--version says the version of the package", () => {
    const said = must(engine.podman("run", "--rm", ...hardened, ...running, image, "--version")).trim();
    if (!said.includes(version)) throw new Error(`it said ${said}, the package is ${version}`);
  });
  await checks.check("check accepts a config and a table", () => {
    must(engine.podman("run", "--rm", ...hardened, ...running, image, "check", "/etc/sidelane/sidelane.yaml"));
  });
  await checks.check("unless told otherwise it is a user with a number, and not root", () => {
    const user = must(engine.podman("image", "inspect", "--format", "{{.Config.User}}", image)).trim();
    if (!/^[1-9][0-9]*:[1-9][0-9]*$/u.test(user)) throw new Error(`it says ${JSON.stringify(user)}`);
    const program = ["--entrypoint=node", image, "-p", "`${process.getuid()}:${process.getgid()}`"];
    const said = must(engine.podman("run", "--rm", ...hardened, "--network=none", ...program)).trim();
    if (said !== user) throw new Error(`it ran as ${said}, the image says ${user}`);
  });
  // What it needs and no test of the sources misses: packages that only development has, files that the build leaves out.
  await checks.check("the code of every role can be loaded", () => {
    const roles = ["control/start-control", "webhook/start-webhook", "operator/start-operator", "doctor/report"];
    const lazy = [
      "kube/client",
      "operator/certificates/issue",
      "cli/intercept",
      "cli/doctor",
      "cli/operator",
      "cli/webhook",
    ];
    const imports = [...roles, ...lazy].map((file) => `await import("/app/dist/${file}.js");`);
    const connected = `const { connectKube } = await import("/app/dist/kube/client.js"); await connectKube().catch((error) => {
      if (error.code === "ERR_MODULE_NOT_FOUND") throw error; });`;
    const issued = `const { issueAuthority } = await import("/app/dist/operator/certificates/issue.js");
      const { certificate } = await issueAuthority(Date.now()); if (!certificate.includes("BEGIN CERTIFICATE")) process.exit(1);`;
    const program = [...imports, connected, issued].join("\n");
    const how = ["--entrypoint=node", image, "--input-type=module", "--eval", program];
    must(engine.podman("run", "--rm", ...hardened, "--network=none", ...how));
  });
  const initContainer = [...hardened, "--cap-add=NET_ADMIN,NET_RAW", "--user=0:0", "--network=none"];
  const intercept = ["intercept", "--inbound", "8080:15100", "--outbound", "80:15200"];
  await checks.check("intercept makes rules, read-only, with two capabilities", () => {
    const said = must(engine.podman("run", "--rm", ...initContainer, image, ...intercept));
    if (!said.includes("IPv4: inbound 8080 to 15100, outbound 80 to 15200")) throw new Error(`it said ${said}`);
  });
  await checks.check("intercept without them ends with exit code 1 and says what it lacks", () => {
    const { status, text } = engine.podman(
      "run",
      "--rm",
      ...hardened,
      "--user=0:0",
      "--network=none",
      image,
      ...intercept,
    );
    if (status !== 1 || !text.includes("lacks NET_ADMIN and NET_RAW")) throw new Error(`exit code ${status}: ${text}`);
  });
  await checks.check("check refuses a bad table with exit code 1", () => {
    writeFileSync(join(engine.folder, "etc", "bad.yaml"), "services: 7\n");
    const { status, text } = engine.podman(
      "run",
      "--rm",
      ...hardened,
      ...running,
      image,
      "check",
      "/etc/sidelane/bad.yaml",
    );
    if (status !== 1 || !text.includes("bad.yaml:1:")) throw new Error(`exit code ${status}: ${text}`);
  });

  const proxy = ["proxy", "--config", "/etc/sidelane/sidelane.yaml"];
  const name = "sidelane-image-test";
  await checks.check("proxy starts read-only, without capabilities, as a user nobody owns", async () => {
    must(engine.podman("run", "--detach", "--name", name, ...hardened, ...running, image, ...proxy));
    await until("GET /ready is 200", async () => (await get(admin, "/ready", { host: "localhost" })).status === 200);
    const pid = must(engine.podman("inspect", "--format", "{{.State.Pid}}", name)).trim();
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
    const capabilities = /^CapEff:\s+(\w+)/m.exec(status)?.[1];
    if (uid !== String(userId)) throw new Error(`the process runs as ${uid}`);
    if (capabilities === undefined || !/^0+$/.test(capabilities)) throw new Error(`it may ${capabilities}`);
  });
  await checks.check("a request without a key is answered by the baseline", async () => {
    expectAnswer(await get(inbound, "/", { host: "checkout" }), "baseline");
  });
  await checks.check("a table edited on the host is taken over, and its sandbox answers", async () => {
    writeFileSync(join(engine.folder, "etc", "routes.yaml"), services + sandboxes);
    await until(
      "the sandbox answers",
      async () => (await get(inbound, "/", { host: "checkout", baggage: "sidelane=pr-7" })).text === "sandbox",
    );
    expectAnswer(await get(inbound, "/", { host: "checkout" }), "baseline");
  });
  await checks.check("SIGTERM ends it with exit code 0", () => {
    must(engine.podman("stop", "--time", "20", name));
    const code = must(engine.podman("inspect", "--format", "{{.State.ExitCode}}", name)).trim();
    if (code !== "0") throw new Error(`exit code ${code}`);
  });
  if (checks.failed > 0) console.log(indent(engine.podman("logs", name).text));
  engine.podman("rm", "--force", name);
  for (const server of backends) server.close();
}

/** A service that answers its own name to everything. */
async function backend(name: string): Promise<Server> {
  const server = createServer((_request, response) => response.end(name));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

async function freePort(): Promise<number> {
  const server = await backend("");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function expectAnswer(answer: Answer, expected: string): void {
  if (answer.status === 200 && answer.text === expected) return;
  throw new Error(`expected 200 "${expected}", got ${answer.status} "${answer.text}"`);
}
