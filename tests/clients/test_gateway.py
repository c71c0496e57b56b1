"""Envoy as examples/envoy/gateway.yaml sets it up: JSON, gRPC-Web and CORS, from a real browser."""

import functools
import http.server
import json
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser

from tradewind.api.inference.v1 import inference_pb2

ROOT = Path(__file__).parents[2]
PREDICT = "/tradewind.api.inference.v1.InferenceService/Predict"
NUMBERS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
ASKED = {"policy": "tiny-dqn", "values": {"values": NUMBERS}}
ORIGIN = "http://127.0.0.1:8000"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@dataclass(frozen=True)
class Site:
    """Addresses: the gateway, a site that it lets in, and one that it does not."""

    gateway: str
    allowed: str
    foreign: str


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def site(envoy: Path, inference: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "index.html").write_text("<title>a page</title>")
    allowed, foreign = serve(folder), serve(folder)
    origins = [f"http://127.0.0.1:{server.server_port}" for server in (allowed, foreign)]
    port = free_port()
    text = (ROOT / "examples" / "envoy" / "gateway.yaml").read_text()
    text = text.replace(ORIGIN, origins[0])
    config = yaml.safe_load(text)
    resources = config["static_resources"]
    resources["listeners"][0]["address"]["socket_address"]["port_value"] = port
    rest_port = free_port()
    ports = {"inference": int(inference.rpartition(":")[2]), "open_inference_rest": rest_port}
    for cluster in resources["clusters"]:
        (endpoints,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = endpoints["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = ports[cluster["name"]]
    (folder / "gateway.yaml").write_text(yaml.safe_dump(config))
    command = [str(envoy), "--config-path", str(folder / "gateway.yaml"), "--concurrency", "1"]
    command += ["--use-dynamic-base-id", "--log-level", "error"]
    rest_command = [sys.executable, str(ROOT / "examples" / "envoy" / "open_inference_rest.py")]
    rest_command += ["--listen", f"127.0.0.1:{rest_port}", "--inference", inference]
    with (folder / "envoy.log").open("w") as log:
        rest = subprocess.Popen(rest_command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until_open(port, process, folder / "envoy.log")
        wait_until_open(rest_port, rest, folder / "envoy.log")
        yield Site(f"http://127.0.0.1:{port}", *origins)
    finally:
        for each in (process, rest):
            each.terminate()
            each.wait(20)
        for server in (allowed, foreign):
            server.shutdown()
            server.server_close()


def wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def post(url: str, document: Any) -> tuple[int, Any]:
    body = json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_gateway_with_json_answers_in_json(site: Site) -> None:
    status, answer = post(site.gateway + PREDICT, ASKED)
    assert status == 200
    assert answer["version"] == "2026-11-22.1"
    assert int(answer["discrete"]) in (0, 1, 2)
    assert int(answer["model_compute_ns"]) > 0


def test_gateway_with_a_wrong_shape_answers_400_with_the_field(site: Site) -> None:
    status, answer = post(site.gateway + PREDICT, {**ASKED, "values": {"values": [1]}})
    assert status == 400
    assert answer["code"] == 3
    details = {each["@type"].rpartition(".")[2]: each for each in answer["details"]}
    assert details["ErrorInfo"]["reason"] == "INVALID_OBSERVATION"
    violations = details["BadRequest"].get("field_violations")
    violations = violations or details["BadRequest"]["fieldViolations"]
    assert violations[0]["field"].startswith("values")


def test_gateway_with_an_unknown_policy_answers_404(site: Site) -> None:
    status, answer = post(site.gateway + PREDICT, {**ASKED, "policy": "nobody"})
    assert (status, answer["code"]) == (404, 5)


def get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def tensor(**changes: Any) -> dict[str, Any]:
    made = {"name": "observation", "datatype": "FP32", "shape": [2, 6], "data": NUMBERS * 2}
    return {**made, **changes}


def test_open_inference_rest_through_the_gateway_answers_what_predict_answers(site: Site) -> None:
    at = f"{site.gateway}/v2"
    assert get(f"{at}/health/live") == (200, {"live": True})
    assert get(f"{at}/health/ready") == (200, {"ready": True})
    assert get(at)[1]["name"] == "tradewind"
    assert get(f"{at}/models/tiny-dqn/ready") == (200, {"name": "tiny-dqn", "ready": True})
    assert get(f"{at}/models/nobody/ready")[0] == 503
    (observation,) = get(f"{at}/models/tiny-dqn")[1]["inputs"]
    assert observation == {"name": "observation", "datatype": "FP32", "shape": [-1, 6]}

    _, predicted = post(site.gateway + PREDICT, ASKED)
    for where in ("tiny-dqn", "tiny-dqn/versions/2026-11-22.1"):
        for data in (NUMBERS * 2, [NUMBERS, NUMBERS]):
            body = {"id": "7", "inputs": [tensor(data=data)], "parameters": {"stochastic": False}}
            status, answer = post(f"{at}/models/{where}/infer", body)
            assert (status, answer["id"], answer["model_name"]) == (200, "7", "tiny-dqn")
            outputs = {each["name"]: each for each in answer["outputs"]}
            assert outputs["action"]["data"] == [int(predicted["discrete"])] * 2
            assert outputs["action"]["shape"] == [2]
            assert isinstance(answer["parameters"]["slo_met"], bool)


@pytest.mark.parametrize(
    ("where", "body", "status", "says"),
    [
        ("nobody", {"inputs": [tensor()]}, 404, "nobody"),
        ("tiny-dqn", {"inputs": [tensor(shape=[2, 5])]}, 400, "observation"),
        ("tiny-dqn", {"inputs": [tensor(data=["1.5"] * 12)]}, 400, "inputs[0]: data"),
        ("tiny-dqn", {"inputs": [tensor(data=[[1], [1, 2]])]}, 400, "inputs[0]: "),
        ("tiny-dqn", {"inputs": [tensor(data=[1e300] * 12)]}, 400, "raw_input_contents"),
        ("tiny-dqn", {"inputs": [tensor(datatype="BYTES")]}, 400, "inputs[0]: datatype"),
        ("tiny-dqn", {"inputs": [{"name": "observation"}]}, 400, "inputs[0]: datatype: is missing"),
        ("tiny-dqn", {"inputs": [3]}, 400, "inputs[0]: "),
        ("tiny-dqn", {"inputs": [tensor(shape="26")]}, 400, "inputs[0]: "),
        ("tiny-dqn", {"inputs": [tensor()], "parameters": {"seed": [1]}}, 400, "parameters.seed"),
        ("tiny-dqn", {"inputs": [tensor()], "outputs": [{"name": "no"}]}, 400, "outputs"),
        ("tiny-dqn", [], 400, "inputs"),
    ],
)
def test_open_inference_rest_with_bad_input_says_which_field(
    site: Site, where: str, body: Any, status: int, says: str
) -> None:
    answered, answer = post(f"{site.gateway}/v2/models/{where}/infer", body)
    assert (answered, list(answer)) == (status, ["error"])
    assert says in answer["error"]


def test_browser_of_an_allowed_site_predicts_by_json_and_by_grpc_web(
    site: Site, chromium: Browser
) -> None:
    message = inference_pb2.PredictRequest(
        policy="tiny-dqn", values=inference_pb2.FloatVector(values=NUMBERS)
    ).SerializeToString()
    frame = list(b"\0" + struct.pack(">I", len(message)) + message)
    page = chromium.new_page()
    page.goto(site.allowed)
    script = """async ([url, asked, frame]) => {
        const json = await (await fetch(url, {method: 'POST', body: JSON.stringify(asked),
            headers: {'content-type': 'application/json'}})).json();
        const web = await fetch(url, {method: 'POST', body: new Uint8Array(frame),
            headers: {'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1'}});
        return [json, web.status, Array.from(new Uint8Array(await web.arrayBuffer()))];
    }"""
    answered, status, body = page.evaluate(script, [site.gateway + PREDICT, ASKED, frame])
    page.close()
    assert status == 200
    size = struct.unpack(">I", bytes(body[1:5]))[0]
    answer = inference_pb2.PredictResponse.FromString(bytes(body[5 : 5 + size]))
    assert answer.discrete == int(answered["discrete"])
    assert b"grpc-status:0" in bytes(body[5 + size :]).replace(b" ", b"")


def test_browser_of_another_site_is_not_answered(site: Site, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto(site.foreign)
    script = """async ([url, asked]) => {
        try { await fetch(url, {method: 'POST', body: JSON.stringify(asked),
            headers: {'content-type': 'application/json'}}); return 'answered'; }
        catch (error) { return error.name; }
    }"""
    assert page.evaluate(script, [site.gateway + PREDICT, ASKED]) == "TypeError"
    page.close()
