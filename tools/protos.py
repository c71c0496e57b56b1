"""Generates the gRPC stubs, or checks the contracts and the committed stubs.

    python tools/protos.py generate   writes tradewind/api/**, after a lint: stubs, and for other
                                      languages a descriptor set with google.rpc's error details,
                                      and the clients' service config
    python tools/protos.py check      lint, breaking changes, and: would `generate` change anything?
    python tools/protos.py release    makes the contracts of now the ones that must not break

Breaking changes are judged against protos/released.binpb, the contracts as last released.
"""

import argparse
import filecmp
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
RELEASED = PROTOS / "released.binpb"
GENERATED_PATTERNS = (
    *("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi"),
    *("contracts.binpb", "service_config.json"),
)
# What the details of an error are made of; no contract of ours imports them.
ERROR_DETAILS = ("google/rpc/error_details.proto", "google/rpc/status.proto")


def run(*command: str) -> None:
    """Runs a command with this interpreter's scripts (buf, protoc plugins) on the PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    result = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=False)
    if result.returncode != 0:
        sys.exit(f"protos: {' '.join(command[:4])} … failed with exit code {result.returncode}")


def lint() -> None:
    """Buf lint, rule set STANDARD."""
    run("buf", "lint", str(PROTOS))


def generate(into: Path) -> None:
    """Writes stubs and contracts below `into`, in the folders of their packages."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    outputs = [
        f"--{plugin}_out={into}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")
    ]
    run(sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *outputs, *sources)
    api = into / "tradewind" / "api"
    google = f"-I{sysconfig.get_paths()['purelib']}"
    written = ["--include_imports", f"--descriptor_set_out={api / 'contracts.binpb'}"]
    wanted = [f"-I{PROTOS}", google, *written, *sources, *ERROR_DETAILS]
    run(sys.executable, "-m", "grpc_tools.protoc", *wanted)
    write_service_config(api / "service_config.json")


def write_service_config(path: Path) -> None:
    """Writes what our own clients tell gRPC, of the package as it is installed."""
    code = (
        "import json, sys; from tradewind.rpc.clients import channel, inference_calls, risk_calls, "
        "trainer_calls; calls = (inference_calls, risk_calls, trainer_calls); "
        "config = channel.service_config(*(each.SERVICE for each in calls)); "
        "open(sys.argv[1], 'w').write(json.dumps(config, indent=2) + '\\n')"
    )
    run(sys.executable, "-P", "-c", code, str(path))


def check() -> None:
    """Exits with a message when a contract breaks or a committed stub is stale."""
    lint()
    run("buf", "breaking", str(PROTOS), "--against", str(RELEASED))
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = {
            path.relative_to(folder)
            for pattern in GENERATED_PATTERNS
            for path in Path(folder).rglob(pattern)
        }
        committed = {
            path.relative_to(ROOT)
            for pattern in GENERATED_PATTERNS
            for path in (ROOT / "tradewind" / "api").rglob(pattern)
        }
        stale = [
            str(name)
            for name in sorted(fresh | committed)
            if name not in fresh
            or name not in committed
            or not filecmp.cmp(Path(folder) / name, ROOT / name, shallow=False)
        ]
    if stale:
        sys.exit("protos: stale stubs, run `make protos`: " + ", ".join(stale))
    print("protos: lint, breaking changes and generated stubs are fine")


def main() -> None:
    """Parses the command line and does what it says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", choices=["generate", "check", "release"])
    command = parser.parse_args().command
    if command == "generate":
        lint()
        generate(ROOT)
    elif command == "check":
        check()
    else:
        run("buf", "build", str(PROTOS), "-o", str(RELEASED))


if __name__ == "__main__":
    main()
