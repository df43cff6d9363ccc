"""The Redis of the manifests: what coatcheck.yaml says of it, what redis.conf makes of it, and what its pod mounts agree."""

from urllib.parse import urlsplit

from network import service_port
from rendered import label, namespace_of


def problems(rendered, ones):
    for one in ones:
        for problem in _address(rendered, one):
            yield f"{label(one.owner)}: store.url: {problem}"
    for owner, pod in rendered.pods():
        for problem in _server(rendered, owner, pod):
            yield f"{label(owner)}: {problem}"


def settings(text):
    """redis.conf as a mapping."""
    lines = (line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return dict(lines)


def _address(rendered, one):
    store = one.config["store"]
    if store.get("kind") != "redis":
        return
    url = urlsplit(store["url"])
    name, _, namespace = url.hostname.partition(".")
    namespace = namespace.split(".")[0] or one.namespace
    if ("Service", namespace, name) in rendered.brings_own:
        return
    if not service_port(rendered, namespace, name, url.port or 6379):
        yield f"no Service {namespace}/{name} with port {url.port or 6379}"
        return
    config = _config(rendered, namespace)
    if config and ("tls-port" in config) != (url.scheme == "rediss"):
        yield f"{url.scheme}, but redis.conf has {'TLS only' if 'tls-port' in config else 'no TLS'}"


def _config(rendered, namespace):
    for each in rendered.of("ConfigMap"):
        if namespace_of(each) == namespace and "redis.conf" in each["data"]:
            return settings(each["data"]["redis.conf"])
    return None


def _server(rendered, owner, pod):
    config = _config(rendered, namespace_of(owner))
    for container in pod["spec"]["containers"]:
        if "redis.conf" not in " ".join(container.get("command", [])) or not config:
            continue
        ports = [port["containerPort"] for port in container["ports"]]
        if int(config.get("tls-port", config.get("port"))) not in ports:
            yield f"redis.conf listens on {config.get('tls-port')}, but the containerPorts are {ports}"
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        for key in ("tls-cert-file", "tls-key-file", "tls-ca-cert-file", "aclfile", "dir"):
            if not any(f"{config[key]}/".startswith(f"{mount}/") for mount in mounts):
                yield f"redis.conf: {key} {config[key]} is in no volume; mounted are {mounts}"
        if config.get("maxmemory-policy") != "noeviction" or config.get("appendonly") != "yes":
            yield "redis.conf needs appendonly yes and maxmemory-policy noeviction: sessions must not vanish"
