"""A service in Python: Flask, requests and grpcio with their instrumentations. What it does is told in ../fleet.ts."""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import requests
from flask import Flask, request
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient, GrpcInstrumentorServer
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from werkzeug.serving import make_server

trace.set_tracer_provider(TracerProvider())
RequestsInstrumentor().instrument()
GrpcInstrumentorServer().instrument()
GrpcInstrumentorClient().instrument()
app = Flask(__name__)
FlaskInstrumentor().instrument_app(app)

sidecar = None


def self(baggage):
    return {"service": os.environ["SERVICE"], "copy": os.environ["COPY"], "baggage": baggage}


@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def serve(path):
    hops = [self(request.headers.getlist("baggage"))]
    following, _, rest = path.strip("/").partition("/")
    if following:
        answer = requests.get(f"http://{following}/{rest}", proxies={"http": f"http://{sidecar}"}, timeout=20)
        if answer.status_code != 200:
            return f"{following} said {answer.status_code}: {answer.text}", 502
        hops += answer.json()
    return hops


class Hop(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(answer)


def answer(path, context):
    hops = [self([value for name, value in context.invocation_metadata() if name == "baggage"])]
    following, _, rest = path.decode().partition("/")
    if following:
        options = [("grpc.default_authority", f"{following}:9090"), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(sidecar, options) as channel:
            hops += json.loads(channel.unary_unary("/hop.Hop/Call")(rest.encode(), timeout=20))
    return json.dumps(hops).encode()


web = make_server("127.0.0.1", 0, app, threaded=True)
rpc = grpc.server(ThreadPoolExecutor(4))
rpc.add_generic_rpc_handlers([Hop()])
rpc_port = rpc.add_insecure_port("127.0.0.1:0")
rpc.start()
threading.Thread(target=web.serve_forever, daemon=True).start()
print(json.dumps({"http": web.server_port, "grpc": rpc_port}), flush=True)
sidecar = sys.stdin.readline().strip().removeprefix("http://")
print("configured", flush=True)
sys.stdin.read()
os._exit(0)
