import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.grpc.CallOptions;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Scanner;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;

/** A service in Java: the JDK's own server and client, and grpc-java, under the OpenTelemetry agent. What it does is told in ../fleet.ts. */
class Service {
  static final Metadata.Key<String> BAGGAGE = Metadata.Key.of("baggage", Metadata.ASCII_STRING_MARSHALLER);
  static final Context.Key<List<String>> RECEIVED = Context.key("baggage");
  static final MethodDescriptor<byte[], byte[]> CALL =
      MethodDescriptor.<byte[], byte[]>newBuilder()
          .setType(MethodDescriptor.MethodType.UNARY)
          .setFullMethodName("hop.Hop/Call")
          .setRequestMarshaller(new Raw())
          .setResponseMarshaller(new Raw())
          .build();

  static String sidecar;
  static HttpClient client;

  public static void main(String[] arguments) throws Exception {
    InetSocketAddress anyPort = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    HttpServer web = HttpServer.create(anyPort, 0);
    web.setExecutor(Executors.newCachedThreadPool());
    web.createContext("/", Service::serve);
    web.start();
    Server rpc =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(ServerServiceDefinition.builder("hop.Hop").addMethod(CALL, ServerCalls.asyncUnaryCall(Service::answer)).build())
            .intercept(new KeepBaggage())
            .build()
            .start();
    System.out.println("{\"http\":" + web.getAddress().getPort() + ",\"grpc\":" + rpc.getPort() + "}");

    Scanner input = new Scanner(System.in);
    URI proxy = URI.create(input.nextLine());
    sidecar = proxy.getAuthority();
    client = HttpClient.newBuilder().proxy(ProxySelector.of(new InetSocketAddress(proxy.getHost(), proxy.getPort()))).build();
    System.out.println("configured");
    while (input.hasNextLine()) input.nextLine();
    System.exit(0);
  }

  static void serve(HttpExchange exchange) throws IOException {
    String[] path = exchange.getRequestURI().getPath().substring(1).split("/", 2);
    int status = 200;
    String answer = self(exchange.getRequestHeaders().getOrDefault("baggage", List.of()));
    if (!path[0].isEmpty()) {
      try {
        URI further = URI.create("http://" + path[0] + "/" + (path.length > 1 ? path[1] : ""));
        var said = client.send(HttpRequest.newBuilder(further).build(), BodyHandlers.ofString());
        status = said.statusCode() == 200 ? 200 : 502;
        answer = status == 200 ? joined(answer, said.body()) : path[0] + " said " + said.statusCode() + ": " + said.body();
      } catch (InterruptedException | IOException e) {
        status = 502;
        answer = e.toString();
      }
    }
    byte[] body = answer.getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  static void answer(byte[] path, StreamObserver<byte[]> observer) {
    String[] parts = new String(path, StandardCharsets.UTF_8).split("/", 2);
    String hops = self(RECEIVED.get());
    if (!parts[0].isEmpty()) {
      ManagedChannel channel =
          Grpc.newChannelBuilder(sidecar, InsecureChannelCredentials.create()).overrideAuthority(parts[0] + ":9090").proxyDetector(address -> null).build();
      try {
        byte[] rest = (parts.length > 1 ? parts[1] : "").getBytes(StandardCharsets.UTF_8);
        byte[] said = ClientCalls.blockingUnaryCall(channel, CALL, CallOptions.DEFAULT, rest);
        hops = joined(hops, new String(said, StandardCharsets.UTF_8));
      } catch (RuntimeException e) {
        observer.onError(e);
        return;
      } finally {
        channel.shutdownNow();
      }
    }
    observer.onNext(hops.getBytes(StandardCharsets.UTF_8));
    observer.onCompleted();
  }

  static String self(List<String> baggage) {
    String lines = baggage.stream().map(Service::quoted).collect(Collectors.joining(","));
    return "[{\"service\":" + quoted(System.getenv("SERVICE")) + ",\"copy\":" + quoted(System.getenv("COPY")) + ",\"baggage\":[" + lines + "]}]";
  }

  static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  /** Two JSON arrays as one. */
  static String joined(String first, String second) {
    return first.substring(0, first.length() - 1) + "," + second.strip().substring(1);
  }

  /** Makes the metadata visible to the method. */
  static class KeepBaggage implements ServerInterceptor {
    @Override
    public <A, B> ServerCall.Listener<A> interceptCall(ServerCall<A, B> call, Metadata headers, ServerCallHandler<A, B> next) {
      Iterable<String> lines = headers.getAll(BAGGAGE);
      List<String> received = lines == null ? List.of() : StreamSupport.stream(lines.spliterator(), false).collect(Collectors.toList());
      return Contexts.interceptCall(Context.current().withValue(RECEIVED, received), call, headers, next);
    }
  }

  /** Passes messages on as the bytes they are. */
  static class Raw implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] message) {
      return new ByteArrayInputStream(message);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
