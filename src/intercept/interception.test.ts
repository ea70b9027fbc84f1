import { describe, expect, test } from "vitest";
import { type InterceptionFlags, parseInterception, rangesOf } from "./interception.ts";

function parse(flags: Partial<InterceptionFlags>) {
  return parseInterception({
    inbound: [],
    outbound: [],
    excludeSource: [],
    excludeDestination: [],
    user: "15065",
    ...flags,
  });
}

test("lists are split, put in order, and of each port there is one", () => {
  const flags = {
    inbound: ["9090:15101, 8080:15100", "8080:15100,"],
    excludeSource: ["10.0.0.0/8,fd00::/8", "10.0.0.0/8"],
  };
  expect(parse(flags)).toEqual({
    inbound: [
      { port: 8080, to: 15100 },
      { port: 9090, to: 15101 },
    ],
    outbound: [],
    excludeSources: ["10.0.0.0/8", "fd00::/8"],
    excludeDestinations: [],
    user: 15065,
  });
});

test("ranges belong to one family", () => {
  const all = ["10.0.0.0/8", "::1", "fd00::/8", "1.2.3.4", "::ffff:1.2.3.4"];
  expect(rangesOf(all, 4)).toEqual(["10.0.0.0/8", "1.2.3.4"]);
  expect(rangesOf(all, 6)).toEqual(["::1", "fd00::/8", "::ffff:1.2.3.4"]);
});

describe("what is refused", () => {
  test.each<[string, Partial<InterceptionFlags>, RegExp]>([
    ["a port alone", { inbound: ["8080"] }, /--inbound: "8080" is not PORT:LISTENER.*8080:15100/u],
    ["port 0", { inbound: ["0:15100"] }, /not PORT:LISTENER/u],
    ["a port that is none", { outbound: ["80:65536"] }, /--outbound: "80:65536"/u],
    ["a name", { inbound: ["http:15100"] }, /"http:15100"/u],
    ["one port to two listeners", { inbound: ["80:15100,80:15101"] }, /80 goes to 15100 and to 15101/u],
    ["a listener that is intercepted", { inbound: ["80:81,81:15100"] }, /80 goes to 81, which is intercepted as well/u],
    ["a port to itself", { inbound: ["80:80"] }, /80 goes to 80/u],
    [
      "a range that is none",
      { excludeSource: ["10.0.0.0/33"] },
      /--exclude-source: "10.0.0.0\/33" is not a range.*0 to 32/u,
    ],
    ["a range with bits beyond its prefix", { excludeDestination: ["10.0.0.1/8"] }, /write 10\.0\.0\.0\/8/u],
    ["a rule in a range", { excludeSource: ["10.0.0.0/8\n-j ACCEPT"] }, /--exclude-source/u],
    ["a user's name", { user: "sidelane" }, /--user: "sidelane" is not a user id/u],
    ["nobody", { user: "4294967295" }, /is not a user id/u],
    ["root", { user: "0" }, /the sidecar cannot be root/u],
  ])("%s", (_, flags, message) => {
    const parsed = parse(flags);
    expect("problems" in parsed ? parsed.problems.join("\n") : "nothing").toMatch(message);
  });
});
