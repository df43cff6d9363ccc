"""An Envoy beside coatcheck: its sockets, ports, paths and app are those of the coatcheck.yaml next to it."""

import yaml
from instance import prefix, routed
from rendered import ROOT, label, namespace_of

SHIPPED = ROOT / "envoy/sidecar.yaml"
CLOSED = '      # In a pod: 0.0.0.0 (or "::" with ipv4_compat).\n      socket_address: { address: 127.0.0.1, port_value: 8080 }'
OPEN = "      socket_address: { address: 0.0.0.0, port_value: 8080 }"


def problems(rendered, ones):
    for each in rendered.of("ConfigMap"):
        text = each.get("data", {}).get("envoy.yaml")
        beside = [one for one in ones if one.namespace == namespace_of(each)]
        if text and beside:
            for problem in _of(text, beside[0]):
                yield f"{label(each)}: envoy.yaml: {problem}"


def _of(text, one):
    if text != SHIPPED.read_text(encoding="utf-8").replace(CLOSED, OPEN):
        yield "is not envoy/sidecar.yaml with its listener open to the pod: copy that file again, it is the one that is tested"
    listen, resources = one.listen(), yaml.safe_load(text)["static_resources"]
    for cluster, purpose in (("coatcheck_grpc", "grpc"), ("coatcheck_http", "http")):
        addresses = list(_found("pipe", next(each for each in resources["clusters"] if each["name"] == cluster)))
        if [address["path"] for address in addresses] != [listen.get(purpose)]:
            yield f"cluster {cluster} goes to {addresses}, but listen.{purpose} is {listen.get(purpose)}"
    for check in _found("health_check_config", resources["clusters"]):
        port = check["address"]["socket_address"]["port_value"]
        if port != one.port("admin"):
            yield f"a health check asks port {port}, but listen.admin is {one.port('admin')}"
    for extensions in _found("context_extensions", resources["listeners"]):
        if extensions.get("app") not in one.apps():
            yield f"no app {extensions.get('app')} in coatcheck.yaml"
    prefixes = set(_found("path_separated_prefix", resources["listeners"]))
    if prefixes != {prefix(app) for app in one.apps().values() if routed(app)}:
        yield f"routes {sorted(prefixes)} to coatcheck, which is not login.prefix"


def _found(key, value):
    """Every value of a key, however deep."""
    if isinstance(value, dict):
        for its, inner in value.items():
            if its == key:
                yield inner
            else:
                yield from _found(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(key, inner)
