"""Starts a real Redis with the redis.conf and ACL of k8s/components/redis, and the real coatcheck with the coatcheck.yaml of the shared
service on it. Loopback only; what a pod mounts is a folder here."""

import json
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import instance
import rendered

import store

PATIENCE = 30  # seconds
REDIS = rendered.ROOT / ".peers/bin/redis-server"
CLI = rendered.ROOT / ".peers/bin/redis-cli"


def problems(shared, binary, secrets):
    """`shared`: the rendered overlay."""
    with tempfile.TemporaryDirectory() as folder:
        one = instance.instances(shared)[0]
        redis_port, ports = _free_port(), {purpose: _free_port() for purpose in ("grpc", "http", "admin")}
        redis = _start([REDIS, _redis_conf(shared, folder, redis_port, secrets)], Path(folder, "redis.log"))
        text = instance.in_place(one, secrets).replace("rediss://redis:6379", f"rediss://127.0.0.1:{redis_port}")
        for purpose, port in ports.items():
            text = text.replace(f"0.0.0.0:{one.port(purpose)}", f"127.0.0.1:{port}")
        config = Path(folder, "coatcheck.yaml")
        config.write_text(text, encoding="utf-8")
        coatcheck = _start([binary, "serve", "-c", config], Path(folder, "coatcheck.log"))
        try:
            yield from _store_is_reached(ports["admin"], Path(folder, "coatcheck.log"))
            yield from _probes(shared, redis_port, secrets)
        finally:
            for process in (coatcheck, redis):
                process.terminate()
            for process in (coatcheck, redis):
                process.wait(PATIENCE)


def _redis_conf(shared, folder, port, secrets):
    text = next(each for each in shared.of("ConfigMap") if "redis.conf" in each["data"])["data"]["redis.conf"]
    settings = store.settings(text)
    for key in ("tls-cert-file", "tls-key-file", "tls-ca-cert-file", "aclfile"):
        text = text.replace(settings[key], str(secrets.folder / Path(settings[key]).name))
    text = text.replace(f"tls-port {settings['tls-port']}", f"tls-port {port}").replace(f"dir {settings['dir']}", f"dir {folder}")
    path = Path(folder, "redis.conf")
    path.write_text(f"{text}\nbind 127.0.0.1\n", encoding="utf-8")
    return path


def _store_is_reached(admin, log):
    """The provider of the example does not exist, so it alone may be missing."""
    ends, state = time.monotonic() + PATIENCE, "no answer"
    while time.monotonic() < ends:
        state = _readyz(admin)
        if isinstance(state, dict) and "store" not in {part["part"] for part in state["missing"]}:
            return
        time.sleep(0.1)  # between two questions, until the deadline
    yield f"coatcheck does not reach the Redis of k8s/components/redis: {state}\n{log.read_text(encoding='utf-8')[-2000:]}"


def _readyz(admin):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=2) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as answer:
        return json.load(answer)
    except OSError as error:
        return str(error)


def _probes(shared, port, secrets):
    """The probe's command gets its PONG, and its user can do nothing else."""
    owner, pod = next((owner, pod) for owner, pod in shared.pods() if owner["kind"] == "StatefulSet")
    container = pod["spec"]["containers"][0]
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        command = container[kind]["exec"]["command"]
        said = _cli(command, port, secrets)
        if said != "PONG":
            yield f"{rendered.label(owner)}: {kind} says {said}"
    said = _cli([*command[:-1], "get", "coatcheck:x"], port, secrets)
    if "NOPERM" not in said:
        yield f"the user of the probes may read: {said}"
    said = _cli(["valkey-cli", "--tls", "--cacert", "/tls/ca.crt", "get", "coatcheck:x"], port, secrets)
    if "NOAUTH" not in said:
        yield f"without a password: {said}"


def _cli(command, port, secrets):
    words = [str(secrets.folder / "ca.crt") if word == "/tls/ca.crt" else word for word in command[1:]]
    done = subprocess.run([CLI, "-h", "127.0.0.1", "-p", str(port), *words], capture_output=True, text=True, timeout=PATIENCE)
    return (done.stdout + done.stderr).strip()


def _start(command, log):
    with open(log, "wb") as output:
        return subprocess.Popen([str(word) for word in command], stdout=output, stderr=subprocess.STDOUT)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
