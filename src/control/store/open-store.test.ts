import { describe, expect, test } from "vitest";
import { openStore } from "./open-store.ts";

describe("--store", () => {
  test.each([
    ["file:/var/lib/sidelane", "file:/var/lib/sidelane"],
    ["file:///var/lib/sidelane", "file:/var/lib/sidelane"],
    ["file:./data", `file:${process.cwd()}/data`],
    ["etcd://a", "etcd://a:2379/sidelane"],
    ["etcd://10.0.0.1:2379,[::1]:4001/team/x/", "etcd://10.0.0.1:2379,[::1]:4001/team/x"],
    ["etcd://[::1]", "etcd://[::1]:2379/sidelane"],
    ["etcds://etcd.svc:2379", "etcds://etcd.svc:2379/sidelane"],
    ["kubernetes://sidelane", "kubernetes://sidelane"],
    ["kubernetes://sidelane/", "kubernetes://sidelane"],
    ["kubernetes", "kubernetes"],
    ["kubernetes:", "kubernetes"],
  ])("%s is %s", async (url, name) => {
    const store = openStore(url);
    expect(store.name).toBe(name);
    await store.close();
  });

  test.each([
    ["/var/lib/x", 'store: "/var/lib/x" is not a store, write file:/var/lib/x'],
    ["redis://a", 'store: "redis://a" is not a store, write file:DIR, etcd://'],
    ["file:", "store: store names no directory, write file:/var/lib/sidelane-control"],
    ["file://host/x", 'store "file://host/x" names a host'],
    ["etcd://", '"etcd://" names no member of etcd'],
    ["etcd://a,,b", '"" is not an endpoint of etcd'],
    ["etcd://a:0", '"a:0" is not an endpoint of etcd'],
    ["etcd://a:70000/x", '"a:70000" is not an endpoint of etcd'],
    ["etcd://me:secret@a/x", "store holds credentials"],
    ["kubernetes://Team_A", '"kubernetes://Team_A" names no namespace'],
    ["kubernetes:sidelane", "write kubernetes://sidelane"],
    ["kubernetes://a/b", "names no namespace"],
  ])("%s is refused", (url, why) => {
    expect(() => openStore(url)).toThrow(why);
    expect(() => openStore(url)).not.toThrow("secret");
  });
});
