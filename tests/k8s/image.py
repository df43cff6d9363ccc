#!/usr/bin/env python3
"""Builds the container's binary as the Dockerfile does, without Docker, and runs it as the container would: in an empty root with what
the Dockerfile copies, as its numeric user, with nothing to write to. Needs root, for chroot.

    .peers/k8s/bin/python tests/k8s/image.py [--quick | --binary FILE]

--quick builds without optimizing, which changes nothing of what is looked at here; FILE is what k8s/image/build.sh built before.
"""

import argparse
import fnmatch
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rendered import ROOT
from secrets_dir import Secrets

PATIENCE = 30  # seconds
DOCKERFILE = ROOT / "Dockerfile"
UNOPTIMIZED = {
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "256",
    "CARGO_PROFILE_RELEASE_DEBUG": "0",
}
NAME = "redis.coatcheck.svc"
ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")


def lines(word):
    """The rest of each line of the Dockerfile that begins with a word."""
    return [line.split(None, 1)[1] for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if line.startswith(f"{word} ")]


def copied_from_here():
    return [word for line in lines("COPY") if "--from" not in line for word in line.split()[:-1]]


def dockerfile_problems():
    toolchain = re.search(r'channel = "(.*)"', (ROOT / "rust-toolchain.toml").read_text(encoding="utf-8")).group(1)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for base in lines("FROM"):
        image = base.split()[0]
        if image != "scratch" and not re.search(r":[^:]*\d+\.\d+\.\d+", image):
            yield f"FROM {image}: pin the exact version"
        if image.startswith("rust:") and not image.startswith(f"rust:{toolchain}-"):
            yield f"FROM {image}: rust-toolchain.toml says {toolchain}"
    if not lines("FROM")[-1].startswith("scratch"):
        yield "the last stage is not FROM scratch"
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", " ".join(lines("USER"))):
        yield "USER is not numeric: runAsNonRoot cannot judge a name"
    for source in copied_from_here():
        if not (ROOT / source).exists():
            yield f"COPY {source}: no such file"
        if not any(fnmatch.fnmatch(source, rule[1:]) or source.startswith(f"{rule[1:]}/") for rule in ignored if rule.startswith("!")):
            yield f"COPY {source}: .dockerignore hides it"


def build(folder, quick):
    """The binary, from nothing but what the Dockerfile copies."""
    context = Path(folder, "src")
    for source in copied_from_here():
        target = context / source
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / source, target) if (ROOT / source).is_dir() else shutil.copy2(ROOT / source, target)
    environment = {"CARGO_TARGET_DIR": str(ROOT / "target/image"), **os.environ, **(UNOPTIMIZED if quick else {})}
    subprocess.run([context / "k8s/image/build.sh", Path(folder, "coatcheck")], check=True, env=environment)
    return Path(folder, "coatcheck")


def problems(binary):
    described = subprocess.run(["ldd", binary], capture_output=True, text=True)
    if "statically linked" not in described.stdout and "not a dynamic executable" not in described.stderr:
        yield f"{binary} is not static:\n{described.stdout}"
        return
    with tempfile.TemporaryDirectory() as folder, Provider(folder) as provider:
        root = _root(folder, binary, provider)
        user = " ".join(lines("USER"))
        command = [shutil.which("chroot"), f"--userspec={user}", root, "/coatcheck"]
        checked = subprocess.run([*command, "check", "-c", "/etc/coatcheck/coatcheck.yaml"], capture_output=True, text=True, env={})
        if checked.returncode != 0 or checked.stderr:
            yield f"coatcheck check in the image: {checked.stderr}"
            return
        yield from _serves(command, Path(folder, "log"))


def _root(folder, binary, provider):
    """What the image holds, and what Kubernetes would mount: /etc/hosts, the configuration, the secrets, a place for data."""
    root = Path(folder, "root")
    for inside in ("etc/ssl/certs", "etc/coatcheck", "secrets", "data"):
        (root / inside).mkdir(parents=True)
    shutil.copy2(binary, root / "coatcheck")
    authority = provider.authority.read_text(encoding="utf-8")
    (root / "etc/ssl/certs/ca-certificates.crt").write_text(ROOTS.read_text(encoding="utf-8") + authority, encoding="utf-8")
    (root / "etc/hosts").write_text(f"127.0.0.1 {NAME}\n", encoding="utf-8")
    (root / "secrets/client").write_text("a secret", encoding="utf-8")
    config = {
        "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "store": {"path": "/data/coatcheck.db"},
        "providers": [{"name": "main", "issuer": provider.issuer, "client_id": "shop", "client_secret_file": "/secrets/client"}],
        "apps": [{"name": "shop", "origin": "https://shop.example.com", "provider": "main"}],
        "telemetry": {"log_format": "json"},
    }
    (root / "etc/coatcheck/coatcheck.yaml").write_text(json.dumps(config), encoding="utf-8")
    os.chmod(folder, 0o755)
    os.chown(root / "data", 65532, 65532)
    return root


def _serves(command, log):
    """It finds the provider by name and trusts its certificate: "reached" stands in the log, for the store and for the provider."""
    with open(log, "wb") as output:
        process = subprocess.Popen([*command, "serve", "-c", "/etc/coatcheck/coatcheck.yaml"], stdout=output, stderr=output, env={})
    try:
        ends = time.monotonic() + PATIENCE
        while not _is_ready(log) and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.1)  # between two looks, until the deadline
        if not _is_ready(log):
            yield f"not ready after {PATIENCE} s, or ended by itself:\n{log.read_text(encoding='utf-8')}"
    finally:
        process.terminate()
        if process.wait(PATIENCE) != 0:
            yield f"exit code {process.returncode} after SIGTERM:\n{log.read_text(encoding='utf-8')}"


def _is_ready(log):
    """Both parts were reached: the store, and the provider by its name and certificate."""
    lines = [json.loads(line)["fields"] for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return any(line["message"] == "readiness changed" and line["ready"] for line in lines)


class Provider:
    """As much of an OpenID provider as readiness asks for, over HTTPS, under a name that only /etc/hosts knows."""

    def __init__(self, folder):
        # The certificate that users make for Redis serves here too: any name and authority that the system does not know.
        secrets = Secrets(folder).folder
        self.authority = secrets / "ca.crt"
        provider = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"keys": []} if self.path == "/jwks" else provider.metadata()).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(secrets / "tls.crt", secrets / "tls.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.issuer = f"https://{NAME}:{self.server.server_address[1]}"

    def metadata(self):
        ends = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("authorization", "token")}
        lists = {
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks", **ends, **lists}

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", type=Path, metavar="FILE")
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        binary = given.binary or build(folder, given.quick)
        found = list(problems(binary))
        print("\n".join(found) if found else f"the image's binary runs in an empty root: {binary.stat().st_size / 1e6:.0f} MB, static")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
