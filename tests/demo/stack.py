"""The pieces of the demo and how they are joined: provider, upstream, coatcheck (one or two), Envoy, and Redis if asked for.

Envoy runs the shipped envoy/envoy.yaml and coatcheck tests/demo/coatcheck.yaml; only addresses are replaced in both.
"""

import json
import re
import secrets
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".peers" / "bin"
CLIENT_ID = "demo"
ACCESS_TOKEN_SECONDS = 60  # short, so that a refresh can be watched


def free_port(preferred=0):
    """`preferred` if nobody has it, else any free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError("no free port on 127.0.0.1")


def http_status(url):
    """The status of a GET, or None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def json_lines(path):
    for line in path.read_text(errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


class Stack:
    """Starts the pieces one by one; each method returns once its piece answers."""

    def __init__(self, children, folder, binary, public_port):
        self.children = children
        self.folder = folder
        self.binary = binary
        self.public_port = public_port
        self.origin = f"http://localhost:{public_port}"
        self.client_secret = secrets.token_urlsafe(24)
        self.store = "store: { kind: embedded, path: ./coatcheck.db }"
        self.environment = {"DEMO_CLIENT_SECRET": self.client_secret}
        self.replicas = []  # {"grpc": port, "http": port, "admin": port}

    def start_provider(self):
        config = {
            "clients": [{
                "client_id": CLIENT_ID,
                "client_secret": self.client_secret,
                "redirect_uris": [f"{self.origin}/auth/callback"],
                "post_logout_redirect_uris": [f"{self.origin}/auth/logout/done"],
            }],
            "lifetimes": {"access_token": ACCESS_TOKEN_SECONDS},
            "jwt_access_tokens": True,
        }
        command = ["node", ROOT / "tests/peers/provider.mjs"]
        self.issuer = self._ready_line("provider", command, {"PROVIDER_CONFIG": json.dumps(config)})["issuer"]
        return self.issuer

    def start_upstream(self):
        self.upstream_port = self._ready_line("upstream", ["node", ROOT / "tests/demo/upstream.mjs"])["port"]
        return f"http://127.0.0.1:{self.upstream_port}"

    def start_redis(self):
        port = free_port()
        options = ["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.children.start("redis", [PEERS / "redis-server", *options])
        ping = [PEERS / "redis-cli", "-p", str(port), "ping"]
        self.children.wait_for("Redis answering", lambda: subprocess.run(ping, capture_output=True).stdout == b"PONG\n")
        key = subprocess.run([self.binary, "keygen"], capture_output=True, check=True, text=True).stdout.strip()
        self.environment["COATCHECK_KEY"] = key
        self.store = f'store: {{ kind: redis, url: "redis://127.0.0.1:{port}/0" }}\nkeys: [ {{ id: 1, value: "${{COATCHECK_KEY}}" }} ]'
        return f"redis://127.0.0.1:{port}"

    def start_coatcheck(self, name):
        config = (ROOT / "tests/demo/coatcheck.yaml").read_text()
        config = re.sub(r":900[123]\b", ":0", config)
        config = config.replace("http://127.0.0.1:4000", self.issuer).replace("http://localhost:8080", self.origin)
        config = re.sub(r"^store:.*$", lambda _: self.store, config, flags=re.MULTILINE)
        path = self.folder / f"{name}.yaml"
        path.write_text(config)
        child = self.children.start(name, [self.binary, "serve", "-c", path], self.environment)

        def listeners():
            lines = [line.get("fields", {}) for line in json_lines(child.log)]
            ports = {at["listener"]: int(at["address"].rsplit(":", 1)[1]) for at in lines if at.get("message") == "listening"}
            return ports if len(ports) == 3 else None

        replica = self.children.wait_for(f"{name} listening", listeners)
        ready = f"http://127.0.0.1:{replica['admin']}/readyz"
        self.children.wait_for(f"200 from {ready}", lambda: http_status(ready) == 200)
        self.replicas.append(replica)
        return f"gRPC :{replica['grpc']}, HTTP :{replica['http']}, {ready}"

    def start_envoy(self):
        path = self.folder / "envoy.yaml"
        path.write_text(self._envoy_config((ROOT / "envoy/envoy.yaml").read_text()))
        self.children.start("envoy", [PEERS / "envoy", "-c", path, "--disable-hot-restart", "--log-level", "warning"])
        through = [f"{self.origin}/", f"{self.origin}/auth/session"]
        self.children.wait_for("200 through Envoy", lambda: all(http_status(url) == 200 for url in through))
        return self.origin

    def _envoy_config(self, text):
        """Replaces addresses; an endpoint of coatcheck's becomes one per replica."""

        def endpoint(match):
            block = match.group(0)
            if "port_value: 9001" not in block and "port_value: 9002" not in block:
                return block
            ports = [{"9001": one["grpc"], "9002": one["http"], "9003": one["admin"]} for one in self.replicas]
            return "".join(with_ports(block, one) for one in ports)

        text = re.sub(r"^ {8}- endpoint:\n(?: {10,}.*\n)+", endpoint, text, flags=re.MULTILINE)
        return with_ports(text, {"8080": self.public_port, "3000": self.upstream_port, "9901": 0})

    def _ready_line(self, name, command, env=None):
        """Starts a program that prints one line of JSON when it is ready."""
        child = self.children.start(name, command, env)
        return self.children.wait_for(f"{name} being ready", lambda: next(json_lines(child.out), None))


def with_ports(text, ports):
    return re.sub(r"(?<=port_value: )\d+", lambda match: str(ports.get(match.group(0), match.group(0))), text)
