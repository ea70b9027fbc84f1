import type { ServicePort } from "./pod.ts";

/**
 * What Services call protocols that are not HTTP, in `appProtocol` or before the first hyphen of a port's name. Where the server
 * speaks first, waiting for the client's first bytes would wait for ever.
 */
const NOT_HTTP = new Set(
  "tcp tls ssl mysql mongo mongodb redis postgres postgresql pgsql kafka amqp amqps mqtt smtp imap pop3 ftp ssh ldap ldaps nats stomp thrift cassandra memcached mssql oracle zookeeper dns sip".split(
    " ",
  ),
);

/** Numbers that nearly always mean such a protocol, or TLS, which a request's authority cannot be read from. */
const NOT_HTTP_PORTS = new Set([
  21, 22, 25, 53, 110, 143, 389, 443, 465, 587, 636, 993, 995, 1433, 1521, 2181, 2379, 2380, 3306, 4222, 5432, 5671,
  5672, 6379, 6443, 8443, 9042, 9092, 10_250, 11_211, 26_379, 27_017,
]);

/** Numbers at which nearly always the server speaks first: FTP, SSH, SMTP, POP3, IMAP, submission, MySQL, NATS. */
const SERVER_FIRST_PORTS = new Set([21, 22, 25, 110, 143, 587, 3306, 4222]);

/** Whether a Service says of a port that it does not speak HTTP. */
export function isNotHttp({ appProtocol, name }: Pick<ServicePort, "appProtocol" | "name">): boolean {
  if (appProtocol !== undefined) return NOT_HTTP.has(appProtocol.toLowerCase());
  return name !== undefined && NOT_HTTP.has(name.split("-", 1)[0] ?? "");
}

/** Whether requests to a port can be read, as far as its Service tells. */
export function mayBeHttp(port: ServicePort): boolean {
  if (port.protocol !== undefined && port.protocol !== "TCP") return false;
  if (isNotHttp(port) || port.appProtocol === "https" || /^https(?:-|$)/u.test(port.name ?? "")) return false;
  // What is said goes before what is usual.
  return saysHttp(port) || !NOT_HTTP_PORTS.has(port.port);
}

/** Whether a pod's port has to be taken as TCP, lest client and server wait for each other; `port`: of its Service. */
export function isTcpOnly(target: number, port: ServicePort | undefined): boolean {
  if (port !== undefined && isNotHttp(port)) return true;
  return SERVER_FIRST_PORTS.has(target) && (port === undefined || !saysHttp(port));
}

function saysHttp({ appProtocol, name }: ServicePort): boolean {
  return appProtocol !== undefined || /^(?:http|http2|grpc|h2c)(?:-|$)/u.test(name ?? "");
}
