import { isIP } from "node:net";
import { valueAt } from "../routing/finding.ts";
import type { Finding, Path } from "../routing/finding.ts";
import type { CheckContext } from "./check-tls.ts";

/** Checks the spelling of an address or a range of addresses: `10.1.2.3`, `10.0.0.0/8`, `fd00::/8` (RFC 4632 §3.1, RFC 4291 §2.3). */
export function checkAddressRange(range: string, path: Path, { problems, warnings }: CheckContext): void {
  const place = valueAt(...path);
  const wrong = fault(range);
  if (wrong !== undefined)
    problems.push({ place, message: `${JSON.stringify(range)} is not a range of addresses`, ...wrong });
  else if (range.endsWith("/0")) {
    warnings.push({
      place,
      message: `${range} is every address`,
      why: "whoever reaches the listener can choose a sandbox",
      hint: "write the addresses of those that you trust",
    });
  }
}

function fault(range: string): Pick<Finding, "why" | "hint"> | undefined {
  const slash = range.indexOf("/");
  const address = slash === -1 ? range : range.slice(0, slash);
  const version = isIP(address);
  if (version === 0 || address.includes("%")) {
    const bare = /^\[(.*)\]$/u.exec(address)?.[1] ?? "";
    const hint =
      isIP(bare) === 6
        ? `write ${bare}${range.slice(address.length)}`
        : "write an address, as 10.1.2.3, or a range, as 10.0.0.0/8";
    return { why: `${JSON.stringify(address)} is not an IP address`, hint };
  }
  if (slash === -1) return undefined;
  const prefix = range.slice(slash + 1);
  const bits = version === 4 ? 32 : 128;
  if (!/^(?:0|[1-9][0-9]{0,2})$/u.test(prefix) || Number(prefix) > bits) {
    return {
      why: `behind the / stands a number from 0 to ${bits}`,
      hint: `write ${address}/${bits}, or ${address} alone`,
    };
  }
  const groups = groupsOf(address);
  const size = version === 4 ? 8 : 16;
  const masked = groups.map((group, index) => {
    const kept = Math.min(size, Math.max(0, Number(prefix) - index * size));
    return (group >>> (size - kept)) << (size - kept);
  });
  if (masked.every((group, index) => group === groups[index])) return undefined;
  const base = version === 4 ? masked.join(".") : compressed(masked);
  return {
    why: `${address} has bits beyond the first ${prefix}`,
    hint: `write ${base}/${prefix}, or ${address} alone`,
  };
}

/** Four bytes, or eight groups of 16 bits. */
function groupsOf(address: string): readonly number[] {
  if (!address.includes(":")) return address.split(".").map(Number);
  const dotted = /^(.*:)([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$/u.exec(address);
  const hex = dotted === null ? address : dotted[1] + pair(dotted[2], dotted[3]) + ":" + pair(dotted[4], dotted[5]);
  const [head = "", tail] = hex.split("::");
  const parse = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const before = parse(head);
  const after = parse(tail ?? "");
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
}

function pair(high = "0", low = "0"): string {
  return (Number(high) * 256 + Number(low)).toString(16);
}

/** The usual short form: trailing zero groups, which is where a range has them, become `::`. */
function compressed(groups: readonly number[]): string {
  const end = groups.findLastIndex((group) => group !== 0) + 1;
  const kept = groups.slice(0, end).map((group) => group.toString(16));
  return end === groups.length ? kept.join(":") : `${kept.join(":")}::`;
}
