import { expect, test } from "vitest";
import { parseListenAddress } from "./listen-address.ts";

test.each([
  ["*:15004", { host: "*", port: 15_004 }],
  ["*:0", { host: "*", port: 0 }],
  ["127.0.0.1:80", { host: "127.0.0.1", port: 80 }],
  ["[::1]:80", { host: "::1", port: 80 }],
  ["localhost:80", { host: "localhost", port: 80 }],
])("%s", (text, expected) => {
  expect(parseListenAddress(text)).toMatchObject(expected);
});

test.each(["*", "*:", "*:65536", "*:http", "*:80/x", "*.shop:80", "**:80", ":80"])("%s is none", (text) => {
  expect(parseListenAddress(text)).toHaveProperty("problem");
});
