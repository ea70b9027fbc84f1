import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { nginxCommand, nginxPreamble, nginxTemporaryPaths } from "../backends.ts";
import { routingMember } from "../load/requests.ts";
import { firstLine, tools, toolPath } from "../tools.ts";
import type { Peer } from "./peer.ts";

/** nginx with one worker: a map with a regular expression (compiled by PCRE's JIT) chooses the upstream, which keeps connections. */
export const nginx: Peer = {
  name: "nginx",
  needs: [tools.nginx],
  hasRule: true,
  version: () => firstLine(toolPath(tools.nginx), "-v").replace("nginx version: ", ""),
  command({ workspace, port, backends, traffic }) {
    const file = join(workspace.directory, "nginx.conf");
    // Two fields more per request, so only where they are needed.
    const upgrade = traffic === "websocket" ? "proxy_set_header Upgrade $http_upgrade;" : "";
    const connection = traffic === "websocket" ? "Upgrade" : "";
    const config = `
    ${nginxPreamble(workspace, "nginx")}
    http {
      access_log off;
      ${nginxTemporaryPaths(workspace)}
      keepalive_timeout 60s;
      keepalive_requests 1000000000;
      client_header_timeout 10s;
      client_body_timeout 60s;
      send_timeout 60s;
      proxy_connect_timeout 2s;
      proxy_read_timeout 60s;
      proxy_send_timeout 60s;
      map $http_baggage $destination {
        default baseline;
        "~(^|,)\\s*${routingMember.name}=${routingMember.value}\\s*([;,]|$)" sandbox;
      }
      upstream baseline {
        server 127.0.0.1:${backends.baseline};
        keepalive 1024;
        keepalive_requests 1000000000;
      }
      upstream sandbox {
        server 127.0.0.1:${backends.sandbox};
        keepalive 1024;
        keepalive_requests 1000000000;
      }
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location / {
          proxy_pass http://$destination;
          proxy_http_version 1.1;
          proxy_set_header Connection "${connection}";
          ${upgrade}
          proxy_set_header Host $http_host;
          proxy_pass_header Server;
          proxy_pass_header Date;
        }
      }
    }`;
    writeFileSync(file, config);
    return nginxCommand(file);
  },
};
