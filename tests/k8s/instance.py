"""coatcheck as a set of manifests runs it: the container, and the coatcheck.yaml that it will read."""

import re
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from rendered import Failed, containers, namespace_of

ANYWHERE = ("0.0.0.0", "[::]")
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Instance:
    def __init__(self, rendered, owner, pod, container):
        self.rendered = rendered
        self.owner = owner
        self.pod = pod
        self.container = container
        self.namespace = namespace_of(owner)
        self.mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
        self.volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        self.text = self._text()
        self.config = yaml.safe_load(self.text) if self.text else {}

    def _text(self):
        args = self.container.get("args", [])
        path = args[args.index("-c") + 1] if "-c" in args else ""
        volume = self.volume_at(path)
        name = (volume or {}).get("configMap", {}).get("name")
        config_map = name and self.rendered.find("ConfigMap", self.namespace, name)
        return (config_map or {}).get("data", {}).get(Path(path).name)

    def mount_at(self, path):
        return self.mounts.get(str(Path(path).parent))

    def volume_at(self, path):
        mount = self.mount_at(path)
        return mount and self.volumes.get(mount["name"])

    def listen(self):
        """purpose -> (host, port), or the path of a socket."""
        return {purpose: _address(text) for purpose, text in self.config.get("listen", {}).items()}

    def port(self, purpose):
        address = self.listen().get(purpose)
        return address[1] if isinstance(address, tuple) else None

    def apps(self):
        return {app["name"]: app for app in self.config.get("apps", [])}

    def issuers(self):
        return [provider["issuer"] for provider in self.config.get("providers", [])]

    def drain(self):
        """Seconds that coatcheck may take to stop."""
        shutdown = self.config.get("shutdown", {})
        return seconds(shutdown.get("drain_delay", "2s")) + seconds(shutdown.get("timeout", "20s"))


def instances(rendered):
    found = []
    for owner, pod in rendered.pods():
        for container in containers(pod):
            if image_name(container) == "coatcheck":
                found.append(Instance(rendered, owner, pod, container))
    return found


def image_name(container):
    return container["image"].split("@")[0].rpartition("/")[2].split(":")[0]


def hosts(app):
    origins = app["origin"] if isinstance(app["origin"], list) else [app["origin"]]
    return [urlsplit(origin).hostname for origin in origins]


def prefix(app):
    return app.get("login", {}).get("prefix", "/auth")


def routed(app):
    return app.get("login", {}).get("mode", "routed") == "routed"


def seconds(duration):
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h|d)", str(duration)))


def secret_files(value):
    """Every file that a configuration names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if (key == "file" or key.endswith("_file")) and isinstance(inner, str):
                yield inner
            else:
                yield from secret_files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from secret_files(inner)


def in_place(instance, secrets):
    """The configuration as it would run here: its secrets are files of ours."""
    named = sorted(set(secret_files(instance.config)), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, named)), lambda file: str(secrets.behind(file.group())), instance.text)


def mistakes(instance, binary, secrets):
    """What the real `coatcheck check` says of the configuration, warnings included."""
    done, folder = _run(instance, binary, secrets, "check")
    said = done.stderr.strip().splitlines()
    return [line.replace(folder, "") for line in said] if done.returncode or said else []


def rendered_for(gateway, instance, binary, secrets):
    """What `coatcheck render` prints for an instance, as objects. Istio's mesh configuration is none: it has no `kind`."""
    done, _ = _run(instance, binary, secrets, "render", gateway)
    if done.returncode:
        raise Failed(f"coatcheck render {gateway}: {done.stderr.strip()}")
    return [each for each in yaml.safe_load_all(done.stdout) if each and "kind" in each]


def _run(instance, binary, secrets, *words):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coatcheck.yaml")
        path.write_text(in_place(instance, secrets), encoding="utf-8")
        return subprocess.run([binary, *words, "-c", path], capture_output=True, text=True), folder


def _address(text):
    if text.startswith("unix:"):
        return text[len("unix:") :]
    host, _, port = text.rpartition(":")
    return host, int(port)
