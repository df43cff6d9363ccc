"""The pods: does what they mount, listen on and are asked for agree with the coatcheck.yaml inside, and are they locked down?"""

import re
from pathlib import Path

from instance import ANYWHERE, secret_files
from rendered import ROOT, containers, label

PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
# Made by k8s/make-secrets.sh or by the user; values of the chart may name others.
SECRETS = {"coatcheck-secrets", "coatcheck-redis-tls", "coatcheck-redis-acl"}


def of_instance(one):
    if not one.config:
        yield f"args: no ConfigMap of these manifests holds the configuration that -c names: {one.container.get('args')}"
        return
    yield from _listeners(one)
    yield from _probes(one)
    yield from _files(one)
    yield from _stopping(one)
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.M).group(1)
    if "@" not in one.container["image"] and not one.container["image"].endswith(f":{version}"):
        yield f"image {one.container['image']} is not of this version, {version}"


def _listeners(one):
    ports = {port["name"]: port["containerPort"] for port in one.container.get("ports", [])}
    listen = one.listen()
    for purpose in ("grpc", "http", "admin"):
        address = listen.get(purpose)
        if address is None:
            yield f"listen.{purpose} is not set: its default is loopback, where no other pod reaches it"
        elif isinstance(address, str):
            yield from _socket(one, purpose, address)
        elif address[0] not in ANYWHERE:
            yield f"listen.{purpose}: {address[0]} cannot be reached from outside of the pod"
        elif ports.get(purpose) != address[1]:
            yield f"listen.{purpose} is port {address[1]}, but containerPort `{purpose}` is {ports.get(purpose)}"
    for name in ports.keys() - listen.keys():
        yield f"containerPort `{name}`: coatcheck listens for {', '.join(sorted(listen))} only"


def _socket(one, purpose, path):
    volume, mount = one.volume_at(path), one.mount_at(path)
    if not volume or "emptyDir" not in volume or mount.get("readOnly"):
        yield f"listen.{purpose}: {path} is not in an emptyDir that is mounted for writing"
        return
    same = (mount["name"], mount["mountPath"])
    others = [each for each in containers(one.pod) if each is not one.container]
    if not any(same == (its["name"], its["mountPath"]) for each in others for its in each.get("volumeMounts", [])):
        yield f"listen.{purpose}: no other container mounts the volume `{mount['name']}` at {mount['mountPath']}"


def _probes(one):
    for kind, path in PROBES.items():
        asked = one.container.get(kind, {}).get("httpGet")
        if not asked:
            yield f"{kind}: no httpGet {path}"
        elif asked.get("path") != path or _number(one.container, asked.get("port")) != one.port("admin"):
            yield f"{kind} asks port {asked.get('port')} for {asked.get('path')}: coatcheck answers {path} on listen.admin, port {one.port('admin')}"


def _files(one):
    for mount in one.mounts.values():
        if "subPath" in mount:
            yield f"volumeMount {mount['mountPath']}: a file mounted by subPath does not follow its ConfigMap or Secret"
    for file in secret_files(one.config):
        sources = _sources(one.volume_at(file))
        paths = [item["path"] for source in sources for item in source.get("items", [])]
        if not sources:
            yield f"{file}: nothing is mounted at {Path(file).parent}"
        elif Path(file).name not in paths and all("items" in source for source in sources):
            yield f"{file}: the volume has only {', '.join(paths)}"


def _sources(volume):
    if not volume:
        return []
    if "secret" in volume:
        return [volume["secret"]]
    return [source["secret"] for source in volume.get("projected", {}).get("sources", []) if "secret" in source]


def _stopping(one):
    grace = one.pod["spec"].get("terminationGracePeriodSeconds", 30)
    if grace <= one.drain():
        yield f"terminationGracePeriodSeconds {grace} is not above shutdown.drain_delay + shutdown.timeout, {one.drain():g} s"


def of_pod(rendered, owner, pod):
    """Whatever runs: locked down, with what it refers to."""
    spec = pod["spec"]
    context = spec.get("securityContext", {})
    if not context.get("runAsNonRoot") or context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "the pod needs securityContext runAsNonRoot and seccompProfile RuntimeDefault"
    if not isinstance(context.get("runAsUser"), int):
        yield "the pod needs a numeric runAsUser"
    if spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false"
    for container in containers(pod):
        for problem in _container(container):
            yield f"container {container['name']}: {problem}"
    yield from _references(rendered, owner, spec)


def _container(container):
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or not context.get("readOnlyRootFilesystem"):
        yield "needs allowPrivilegeEscalation: false and readOnlyRootFilesystem: true"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "does not drop ALL capabilities"
    if not container.get("resources", {}).get("requests", {}).keys() >= {"cpu", "memory"}:
        yield "requests no cpu and memory"
    image = container["image"]
    if "@sha256:" not in image and (":" not in image or image.endswith(":latest")):
        yield f"image {image} is not pinned"


def _references(rendered, owner, spec):
    namespace = owner["metadata"].get("namespace")
    account = spec.get("serviceAccountName")
    if account and not rendered.has("ServiceAccount", namespace, account):
        yield f"no ServiceAccount {account}"
    for volume in spec.get("volumes", []):
        config_map = volume.get("configMap", {}).get("name")
        if config_map and not rendered.has("ConfigMap", namespace, config_map):
            yield f"volume {volume['name']}: no ConfigMap {config_map}"
        modes = [holder["defaultMode"] for holder in (volume.get("secret"), volume.get("projected")) if holder and "defaultMode" in holder]
        secrets = [source.get("name") or source.get("secretName") for source in _sources(volume)]
        for secret in secrets:
            if secret not in SECRETS and not rendered.has("Secret", namespace, secret):
                yield f"volume {volume['name']}: no Secret {secret}; there are {', '.join(sorted(SECRETS))}"
        if secrets and modes != [0o440]:
            yield f"volume {volume['name']}: secrets need defaultMode 0440"


def _number(container, port):
    """A port of a container by its name or number; None if it has no such port."""
    for each in container.get("ports", []):
        if port in (each.get("name"), each["containerPort"]):
            return each["containerPort"]
    return None


def problems(rendered, ones):
    for one in ones:
        for problem in of_instance(one):
            yield f"{label(one.owner)}: {problem}"
    for owner, pod in rendered.pods():
        for problem in of_pod(rendered, owner, pod):
            yield f"{label(owner)}: {problem}"


def container_port(pod, port):
    numbers = [_number(each, port) for each in containers(pod)]
    return next((number for number in numbers if number is not None), None)
