import { expect, test } from "vitest";
import { isNotHttp, isTcpOnly, mayBeHttp } from "./protocol.ts";

test.each([
  [{ port: 80 }, true],
  [{ port: 8080, name: "web" }, true],
  [{ port: 5432, name: "http" }, true],
  [{ port: 6379, appProtocol: "http" }, true],
  [{ port: 9090, appProtocol: "kubernetes.io/h2c" }, true],
  [{ port: 5432 }, false],
  [{ port: 443 }, false],
  [{ port: 443, name: "https" }, false],
  [{ port: 80, protocol: "UDP" }, false],
  [{ port: 8080, name: "tcp-legacy" }, false],
  [{ port: 8080, appProtocol: "Redis" }, false],
  [{ port: 8080, appProtocol: "https" }, false],
])("%j may be HTTP: %s", (port, expected) => {
  expect(mayBeHttp(port)).toBe(expected);
});

test("appProtocol goes before the name, and only whole words of the name count", () => {
  expect(isNotHttp({ name: "redis-main" })).toBe(true);
  expect(isNotHttp({ name: "redis-main", appProtocol: "http" })).toBe(false);
  expect(isNotHttp({ name: "redistribution" })).toBe(false);
  expect(isNotHttp({})).toBe(false);
});

test.each([
  [3306, undefined, true],
  [3306, { port: 3306 }, true],
  [3306, { port: 80, name: "db" }, true],
  [3306, { port: 3306, name: "http" }, false],
  [8080, { port: 8080, name: "mysql" }, true],
  [8080, { port: 8080 }, false],
  [5432, { port: 5432 }, false],
])("port %i of %j is TCP because its server speaks first, or says so: %s", (target, port, expected) => {
  expect(isTcpOnly(target, port)).toBe(expected);
});
