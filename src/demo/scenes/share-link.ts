import { compare, giftWrapped, plain, refused } from "../expected.ts";
import type { Expected } from "../expected.ts";
import { order } from "../order.ts";
import type { OrderHeaders } from "../order.ts";
import type { Scene } from "./scene.ts";

/** The world comes in at the edge, and its word counts only when it is signed. */
export const shareLink: Scene = {
  name: "share-link",
  title: "a share link, for people without a browser extension: a signed key, and a cookie that remembers it",
  async play(shop, stage) {
    const link = shop.shareLink("pr-7");
    const opened = await fetch(link);
    const setCookie = opened.headers.get("set-cookie") ?? "none";
    const [cookie = ""] = setCookie.split(";", 1);
    const html = await opened.text();
    stage.check(
      opened.status === 200 && html.includes("<!doctype html>") && cookie.startsWith("sidelane="),
      `${link.slice(0, link.indexOf("=") + 9)}... is opened: the shop's page, and Set-Cookie: ${shorten(setCookie)}`,
    );
    const click = async (label: string, expected: Expected, why: string, headers: OrderHeaders, query = "") => {
      const result = await order(shop.edge, headers, `/order?item=tea${query}`);
      // How it was decided is nobody's business outside: the edge does not answer that question.
      stage.order(label, result, compare({ ...expected, decision: "" }, result), why);
    };
    await click("the next click", giftWrapped, "with the cookie: no parameter any more, and still in the sandbox", {
      cookie,
    });
    await click("(none)", plain, "for everybody else the shop is as it was", {});
    await click("sidelane=pr-7", plain, "anybody could write that: the edge removes it", {
      baggage: "sidelane=pr-7",
    });
    await click("?sidelane=", plain, "empty: out of the sandbox again, and the cookie goes", { cookie }, "&sidelane=");
    const rejected = { ...refused, status: 403, reason: "key-rejected" };
    await click("?sidelane=pr-7", rejected, "a link that nobody signed", {}, "&sidelane=pr-7");
  },
};

/** A signed key is long. */
function shorten(setCookie: string): string {
  return setCookie.replace(/=(.{8})[^;]*/u, "=$1...");
}
