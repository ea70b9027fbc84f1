import { firstLine, tools, toolPath } from "../tools.ts";
import type { Peer } from "./peer.ts";

/**
 * nghttpx, the proxy of nghttp2, with one worker. It chooses backends by host and path only (Debian builds it without mruby), so
 * it has less to do than the others: everything goes to the sandbox. Windows as large as the others' make uploads fast.
 */
export const nghttpx: Peer = {
  name: "nghttpx",
  needs: [tools.nghttpx],
  hasRule: false,
  version: () => firstLine(toolPath(tools.nghttpx), "--version"),
  command({ port, backends }) {
    return [
      toolPath(tools.nghttpx),
      "--conf=/dev/null",
      "--single-process",
      "--workers=1",
      "--no-via",
      "--no-server-rewrite",
      "--no-add-x-forwarded-proto",
      "--accesslog-file=",
      "--frontend-http2-window-size=1M",
      "--frontend-http2-connection-window-size=16M",
      `--frontend=127.0.0.1,${port};no-tls`,
      `--backend=127.0.0.1,${backends.sandbox};;proto=h2`,
    ];
  },
};
