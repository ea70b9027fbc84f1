import { RefusedError } from "../base/refused-error.ts";
import { VARIANTS, intercept, removeInterception } from "../intercept/apply.ts";
import type { Done, Iptables, Variant } from "../intercept/apply.ts";
import { parseInterception } from "../intercept/interception.ts";
import type { Interception } from "../intercept/interception.ts";
import { rulesText } from "../intercept/rules.ts";
import { type ExitCode, type FlagValues, MisuseError } from "./command.ts";

/** `--user` of sidecars that the webhook makes. */
const USER = "15065";

/** `sidelane intercept`: makes the rules of this network namespace, prints or removes them; a `RefusedError` when it cannot. */
export async function interceptCommand(flags: FlagValues): Promise<ExitCode> {
  const tools = { variants: variantsOf(flags["iptables"]), env: process.env };
  if (flags["remove"] === true) return remove(flags, tools);
  const interception = interceptionOf(flags);
  if (flags["dryRun"] === true) {
    process.stdout.write(`# iptables-restore --noflush\n${rulesText(interception, 4)}`);
    process.stdout.write(`# ip6tables-restore --noflush\n${rulesText(interception, 6)}`);
    return 0;
  }
  refuseOtherSystems();
  for (const done of intercept(interception, tools)) process.stdout.write(`${doneText(done, interception)}\n`);
  return 0;
}

function remove(flags: FlagValues, tools: Iptables): ExitCode {
  if (["inbound", "outbound", "dryRun"].some((name) => flags[name] !== undefined)) {
    throw new MisuseError("--remove takes all rules away, and no other flags but --iptables");
  }
  refuseOtherSystems();
  const removed = removeInterception(tools);
  if (removed.length === 0) process.stdout.write("there were no rules\n");
  for (const { family, variant } of removed) process.stdout.write(`IPv${family}: removed (${variant})\n`);
  return 0;
}

function interceptionOf(flags: FlagValues): Interception {
  const list = (name: string): readonly string[] => [flags[name] ?? []].flat().map(String);
  const parsed = parseInterception({
    inbound: list("inbound"),
    outbound: list("outbound"),
    excludeSource: list("excludeSource"),
    excludeDestination: list("excludeDestination"),
    user: String(flags["user"] ?? USER),
  });
  if ("problems" in parsed) throw new MisuseError(parsed.problems.join("\n"));
  if (parsed.inbound.length === 0 && parsed.outbound.length === 0) {
    throw new MisuseError("say what is intercepted: --inbound 8080:15100, --outbound 80:15200, or both");
  }
  return parsed;
}

function variantsOf(wanted: FlagValues[string]): readonly Variant[] {
  return wanted === undefined ? VARIANTS : VARIANTS.filter((variant) => variant === wanted);
}

function refuseOtherSystems(): void {
  if (process.platform !== "linux") throw new RefusedError("rules are made in Linux; --dry-run prints them anywhere");
}

function doneText({ family, variant, note }: Done, { inbound, outbound }: Interception): string {
  if (variant === undefined) return `IPv${family}: left out: ${note ?? ""}`;
  const parts = [
    ...inbound.map(({ port, to }) => `inbound ${port} to ${to}`),
    ...outbound.map(({ port, to }) => `outbound ${port} to ${to}`),
  ];
  return `IPv${family}: ${parts.join(", ")} (${variant})`;
}
