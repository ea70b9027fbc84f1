import http from "node:http";
import { stripVTControlCharacters } from "node:util";
import { scenes } from "./scenes/scenes.ts";
import { replyJson } from "./services/reply.ts";
import { listen } from "./services/serve-http.ts";
import type { Shop } from "./shop.ts";
import { Stage } from "./stage.ts";

/**
 * Serves `GET /scenes`, what there is, and `POST /play?scene=NAME`, which plays one; the front's page asks for both. Resolves
 * with the URL. Keeps no process alive.
 */
export async function serveScenes(shop: Shop): Promise<string> {
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://demo");
    const scene = scenes.find(({ name }) => name === searchParams.get("scene"));
    if (request.method === "GET" && pathname === "/scenes") {
      const list = scenes.map(({ name, title }) => ({ name, title }));
      replyJson(response, 200, { scenes: list, edge: shop.edge, shareLink: shop.shareLink("pr-7") });
    } else if (request.method === "POST" && pathname === "/play" && scene !== undefined) {
      const lines: string[] = [];
      const stage = new Stage((line) => lines.push(stripVTControlCharacters(line)));
      scene
        .play(shop, stage)
        .catch((error: unknown) => stage.problems.push(String(error)))
        .finally(() => replyJson(response, 200, { lines, problems: stage.problems }));
    } else replyJson(response, 404, { error: "GET /scenes, or POST /play?scene=NAME" });
  });
  const port = await listen(server, { host: "127.0.0.1", port: 0 });
  server.unref();
  return `http://127.0.0.1:${port}`;
}
