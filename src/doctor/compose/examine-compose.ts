// Looks at a compose set-up without starting anything: is each sidecar in front of its app, does it find its table, and do
// callers find it?

import { existsSync, readFileSync } from "node:fs";
import type { ControlConfig } from "../../config/control-config.ts";
import { loadConfig } from "../../config/load-config.ts";
import { loadControlConfig } from "../../config/load-control-config.ts";
import { formatProblem } from "../../config/problem.ts";
import type { Problem } from "../../config/problem.ts";
import type { ProxyConfig } from "../../config/proxy-config.ts";
import { parseEndpoint } from "../../routing/endpoint-name.ts";
import type { Findings } from "../finding.ts";
import { hostPathOf } from "./compose-file.ts";
import type { ComposeService } from "./compose-file.ts";

const KEPT_TABLES = "/var/lib/sidelane";

interface Control {
  readonly service: ComposeService;
  readonly config: ControlConfig;
}

/** Looks at these services; `file` names them in the findings. */
export function examineCompose(file: string, services: readonly ComposeService[], findings: Findings): void {
  const subject = (service: ComposeService): string => `${file}: ${service.name}`;
  const sidecars = services.filter((service) => roleOf(service) === "proxy");
  const controls: Control[] = [];
  for (const service of services.filter((one) => roleOf(one) === "control")) {
    const config = controlConfigOf(service, subject(service), findings);
    if (config === undefined) continue;
    controls.push({ service, config });
    examineStore(service, config, subject(service), findings);
  }
  if (sidecars.length === 0) {
    findings.error(
      file,
      "no service has the command proxy, so there is no sidecar",
      "put one in front of a service, deploy/compose/compose.yaml is an example",
    );
  }
  for (const sidecar of sidecars) {
    const config = proxyConfigOf(sidecar, subject(sidecar), findings);
    if (config === undefined) continue;
    const before = findings.all.length;
    examineSidecar(sidecar, config, { services, sidecars, controls }, subject(sidecar), findings);
    if (findings.all.slice(before).some(({ level }) => level !== "good")) continue;
    const targets = config.listeners.flatMap((listener) => (listener.direction === "inbound" ? [listener.target] : []));
    const source = config.table.file ?? `control plane ${config.table.control}`;
    findings.good(subject(sidecar), `sidecar of ${config.service} in front of ${targets.join(", ")}, table: ${source}`);
  }
}

/** The subcommand of Sidelane that a service runs, "" for others. */
function roleOf({ command }: ComposeService): "proxy" | "control" | "" {
  const [first, second] = command;
  const word = first === "sidelane" || first?.endsWith("/sidelane") === true ? second : first;
  return word === "proxy" || word === "control" ? word : "";
}

