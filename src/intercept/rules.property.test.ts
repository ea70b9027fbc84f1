// The rules against a small iptables of our own, which takes the text as iptables-restore --noflush does and follows a packet.
import fc from "fast-check";
import { BlockList } from "node:net";
import { expect, test } from "vitest";
import type { Interception, PortRedirect } from "./interception.ts";
import { type Family, findPresent, removalText, rulesText } from "./rules.ts";

type Chains = Map<string, string[]>;

const empty = (): Chains =>
  new Map([
    ["PREROUTING", ["-p tcp -j OTHERS"]],
    ["OUTPUT", []],
    ["OTHERS", []],
  ]);

function restore(chains: Chains, text: string): void {
  const lines = text.split("\n");
  expect([lines[0], lines.at(-2), lines.at(-1)]).toEqual(["*nat", "COMMIT", ""]);
  for (const line of lines.slice(1, -2)) {
    const [command = "", name = "", ...rest] = line.split(" ");
    if (command.startsWith(":")) {
      chains.set(command.slice(1), []);
      continue;
    }
    const chain = chains.get(name);
    if (chain === undefined) throw new Error(`no chain ${name}: ${line}`);
    if (command === "-A") chain.push(rest.join(" "));
    else if (command === "-I") chain.unshift(rest.slice(1).join(" "));
    else if (command === "-D") {
      const at = chain.indexOf(rest.join(" "));
      if (at === -1) throw new Error(`no such rule: ${line}`);
      chain.splice(at, 1);
    } else if (command === "-X") {
      if (chain.length > 0) throw new Error(`not empty: ${line}`);
      if ([...chains.values()].flat().some((rule) => rule.endsWith(`-j ${name}`))) throw new Error(`in use: ${line}`);
      chains.delete(name);
    } else throw new Error(`what is ${line}?`);
  }
}

function save(chains: Chains): string {
  const names = [...chains.keys()].map((name) => `:${name} - [0:0]`);
  const rules = [...chains].flatMap(([name, list]) => list.map((rule) => `-A ${name} ${rule}`));
  return ["*nat", ...names, ...rules, "COMMIT", ""].join("\n");
}

interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  readonly user: number;
  readonly toLoopback: boolean;
}

/** The port that a TCP connection ends at. */
function follow(chains: Chains, name: string, packet: Packet): number | undefined {
  for (const rule of chains.get(name) ?? []) {
    const words = rule.split(" ");
    const after = (flag: string): string | undefined =>
      words.includes(flag) ? words[words.indexOf(flag) + 1] : undefined;
    const [source, destination, port, user] = [after("-s"), after("-d"), after("--dport"), after("--uid-owner")];
    if (source !== undefined && !within(source, packet.source)) continue;
    if (destination !== undefined && !within(destination, packet.destination)) continue;
    if (port !== undefined && Number(port) !== packet.port) continue;
    if (user !== undefined && Number(user) !== packet.user) continue;
    if (after("-o") === "lo" && !packet.toLoopback) continue;
    const target = after("-j") ?? "";
    if (target === "RETURN") return undefined;
    if (target === "REDIRECT") return Number(after("--to-ports"));
    const there = follow(chains, target, packet);
    if (there !== undefined) return there;
  }
  return undefined;
}

function within(range: string, address: string): boolean {
  const list = new BlockList();
  const family = range.includes(":") ? "ipv6" : "ipv4";
  const [base = "", bits] = range.split("/");
  list.addSubnet(base, bits === undefined ? (family === "ipv6" ? 128 : 32) : Number(bits), family);
  return list.check(address, family);
}

const port = fc.integer({ min: 1, max: 12 });
const redirects = fc
  .uniqueArray(port, { maxLength: 6 })
  .map((list) => list.toSorted((a, b) => a - b).map((one, index): PortRedirect => ({ port: one, to: 15_100 + index })));
const rangesOfBoth = fc.uniqueArray(fc.constantFrom("10.1.0.0/16", "10.2.3.4", "fd01::/16", "fd02::7"), {
  maxLength: 4,
});
const interceptions: fc.Arbitrary<Interception> = fc.record({
  inbound: redirects,
  outbound: redirects,
  excludeSources: rangesOfBoth,
  excludeDestinations: rangesOfBoth,
  user: fc.constantFrom(15_065, 7),
});
const addresses = {
  4: fc.constantFrom("10.1.2.3", "10.2.3.4", "10.2.3.5"),
  6: fc.constantFrom("fd01::1", "fd02::7", "fd02::8"),
};
const packetsOf = (family: Family): fc.Arbitrary<Packet> =>
  fc.record({
    source: addresses[family],
    destination: addresses[family],
    port,
    user: fc.constantFrom(15_065, 7, 0, 1000),
    toLoopback: fc.boolean(),
  });

const inRanges = (ranges: readonly string[], address: string): boolean =>
  ranges.some((range) => range.includes(":") === address.includes(":") && within(range, address));

test.each<Family>([4, 6])("every IPv%i packet goes where the flags say, after any runs before", (family) => {
  const runs = fc.array(interceptions, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(runs, fc.array(packetsOf(family), { minLength: 1, maxLength: 10 }), (all, packets) => {
      const chains = empty();
      for (const one of all) restore(chains, rulesText(one, family, findPresent(save(chains))));
      const last = all.at(-1) as Interception;
      for (const packet of packets) {
        const inbound = last.inbound.find((one) => one.port === packet.port)?.to;
        const isExcluded = inRanges(last.excludeSources, packet.source);
        expect(follow(chains, "PREROUTING", packet)).toBe(isExcluded ? undefined : inbound);
        const outbound = last.outbound.find((one) => one.port === packet.port)?.to;
        const isPast =
          packet.user === last.user || packet.toLoopback || inRanges(last.excludeDestinations, packet.destination);
        expect(follow(chains, "OUTPUT", packet)).toBe(isPast ? undefined : outbound);
      }
      const before = save(chains);
      restore(chains, rulesText(last, family, findPresent(before)));
      expect(save(chains)).toBe(before);
      const removal = removalText(findPresent(save(chains)));
      if (removal !== undefined) restore(chains, removal);
      expect(save(chains)).toBe(save(empty()));
    }),
  );
});
