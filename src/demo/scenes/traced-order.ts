import { stripVTControlCharacters } from "node:util";
import { compare, release42 } from "../expected.ts";
import { order } from "../order.ts";
import { services } from "../shop-plan.ts";
import { newTrace } from "./scene.ts";
import type { Scene } from "./scene.ts";

/** The path of one request, as the sidecars on its way remember it. */
export const tracedOrder: Scene = {
  name: "traced-order",
  title: "one request, seen by all sidecars on its way",
  async play(shop, stage) {
    const { id, headers } = newTrace();
    const result = await order(shop.entrance, { baggage: "sidelane=release-42", ...headers });
    const differences = compare(release42, result);
    stage.order("sidelane=release-42", result, differences, `traceparent: ${headers.traceparent}`);

    const argv = ["trace", id, "--admin", ...shop.admins];
    const text = stripVTControlCharacters(await shop.command(...argv, "--wait"));
    stage.note(`sidelane ${argv.join(" ")}`);
    for (const line of text.trimEnd().split("\n")) stage.line(`      ${line}`);
    const seen = services.filter((service) =>
      new RegExp(`\\b${service} +${release42.route[service]} `, "u").test(text),
    );
    stage.check(seen.length === services.length, `seen where they answered: ${seen.join(", ")}`);
  },
};
