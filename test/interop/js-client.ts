// The interop client on grpc-js, after the official descriptions of the cases: what each one sends and asserts is theirs.
import assert from "node:assert/strict";
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  credentials,
  status,
} from "@grpc/grpc-js";
import {
  ECHO_INITIAL,
  ECHO_TRAILING,
  type StreamingOutputRequest,
  type StreamingOutputResponse,
  methods,
  payload,
} from "./definitions.ts";

const REQUEST_BYTES = [27_182, 8, 1828, 45_904] as const;
const RESPONSE_BYTES = [31_415, 9, 2653, 58_979] as const;
const LARGE_REQUEST_BYTES = 271_828;
const LARGE_RESPONSE_BYTES = 314_159;
/** A case that hangs fails by this and says so, instead of by the deadline of its test. */
const CASE_MS = 20_000;

/** What a call came back with. */
interface Answer<Response> {
  readonly response: Response;
  readonly initial: Metadata;
  readonly trailing: Metadata;
}

type Duplex = ClientDuplexStream<StreamingOutputRequest, StreamingOutputResponse>;

/** One client with the metadata that all of its calls carry. */
class InteropClient {
  readonly #client: Client;
  readonly #metadata: Readonly<Record<string, string>>;

  constructor(port: number, metadata: Readonly<Record<string, string>>) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    this.#metadata = metadata;
  }

  close(): void {
    this.#client.close();
  }

  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    extra?: Metadata,
  ): Promise<Answer<Response>> {
    return new Promise((resolve, reject) => {
      let initial = new Metadata();
      let answered: Response | undefined;
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        this.metadata(extra),
        this.options(),
        (error, response) => {
          if (error === null) answered = response;
          else reject(error);
        },
      );
      call.on("metadata", (metadata) => {
        initial = metadata;
      });
      // Comes after the callback, with the trailers.
      call.on("status", ({ metadata }) => {
        if (answered !== undefined) resolve({ response: answered, initial, trailing: metadata });
      });
    });
  }

  duplex(extra?: Metadata, options: CallOptions = this.options()): Duplex {
    const { path, requestSerialize, responseDeserialize } = methods.fullDuplexCall;
    return this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.metadata(extra),
      options,
    );
  }

  /** The only call that streams to the server; the promise is that of its response. */
  upload() {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const { path, requestSerialize, responseDeserialize } = methods.streamingInputCall;
    const call = this.#client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.metadata(),
      this.options(),
      (error, response) => {
        if (error === null) resolve(response?.aggregatedPayloadSize ?? -1);
        else reject(error);
      },
    );
    return { call, response: promise };
  }

  download<Request, Response>(method: MethodDefinition<Request, Response>, request: Request) {
    const { path, requestSerialize, responseDeserialize } = method;
    return this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      this.metadata(),
      this.options(),
    );
  }

  options(): CallOptions {
    return { deadline: Date.now() + CASE_MS };
  }

  metadata(extra = new Metadata()): Metadata {
    const metadata = extra.clone();
    for (const [name, value] of Object.entries(this.#metadata)) metadata.set(name, value);
    return metadata;
  }
}

const jsCases: Readonly<Record<string, (client: InteropClient) => Promise<void>>> = {
  async empty_unary(client) {
    assert.deepEqual({ ...(await client.unary(methods.emptyCall, {})).response }, {});
  },

  async large_unary(client) {
    const request = { responseSize: LARGE_RESPONSE_BYTES, payload: payload(LARGE_REQUEST_BYTES) };
    const { response } = await client.unary(methods.unaryCall, request);
    assert.equal(response.payload?.body.length, LARGE_RESPONSE_BYTES);
  },

  async client_streaming(client) {
    const { call, response } = client.upload();
    for (const bytes of REQUEST_BYTES) call.write({ payload: payload(bytes) });
    call.end();
    assert.equal(await response, 74_922);
  },

  async server_streaming(client) {
    const call = client.download(methods.streamingOutputCall, {
      responseParameters: RESPONSE_BYTES.map((size) => ({ size })),
    });
    const sizes: (number | undefined)[] = [];
    for await (const message of call) sizes.push((message as StreamingOutputResponse).payload?.body.length);
    assert.deepEqual(sizes, [...RESPONSE_BYTES]);
  },

  async ping_pong(client) {
    const call = client.duplex();
    const messages = messagesOf(call);
    for (const [index, size] of RESPONSE_BYTES.entries()) {
      call.write({ responseParameters: [{ size }], payload: payload(REQUEST_BYTES[index] ?? 0) });
      assert.equal((await messages.next()).value?.payload?.body.length, size);
    }
    call.end();
    assert.equal((await messages.next()).done, true);
  },

  async empty_stream(client) {
    const call = client.duplex();
    call.end();
    assert.equal((await messagesOf(call).next()).done, true);
  },

  async timeout_on_sleeping_server(client) {
    const call = client.duplex(undefined, { deadline: Date.now() + 1 });
    const outcome = failure(messagesOf(call).next());
    call.write({ payload: payload(27_182) });
    assert.equal((await outcome).code, status.DEADLINE_EXCEEDED);
  },

  async cancel_after_begin(client) {
    const { call, response } = client.upload();
    const outcome = failure(response);
    call.cancel();
    assert.equal((await outcome).code, status.CANCELLED);
  },

  async cancel_after_first_response(client) {
    const call = client.duplex();
    const messages = messagesOf(call);
    call.write({ responseParameters: [{ size: 31_415 }], payload: payload(27_182) });
    assert.equal((await messages.next()).value?.payload?.body.length, 31_415);
    call.cancel();
    assert.equal((await failure(messages.next())).code, status.CANCELLED);
  },

  async status_code_and_message(client) {
    const responseStatus = { code: status.UNKNOWN, message: "test status message" };
    assertStatus(await failure(client.unary(methods.unaryCall, { responseStatus })), responseStatus.message);
    const call = client.duplex();
    call.write({ responseStatus });
    call.end();
    assertStatus(await failure(messagesOf(call).next()), responseStatus.message);
  },

  async special_status_message(client) {
    const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    const responseStatus = { code: status.UNKNOWN, message };
    assertStatus(await failure(client.unary(methods.unaryCall, { responseStatus })), message);
  },

  async custom_metadata(client) {
    const metadata = new Metadata();
    metadata.set(ECHO_INITIAL, "test_initial_metadata_value");
    metadata.set(ECHO_TRAILING, Buffer.from([0xab, 0xab, 0xab]));
    const request = { responseSize: LARGE_RESPONSE_BYTES, payload: payload(LARGE_REQUEST_BYTES) };
    const { initial, trailing } = await client.unary(methods.unaryCall, request, metadata);
    assertEchoed(initial, trailing);

    const call = client.duplex(metadata);
    const heads: Metadata[] = [];
    const trailers: Metadata[] = [];
    call.on("metadata", (head) => heads.push(head));
    call.on("status", (end) => trailers.push(end.metadata));
    const messages = messagesOf(call);
    call.write({
      responseParameters: [{ size: LARGE_RESPONSE_BYTES }],
      payload: payload(LARGE_REQUEST_BYTES),
    });
    assert.equal((await messages.next()).value?.payload?.body.length, LARGE_RESPONSE_BYTES);
    call.end();
    assert.equal((await messages.next()).done, true);
    assertEchoed(heads[0], trailers[0]);
  },

  async unimplemented_method(client) {
    assert.equal((await failure(client.unary(methods.unimplementedMethod, {}))).code, status.UNIMPLEMENTED);
  },

  async unimplemented_service(client) {
    assert.equal((await failure(client.unary(methods.unimplementedService, {}))).code, status.UNIMPLEMENTED);
  },
};

/** Runs one case against the server on a port of loopback; throws when it fails. */
export async function runJsCase(
  name: string,
  port: number,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const run = jsCases[name];
  if (run === undefined) throw new Error(`the client on grpc-js has no case ${name}`);
  await withClient(port, metadata, run);
}

/** What the health check answers, both kinds of it. */
export async function checkHealth(port: number, metadata: Readonly<Record<string, string>>): Promise<string[]> {
  const answers: string[] = [];
  await withClient(port, metadata, async (client) => {
    answers.push((await client.unary(methods.healthCheck, { service: "" })).response.status);
    const call = client.download(methods.healthWatch, { service: "" });
    const first = await messagesOf<{ readonly status: string }>(call).next();
    if (first.done !== true) answers.push(first.value.status);
    call.on("error", () => {});
    call.cancel();
  });
  return answers;
}

/** The name of the server that answers. */
export async function askServerId(port: number, metadata: Readonly<Record<string, string>>): Promise<string> {
  let id = "";
  await withClient(port, metadata, async (client) => {
    id = (await client.unary(methods.unaryCall, { fillServerId: true })).response.serverId;
  });
  return id;
}

async function withClient(
  port: number,
  metadata: Readonly<Record<string, string>>,
  use: (client: InteropClient) => Promise<void>,
): Promise<void> {
  const client = new InteropClient(port, metadata);
  try {
    await use(client);
  } finally {
    client.close();
  }
}

/** The messages of a call one by one; its failure is thrown. */
function messagesOf<Message = StreamingOutputResponse>(
  call: AsyncIterable<unknown>,
): AsyncIterator<Message, undefined> {
  return call[Symbol.asyncIterator]() as AsyncIterator<Message, undefined>;
}

async function failure(outcome: Promise<unknown>): Promise<ServiceError> {
  return outcome.then(
    () => assert.fail("the call succeeded"),
    (error: unknown) => error as ServiceError,
  );
}

function assertStatus(error: ServiceError, message: string): void {
  assert.deepEqual({ code: error.code, message: error.details }, { code: status.UNKNOWN, message });
}

function assertEchoed(initial: Metadata | undefined, trailing: Metadata | undefined): void {
  assert.deepEqual(initial?.get(ECHO_INITIAL), ["test_initial_metadata_value"]);
  assert.deepEqual(trailing?.get(ECHO_TRAILING), [Buffer.from([0xab, 0xab, 0xab])]);
}
