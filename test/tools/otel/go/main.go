// A service in Go: net/http with otelhttp, grpc-go with otelgrpc. What it does is told in ../fleet.ts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
)

type hop struct {
	Service string   `json:"service"`
	Copy    string   `json:"copy"`
	Baggage []string `json:"baggage"`
}

// Set before anybody is told to send requests.
var (
	outbound string
	client   *http.Client
)

func main() {
	otel.SetTracerProvider(trace.NewTracerProvider())
	// Go has no propagator unless one is set.
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	encoding.RegisterCodec(raw{})

	web, rpc := listen(), listen()
	go func() { panic(http.Serve(web, otelhttp.NewHandler(http.HandlerFunc(serve), "hop"))) }()
	server := grpc.NewServer(grpc.StatsHandler(otelgrpc.NewServerHandler()), grpc.UnknownServiceHandler(answer))
	go func() { panic(server.Serve(rpc)) }()
	fmt.Printf("{\"http\":%d,\"grpc\":%d}\n", web.Addr().(*net.TCPAddr).Port, rpc.Addr().(*net.TCPAddr).Port)

	input := bufio.NewScanner(os.Stdin)
	input.Scan()
	sidecar, err := url.Parse(input.Text())
	if err != nil {
		panic(err)
	}
	outbound = sidecar.Host
	client = &http.Client{Transport: otelhttp.NewTransport(&http.Transport{Proxy: http.ProxyURL(sidecar)})}
	fmt.Println("configured")
	input.Scan()
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return listener
}

func serve(response http.ResponseWriter, request *http.Request) {
	hops := []hop{self(request.Header.Values("baggage"))}
	next, rest, _ := strings.Cut(strings.Trim(request.URL.Path, "/"), "/")
	if next != "" {
		further, _ := http.NewRequestWithContext(request.Context(), "GET", "http://"+next+"/"+rest, nil)
		answer, err := client.Do(further)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		var others []hop
		if answer.StatusCode != http.StatusOK || json.Unmarshal(body, &others) != nil {
			http.Error(response, fmt.Sprintf("%s said %d: %s", next, answer.StatusCode, body), http.StatusBadGateway)
			return
		}
		hops = append(hops, others...)
	}
	json.NewEncoder(response).Encode(hops)
}

func self(baggage []string) hop {
	return hop{os.Getenv("SERVICE"), os.Getenv("COPY"), append([]string{}, baggage...)}
}

// raw passes messages on as the bytes they are.
type raw struct{}

func (raw) Name() string                        { return "proto" }
func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }
func (raw) Unmarshal(data []byte, into any) error {
	*into.(*[]byte) = append([]byte{}, data...)
	return nil
}

func answer(_ any, stream grpc.ServerStream) error {
	var path []byte
	if err := stream.RecvMsg(&path); err != nil {
		return err
	}
	received, _ := metadata.FromIncomingContext(stream.Context())
	hops := []hop{self(received.Get("baggage"))}
	next, rest, _ := strings.Cut(string(path), "/")
	if next != "" {
		body, err := call(stream.Context(), next, []byte(rest))
		if err != nil {
			return err
		}
		var others []hop
		if err := json.Unmarshal(body, &others); err != nil {
			return err
		}
		hops = append(hops, others...)
	}
	reply, _ := json.Marshal(hops)
	return stream.SendMsg(&reply)
}

func call(ctx context.Context, next string, path []byte) (reply []byte, err error) {
	channel, err := grpc.NewClient("passthrough:///"+outbound,
		grpc.WithAuthority(next+":9090"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()))
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	err = channel.Invoke(ctx, "/hop.Hop/Call", &path, &reply)
	return reply, err
}
