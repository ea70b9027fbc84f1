import { expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import type { AuthConfig } from "../config/control-config.ts";
import { Credentials } from "./credentials.ts";

const credentials = (auth: AuthConfig): Credentials =>
  new Credentials({ auth, replicaSecret: "secret-of-this-replica", log: silentLog });

test("where nobody is asked, a token of another control plane is no mistake", () => {
  const open = credentials({ kind: "none" });
  const anybody = { name: "anonymous", role: "editor", replica: false };
  expect(open.identify("a-token-for-somewhere-else", undefined)).toEqual(anybody);
  expect(open.identify(undefined, "ci")).toEqual(anybody);
  expect(open.identify(undefined, undefined)).toEqual(anybody);
});

test("another replica is known by this one's secret, and reads", () => {
  const closed = credentials({ kind: "credentials", certificates: [{ name: "ci", role: "editor" }] });
  expect(closed.identify("secret-of-this-replica", undefined)).toEqual({
    name: "replica",
    role: "viewer",
    replica: true,
  });
  expect(closed.identify("a-token-for-somewhere-else", "ci")).toHaveProperty("refused");
  expect(closed.identify(undefined, "ci")).toEqual({ name: "ci", role: "editor", replica: false });
  expect(closed.identify(undefined, "stranger")).toHaveProperty("refused");
});
