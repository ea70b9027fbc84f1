import { describe, expect, test } from "vitest";
import { MisuseError } from "../command.ts";
import { parseLocalTargets } from "./local-target.ts";

describe("--service", () => {
  test.each([
    [
      "checkout=localhost:3000",
      { name: "checkout", address: "localhost:3000", target: { service: "checkout", port: "" } },
    ],
    ["checkout=3000", { name: "checkout", address: "localhost:3000" }],
    ["ledger:grpc=[::1]:9090", { name: "ledger:grpc", address: "[::1]:9090", host: "::1", port: 9090 }],
  ])("%s", (text, expected) => {
    expect(parseLocalTargets([text])[0]).toMatchObject(expected);
  });

  test.each([
    ["checkout", /address of the app .* is missing/u],
    ["checkout=", /write it as checkout=localhost:3000/u],
    ["=localhost:3000", /must not be empty/u],
    ["ledger:=3000", /must not be empty/u],
    ["a:b:c=3000", /more than a service and its port/u],
    ["checkout=http://localhost:3000", /not a URL/u],
    ["checkout=99999", /write it as/u],
    ["check out=3000", /cannot be part of a name/u],
  ])("not %s", (text, message) => {
    expect(() => parseLocalTargets([text])).toThrow(message);
    expect(() => parseLocalTargets([text])).toThrow(MisuseError);
  });

  test("not one service twice", () => {
    expect(() => parseLocalTargets(["a=1", "a=2"])).toThrow(/given twice/u);
  });
});
