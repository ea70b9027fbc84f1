import { expect, test } from "vitest";
import type { Finding } from "../routing/finding.ts";
import { checkAddressRange } from "./address-range.ts";

function check(range: string): { readonly hints: readonly (string | undefined)[]; readonly warned: number } {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  checkAddressRange(range, ["callers", 0], { problems, warnings, resolvePath: (path) => path });
  return { hints: problems.map(({ hint }) => hint), warned: warnings.length };
}

test.each([
  "10.1.2.3",
  "10.0.0.0/8",
  "10.1.2.3/32",
  "192.0.2.128/25",
  "::1",
  "::1/128",
  "fd00::/8",
  "2001:db8::/33",
  "2001:db8:8000::/33",
  "::ffff:10.0.0.0/104",
  "::ffff:10.1.2.3",
])("%s is one", (range) => {
  expect(check(range)).toEqual({ hints: [], warned: 0 });
});

test.each([
  ["10.1.2.3/8", "write 10.0.0.0/8, or 10.1.2.3 alone"],
  ["192.0.2.129/25", "write 192.0.2.128/25, or 192.0.2.129 alone"],
  ["2001:db8:8000::/32", "write 2001:db8::/32, or 2001:db8:8000:: alone"],
  ["::ffff:10.1.2.3/104", "write 0:0:0:0:0:ffff:a00::/104, or ::ffff:10.1.2.3 alone"],
  ["::1/0", "write ::/0, or ::1 alone"],
  ["[fd00::]/8", "write fd00::/8"],
  ["10.0.0.0/33", "write 10.0.0.0/32, or 10.0.0.0 alone"],
  ["::/129", "write ::/128, or :: alone"],
  ["10.0.0.0/", "write 10.0.0.0/32, or 10.0.0.0 alone"],
  ["10.0.0.0/-1", "write 10.0.0.0/32, or 10.0.0.0 alone"],
  ["example.com", "write an address, as 10.1.2.3, or a range, as 10.0.0.0/8"],
  ["10.0.0.256", "write an address, as 10.1.2.3, or a range, as 10.0.0.0/8"],
  ["", "write an address, as 10.1.2.3, or a range, as 10.0.0.0/8"],
])("%j is none: %s", (range, hint) => {
  expect(check(range)).toEqual({ hints: [hint], warned: 0 });
});

test.each(["0.0.0.0/0", "::/0"])("%s, which is everybody, is worth a warning", (range) => {
  expect(check(range)).toEqual({ hints: [], warned: 1 });
});