/** The text of the config that the service runs with; undefined when that was a finding. */
function configText(
  service: ComposeService,
  variable: string,
  subject: string,
  findings: Findings,
): { readonly text: string; readonly file: string } | undefined {
  const { command, environment } = service;
  const flag = command.indexOf("--config");
  const joined = command.find((word) => word.startsWith("--config="))?.slice("--config=".length);
  const path = joined ?? (flag === -1 ? environment[variable] : command[flag + 1]);
  if (path === undefined || path === "") return { text: "", file: `environment of ${service.name}` };
  const found = hostPathOf(service, path);
  if ("why" in found) {
    if (found.why === "volume") {
      findings.warning(
        subject,
        `${path} is in a volume and was not looked at`,
        "sidelane check FILE looks at one file",
      );
    } else {
      findings.error(subject, `${path} is not mounted`, `add a volume: volumes: [./config:${folderOf(path)}:ro]`);
    }
    return undefined;
  }
  if (!existsSync(found.hostPath)) {
    findings.error(
      subject,
      `${path} is ${found.hostPath} on this machine, and that does not exist`,
      "make it, or correct the volume",
    );
    return undefined;
  }
  try {
    return { text: readFileSync(found.hostPath, "utf8"), file: found.hostPath };
  } catch (error) {
    findings.error(
      subject,
      `${found.hostPath} cannot be read: ${(error as Error).message}`,
      "check its mode and owner",
    );
    return undefined;
  }
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

function proxyConfigOf(service: ComposeService, subject: string, findings: Findings): ProxyConfig | undefined {
  const text = configText(service, "SIDELANE_CONFIG", subject, findings);
  if (text === undefined) return undefined;
  const result = loadConfig(text.text, text.file, service.environment);
  tell(result.ok ? result.warnings : result.problems, result.ok, subject, findings);
  return result.ok ? result.config : undefined;
}

function controlConfigOf(service: ComposeService, subject: string, findings: Findings): ControlConfig | undefined {
  const text = configText(service, "SIDELANE_CONTROL_CONFIG", subject, findings);
  if (text === undefined) return undefined;
  const result = loadControlConfig(text.text, text.file, service.environment);
  tell(result.ok ? result.warnings : result.problems, result.ok, subject, findings);
  return result.ok ? result.config : undefined;
}

/** Services share their configs, so a warning about one is told once. */
function tell(problems: readonly Problem[], isGood: boolean, subject: string, findings: Findings): void {
  for (const problem of problems) {
    const message = formatProblem(problem);
    if (!isGood) findings.error(subject, message, "");
    else if (findings.all.every((one) => one.message !== message)) findings.warning(subject, message, "");
  }
}

function examineStore(service: ComposeService, { store }: ControlConfig, subject: string, findings: Findings): void {
  const folder = store.kind === "file" ? store.directory : "";
  if (folder !== "" && "why" in hostPathOf(service, folder) && !isMounted(service, folder)) {
    const isBelow = folder === KEPT_TABLES || folder.startsWith(`${KEPT_TABLES}/`);
    const volume = `volumes: [store:${KEPT_TABLES}]`;
    findings.warning(
      subject,
      "its store is in no volume: services, sandboxes and groups are gone with the container",
      isBelow ? `add a volume: ${volume}` : `add ${volume}, and store: file:${KEPT_TABLES} to its config`,
    );
    return;
  }
  findings.good(subject, `control plane, store ${store.kind}`);
}

function isMounted(service: ComposeService, path: string): boolean {
  const found = hostPathOf(service, path);
  return "hostPath" in found || found.why === "volume";
}

interface Around {
  readonly services: readonly ComposeService[];
  readonly sidecars: readonly ComposeService[];
  readonly controls: readonly Control[];
}

function examineSidecar(
  sidecar: ComposeService,
  config: ProxyConfig,
  around: Around,
  subject: string,
  findings: Findings,
): void {
  for (const listener of config.listeners) {
    if (listener.direction === "inbound") examineTarget(sidecar, listener.target, around.services, subject, findings);
  }
  if (config.table.file === undefined) {
    examineControl(sidecar, config.table.control, around.controls, around.services, subject, findings);
    if (!isMounted(sidecar, config.table.keep)) {
      findings.warning(
        subject,
        `${config.table.keep} is in no volume: without the control plane a new container has no table to start from`,
        `add a volume: volumes: [tables:${KEPT_TABLES}]`,
      );
    }
  } else if (!isMounted(sidecar, config.table.file)) {
    const isOnHost = existsSync(config.table.file);
    if (!isOnHost)
      findings.error(subject, `the table ${config.table.file} is not mounted`, "mount it beside the config");
  }
}

function examineTarget(
  sidecar: ComposeService,
  target: string,
  services: readonly ComposeService[],
  subject: string,
  findings: Findings,
): void {
  const parsed = parseEndpoint(target);
  if ("problem" in parsed) return;
  const { host } = parsed;
  const isLocal = host === "localhost" || host === "::1" || host.startsWith("127.");
  const app = isLocal
    ? services.find(({ name, networkOf }) => sidecar.networkOf === name || networkOf === sidecar.name)
    : services.find(({ names }) => names.includes(host));
  if (app === undefined) {
    if (isLocal) {
      findings.error(
        subject,
        `its target is ${target}, but no service shares its network`,
        "name the app's service as the target, or let one of them have network_mode: service:NAME",
      );
    } else if (!/^[0-9.]+$|:/u.test(host)) {
      findings.error(
        subject,
        `its target is ${target}, and no service here is called ${host}`,
        `correct the target, or add a service ${host}`,
      );
    }
    return;
  }
  if (app.name === sidecar.name) {
    findings.error(
      subject,
      `its target ${target} is the sidecar itself`,
      "give the app a name of its own, as checkout-app, and name that",
    );
    return;
  }
  const shared = app.names.filter((name) => sidecar.names.includes(name));
  if (shared.length > 0) {
    findings.error(
      subject,
      `it and ${app.name} are both called ${shared.join(", ")}: some callers pass the sidecar by`,
      `take that name from ${app.name}`,
    );
  }
  if (!isLocal && !app.networks.some((network) => sidecar.networks.includes(network))) {
    findings.error(subject, `it shares no network with ${app.name}`, "put both into one of `networks`");
  }
  if (app.published.length > 0 && app.networkOf === undefined && !isLocal) {
    findings.warning(
      subject,
      `${app.name} publishes ${app.published.join(", ")}: who comes in there passes the sidecar by`,
      "publish the sidecar's port instead",
    );
  }
}

function examineControl(
  sidecar: ComposeService,
  address: string,
  controls: readonly Control[],
  services: readonly ComposeService[],
  subject: string,
  findings: Findings,
): void {
  const parsed = parseEndpoint(address);
  if ("problem" in parsed) return;
  const control = controls.find(({ service }) => service.names.includes(parsed.host));
  if (control === undefined) {
    const other = services.find(({ names }) => names.includes(parsed.host));
    if (other !== undefined && roleOf(other) !== "control") {
      findings.error(
        subject,
        `its table comes from ${address}, but ${other.name} runs no control plane`,
        "name the service with the command control",
      );
    } else if (other === undefined && !parsed.host.includes(".") && !parsed.host.includes(":")) {
      findings.error(
        subject,
        `its table comes from ${address}, and no service here is called ${parsed.host}`,
        `correct table.control, or add a service ${parsed.host}`,
      );
    }
    return;
  }
  const feed = parseEndpoint(control.config.feed.address);
  if ("problem" in feed) return;
  if (feed.port !== parsed.port) {
    findings.error(
      subject,
      `its table comes from port ${parsed.port} of ${parsed.host}, but the feed there listens on ${feed.port}`,
      `write ${parsed.host}:${feed.port} in table.control`,
    );
  }
  if (feed.host.startsWith("127.") || feed.host === "localhost") {
    findings.error(
      `${subject} -> ${control.service.name}`,
      `the feed listens on ${control.config.feed.address}, which no other container reaches`,
      `write feed: { address: "0.0.0.0:${feed.port}" } in its config`,
    );
  }
  if (!control.service.networks.some((network) => sidecar.networks.includes(network))) {
    findings.error(subject, `it shares no network with ${control.service.name}`, "put both into one of `networks`");
  }
}
