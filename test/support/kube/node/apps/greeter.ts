// A TCP service that speaks first: says who it is, then says again what it hears.
import { type Socket, createServer } from "node:net";

const { NAME = "greeter", VERSION = "", PORT = "7070" } = process.env;

const sockets = new Set<Socket>();
const server = createServer((socket) => {
  sockets.add(socket);
  socket.once("close", () => sockets.delete(socket));
  socket.on("error", () => {});
  socket.write(`${NAME} ${VERSION}\n`);
  socket.pipe(socket);
});
server.listen(Number(PORT), () => process.stdout.write(`${NAME} ${VERSION} listens on ${PORT}\n`));
process.once("SIGTERM", () => {
  server.close();
  for (const socket of sockets) socket.destroy();
});
