import { describe, expect, test } from "vitest";
import { openStore } from "./open-store.ts";

describe("--store", () => {
  test.each([
    ["file:/var/lib/sidelane", "file:/var/lib/sidelane"],
    ["file:///var/lib/sidelane", "file:/var/lib/sidelane"],
    ["file:./data", `file:${process.cwd()}/data`],
    ["etcd://a", "etcd://a:2379/sidelane"],
    ["etcd://10.0.0.1:2379,[::1]:4001/team/x/", "etcd://10.0.0.1:2379,[::1]:4001/team/x"],
    ["etcds://etcd.svc:2379", "etcds://etcd.svc:2379/sidelane"],
  ])("%s is %s", async (url, name) => {
    const store = openStore(url);
    expect(store.name).toBe(name);
    await store.close();
  });

  test.each([
    ["/var/lib/x", 'store "/var/lib/x": no such kind of store; write file:DIR, etcd://'],
    ["redis://a", 'store "redis://a": no such kind of store'],
    ["file:", "store file:: names no directory; write file:/var/lib/sidelane-control"],
    ["file://host/x", "store file://host/x: names no directory"],
    ["etcd://", 'store etcd://: "" is no HOST:PORT'],
    ["etcd://a,,b", '"" is no HOST:PORT'],
    ["etcd://a:0", '"a:0" is no HOST:PORT'],
    ["etcd://a:70000/x", '"a:70000" is no HOST:PORT'],
    ["etcd://me:secret@a/x", "a user does not belong into the URL; write etcd.username and etcd.passwordFile"],
  ])("%s is refused", (url, why) => {
    expect(() => openStore(url)).toThrow(why);
    expect(() => openStore(url)).not.toThrow("secret");
  });
});
