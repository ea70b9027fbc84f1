// Why rules could not be made, as a sentence about what is missing: what iptables itself says names the symptom.

/** What a try with one variant of iptables came to. */
export interface Attempt {
  /** `iptables-nft-restore` */
  readonly program: string;
  readonly outcome: "missing" | "failed";
  /** What it printed on standard error; "" when it was missing. */
  readonly said: string;
}

/** What this process may do, from /proc/self/status. */
export interface Privileges {
  readonly netAdmin: boolean;
  readonly netRaw: boolean;
}

const NET_ADMIN = 1n << 12n;
const NET_RAW = 1n << 13n;

/** Reads the effective capabilities (capabilities(7)) out of `/proc/self/status`. */
export function privilegesOf(status: string): Privileges {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/imu.exec(status)?.[1] ?? "0"}`);
  return { netAdmin: (effective & NET_ADMIN) !== 0n, netRaw: (effective & NET_RAW) !== 0n };
}

const NO_MODULE =
  /do you need to insmod|missing kernel module|Table does not exist|Protocol not supported|Module .* not found|No chain\/target\/match by that name|Couldn't load (?:match|target)|(?:RULE|CHAIN)_\w+ failed \(No such file or directory\)|failed to initialize nft|Could not fetch rule set generation id: (?:Invalid argument|Operation not supported)/iu;
const NOT_PERMITTED = /permission denied|operation not permitted|you must be root/iu;

/** The sentence, and below it what each program said. `attempts`: at least one, none of which worked. */
export function failureText(attempts: readonly Attempt[], privileges: Privileges): string {
  const said = attempts.map(({ program, outcome, said: text }) =>
    outcome === "missing" ? `${program}: not found` : `${program}: ${lines(text)}`,
  );
  return [`the rules cannot be made: ${cause(attempts, privileges)}`, ...said].join("\n  ");
}

function cause(attempts: readonly Attempt[], { netAdmin, netRaw }: Privileges): string {
  const failed = attempts.filter(({ outcome }) => outcome === "failed").map(({ said }) => said);
  if (failed.length === 0) {
    return "there is no iptables here; use Sidelane's own image for the init container, or install the package iptables";
  }
  if (!netAdmin || !netRaw) {
    const missing = [...(netAdmin ? [] : ["NET_ADMIN"]), ...(netRaw ? [] : ["NET_RAW"])].join(" and ");
    return (
      `this process lacks ${missing}; the init container needs runAsUser: 0 and capabilities.add: [NET_ADMIN, NET_RAW], ` +
      'and a namespace whose policy allows that; where none does, set sidelane.dev/interception: "named-ports"'
    );
  }
  if (failed.some((said) => NO_MODULE.test(said))) {
    return (
      "the kernel of this node has no NAT for iptables; load the modules on the node (nf_tables nft_compat nft_chain_nat, or iptable_nat ip6table_nat; " +
      'xt_REDIRECT xt_owner for both), or set sidelane.dev/interception: "named-ports"'
    );
  }
  if (failed.some((said) => NOT_PERMITTED.test(said))) {
    return "it is not permitted, though this process has NET_ADMIN and NET_RAW; a seccomp or AppArmor profile forbids it";
  }
  return "iptables refused them";
}

function lines(said: string): string {
  const kept = said
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/^(?:Try `|Perhaps iptables|Error occurred at line)/u.test(line));
  return kept.length === 0 ? "ended with an error and no words" : kept.slice(0, 5).join("; ").slice(0, 600);
}
