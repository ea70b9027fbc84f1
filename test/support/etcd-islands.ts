// Network namespaces on a bridge, one per member of a cluster, which can be cut off from all or from each other. Needs root and
// `ip` (Debian: iproute2) and `iptables`; everything is removed with the test.
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";

const run = promisify(execFile);

export interface Island {
  readonly address: string;
  /** Starts a program there. */
  readonly command: readonly string[];
  /** Nothing gets in or out; nobody is told. */
  cut(): Promise<void>;
  heal(): Promise<void>;
  /** Nothing gets in from there or out to there; the test itself still does. */
  block(other: Island): Promise<void>;
  unblock(other: Island): Promise<void>;
}

export async function makeIslands(count: number): Promise<readonly Island[]> {
  const id = randomInt(0x1000, 0xffff).toString(16);
  const net = `10.${randomInt(64, 128)}.${randomInt(0, 255)}`;
  const bridge = `sl${id}`;
  const ip = async (...argv: readonly string[]): Promise<void> => void (await run("ip", argv));
  onTestFinished(async () => {
    for (let i = 0; i < count; i++) {
      // A namespace lives on, with its end of the cable, as long as a socket of a killed member still tries to send.
      await ip("link", "del", `${bridge}v${i}`).catch(() => {});
      await ip("netns", "del", `${bridge}n${i}`).catch(() => {});
    }
    await ip("link", "del", bridge).catch(() => {});
  });
  await ip("link", "add", bridge, "type", "bridge").catch((error: unknown) => {
    throw new Error("network namespaces are not permitted here: these tests need root (CAP_NET_ADMIN) and iproute2", {
      cause: error,
    });
  });
  await ip("addr", "add", `${net}.1/24`, "dev", bridge);
  await ip("link", "set", bridge, "up");
  const islands: Island[] = [];
  for (let i = 0; i < count; i++) {
    const name = `${bridge}n${i}`;
    const outer = `${bridge}v${i}`;
    const address = `${net}.${i + 2}`;
    await ip("netns", "add", name);
    await ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name);
    await ip("link", "set", outer, "master", bridge, "up");
    await ip("-n", name, "addr", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", name, "link", "set", "eth0", "up");
    await ip("-n", name, "link", "set", "lo", "up");
    const rules = async (verb: "-A" | "-D", other: string): Promise<void> => {
      for (const [chain, side] of [
        ["INPUT", "-s"],
        ["OUTPUT", "-d"],
      ] as const) {
        await ip("netns", "exec", name, "iptables", "-w", verb, chain, side, other, "-j", "DROP");
      }
    };
    islands.push({
      address,
      command: ["ip", "netns", "exec", name],
      cut: () => ip("link", "set", outer, "down"),
      heal: () => ip("link", "set", outer, "up"),
      block: (other) => rules("-A", other.address),
      unblock: (other) => rules("-D", other.address),
    });
  }
  return islands;
}
