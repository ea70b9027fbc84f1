// Takes spans and forgets them. Usage: node bench/load/collector.ts PORT

import { createServer } from "node:http";

createServer((request, response) => {
  request.resume().on("end", () => response.writeHead(200, { "content-type": "application/x-protobuf" }).end());
}).listen(Number(process.argv[2]), "127.0.0.1");
process.once("SIGTERM", () => process.exit(0));
