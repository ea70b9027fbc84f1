import { expect, test } from "vitest";
import { reachesItself } from "./addresses.ts";

test.each([
  ["0.0.0.0", "127.0.0.1", true],
  ["0.0.0.0", "localhost", true],
  ["::", "::1", true],
  ["0.0.0.0", "0.0.0.0", true],
  ["127.0.0.1", "localhost", true],
  ["10.0.0.7", "10.0.0.7", true],
  // The app beside the sidecar in compose, on the same port.
  ["0.0.0.0", "checkout-app", false],
  ["0.0.0.0", "10.0.0.8", false],
  ["127.0.0.1", "10.0.0.8", false],
])("a listener on %s with the target %s is its own target: %s", (own, target, expected) => {
  expect(reachesItself(own, target)).toBe(expected);
});
