import { expect, test } from "vitest";
import { type Attempt, failureText, privilegesOf } from "./failure.ts";

const both = { netAdmin: true, netRaw: true };
const failed = (said: string): Attempt => ({ program: "iptables-nft-restore", outcome: "failed", said });
const missing: Attempt = { program: "iptables-legacy-save", outcome: "missing", said: "" };

test.each([
  ["no program", [missing, missing], both, /there is no iptables here.*install the package/u],
  [
    "no capability",
    [failed("Permission denied (you must be root)")],
    { netAdmin: false, netRaw: true },
    /lacks NET_ADMIN; .*named-ports/u,
  ],
  ["neither", [failed("")], { netAdmin: false, netRaw: false }, /lacks NET_ADMIN and NET_RAW/u],
  [
    "no module for the table",
    [
      failed(
        "iptables v1.8.9 (legacy): can't initialize iptables table `nat': Table does not exist (do you need to insmod?)",
      ),
    ],
    both,
    /the kernel of this node has no NAT/u,
  ],
  [
    "no module for a target",
    [failed("Warning: Extension REDIRECT revision 0 not supported, missing kernel module?")],
    both,
    /xt_REDIRECT/u,
  ],
  [
    "no nf_tables",
    [failed("iptables: Failed to initialize nft: Protocol not supported"), missing],
    both,
    /has no NAT/u,
  ],
  ["a profile", [failed("Operation not permitted")], both, /seccomp or AppArmor/u],
  [
    "something else",
    [failed("line 7 failed")],
    both,
    /iptables refused them\n {2}iptables-nft-restore: line 7 failed/u,
  ],
])("%s", (_, attempts, privileges, text) => {
  expect(failureText(attempts, privileges)).toMatch(text);
});

test("capabilities are read from the effective set", () => {
  const status = (effective: string): string => `CapPrm:\t000001ffffffffff\nCapEff:\t${effective}\nCapBnd:\t0\n`;
  expect(privilegesOf(status("0000000000003000"))).toEqual({ netAdmin: true, netRaw: true });
  expect(privilegesOf(status("0000000000001000"))).toEqual({ netAdmin: true, netRaw: false });
  expect(privilegesOf(status("0000000000000000"))).toEqual({ netAdmin: false, netRaw: false });
  expect(privilegesOf("")).toEqual({ netAdmin: false, netRaw: false });
});
