import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { formatEndpoint, parseEndpoint, parseHost } from "./endpoint-name.ts";

describe("parseEndpoint", () => {
  test.each([
    ["10.0.0.7:8080", "10.0.0.7", 8080, "ipv4"],
    ["[::1]:80", "::1", 80, "ipv6"],
    ["[2001:DB8::1]:443", "2001:db8::1", 443, "ipv6"],
    ["[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, "ipv6"],
    ["[1:2:3:4:5:6:7::]:1", "1:2:3:4:5:6:7::", 1, "ipv6"],
    ["checkout:65535", "checkout", 65535, "name"],
    ["Checkout.shop.svc.cluster.local.:80", "checkout.shop.svc.cluster.local.", 80, "name"],
    ["my_app:1", "my_app", 1, "name"],
    ["xn--bcher-kva.example:1", "xn--bcher-kva.example", 1, "name"],
  ])("%s", (text, host, port, kind) => {
    expect(parseEndpoint(text)).toEqual({ host, port, kind });
  });

  test.each([
    ["", "write host:port"],
    ["checkout", "write checkout:8080"],
    ["10.0.0.7", "write 10.0.0.7:8080"],
    [":8080", "write 127.0.0.1:8080"],
    ["31006", "write 127.0.0.1:31006"],
    ["99999", "write 127.0.0.1:8080"],
    ["checkout:", "write a number from 1 to 65535"],
    ["checkout:0", "write a number from 1 to 65535"],
    ["checkout:65536", "write a number from 1 to 65535"],
    ["checkout:http", "write a number from 1 to 65535"],
    ["checkout:+80", "write a number from 1 to 65535"],
    ["http://checkout:8080/x", "write checkout:8080"],
    ["http://checkout", "write checkout:8080"],
    ["checkout:8080/x", "write checkout:8080"],
    ["a b:1", "write a:8080"],
    ["::1", "write [::1]:8080"],
    ["[::1]", "write [::1]:8080"],
    ["[::1:80", "write [IPv6]:port"],
    ["[fe80::1%eth0]:80", "write the address without %"],
    ["[1:2:3:4:5:6:7:8:9]:80", "write it as in [2001:db8::1]"],
    ["[1::2::3]:80", "write it as in [2001:db8::1]"],
    ["256.1.1.1:80", "write four numbers from 0 to 255, without leading zeros"],
    ["010.0.0.1:80", "write four numbers from 0 to 255, without leading zeros"],
    ["10.0.0:80", "write four numbers from 0 to 255, without leading zeros"],
    ["*.example:80", "list every host"],
    ["-a:80", "begin and end with a letter or digit"],
    ["a..b:80", "remove the extra dot"],
    [`${"a".repeat(64)}:80`, "shorten it"],
    ["bücher:80", "use letters, digits, '-', '_' and '.'; international names in their xn-- form"],
  ])("refuses %j and says: %s", (text, hint) => {
    const parsed = parseEndpoint(text);
    expect(parsed).toHaveProperty("problem");
    expect(parsed).toHaveProperty("hint", hint);
  });

  test("port 0 only where any free port makes sense", () => {
    expect(parseEndpoint("127.0.0.1:0", true)).toEqual({ host: "127.0.0.1", port: 0, kind: "ipv4" });
    expect(parseEndpoint("127.0.0.1:0")).toHaveProperty("problem");
  });

  test("what it accepts comes back unchanged from formatEndpoint", () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65535 }), (name, port) => {
        const text = formatEndpoint({ host: name.toLowerCase(), port });
        const parsed = parseEndpoint(text);
        if ("problem" in parsed) throw new Error(`${text}: ${parsed.problem}`);
        expect(formatEndpoint(parsed)).toBe(text);
      }),
    );
  });

  test("never throws, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("[", "]", ":", ".", "1", "a", "-", "/", "%", " ") }), (text) => {
        parseEndpoint(text);
        parseHost(text);
      }),
    );
  });
});
