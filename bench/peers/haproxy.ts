import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { routingMember } from "../load/requests.ts";
import { firstLine, tools, toolPath } from "../tools.ts";
import type { Peer } from "./peer.ts";

/**
 * HAProxy with one thread. `req.hdr` yields one comma separated member after the other, without the white space around it;
 * `word(1,;)` cuts the member's properties: the exact member, several baggage fields included. A regular expression over the
 * whole field costs the same. `http-reuse always` shares all upstream connections, as all peers do; `safe` costs the same.
 */
export const haproxy: Peer = {
  name: "haproxy",
  needs: [tools.haproxy],
  hasRule: true,
  version: () => firstLine(toolPath(tools.haproxy), "-v").replace(/^(HAProxy) version (\S+).*$/, "$1 $2"),
  command({ workspace, port, backends, traffic }) {
    const file = join(workspace.directory, "haproxy.cfg");
    // Prior knowledge on both sides.
    const protocol = traffic === "http2" ? " proto h2" : "";
    // Halves what a large body costs (1.4 to 0.7 ms/MiB), and makes no difference to small ones.
    const tuning = traffic === "http2" ? "tune.bufsize 65536\n  tune.h2.initial-window-size 1048576" : "";
    const config = `
global
  nbthread 1
  maxconn 4096
  ${tuning}

defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout tunnel 60s

frontend inbound
  bind 127.0.0.1:${port}${protocol}
  acl sandbox req.hdr(baggage),word(1,;) -m str ${routingMember.name}=${routingMember.value}
  use_backend sandbox if sandbox
  default_backend baseline

backend baseline
  server app 127.0.0.1:${backends.baseline}${protocol}

backend sandbox
  server app 127.0.0.1:${backends.sandbox}${protocol}
`;
    writeFileSync(file, config);
    return [toolPath(tools.haproxy), "-db", "-q", "-f", file];
  },
};
