"""Between the pods: Services, network policies, scaling, monitors. Every name and port must be somebody's."""

from urllib.parse import urlsplit

from rendered import containers, label, matches, namespace_of
from workload import container_port

GRPC = ("grpc", "kubernetes.io/h2c")


def problems(rendered, ones):
    for each in rendered.of("Service"):
        yield from _labelled(each, _service(rendered, each))
    for each in rendered.of("NetworkPolicy"):
        yield from _labelled(each, _policy(rendered, each))
    for each in rendered.of("HorizontalPodAutoscaler", "PodDisruptionBudget"):
        yield from _labelled(each, _scaling(rendered, each))
    for each in rendered.of("ServiceMonitor", "PodMonitor"):
        yield from _labelled(each, _monitor(rendered, each))
    for one in ones:
        yield from _labelled(one.owner, _reaches(rendered, one))


def service_port(rendered, namespace, name, port):
    """The container port behind a port of a Service, with the Service's own entry; None where there is no such thing."""
    service = rendered.find("Service", namespace, name)
    if not service:
        return None
    entry = next((each for each in service["spec"]["ports"] if each["port"] == port), None)
    pods = rendered.pods_matching(namespace, {"matchLabels": service["spec"].get("selector", {})})
    if not entry or not pods:
        return None
    return container_port(pods[0], entry.get("targetPort", entry["port"])), entry


def _labelled(each, found):
    return (f"{label(each)}: {problem}" for problem in found)


def _service(rendered, service):
    selector = service["spec"].get("selector", {})
    pods = rendered.pods_matching(namespace_of(service), {"matchLabels": selector})
    if not pods:
        yield f"no pod has the labels of its selector {selector}"
    for pod in pods:
        for port in service["spec"]["ports"]:
            if container_port(pod, port.get("targetPort", port["port"])) is None:
                yield f"targetPort {port.get('targetPort')} is no containerPort of the pods that it selects"
            yield from _unresolved(pod, "targetPort", port.get("targetPort"))
            if port["name"] == "grpc" and port.get("appProtocol") not in GRPC:
                yield "port grpc needs appProtocol grpc: without it a mesh speaks HTTP/1.1 to it"


def _policy(rendered, policy):
    pods = rendered.pods_matching(namespace_of(policy), policy["spec"]["podSelector"])
    if not pods:
        yield f"no pod has the labels of its podSelector {policy['spec']['podSelector']}"
    for rule in policy["spec"].get("ingress", []):
        yield from _peers(rendered, policy, rule.get("from", []))
        for port in rule.get("ports", []):
            if any(container_port(pod, port["port"]) is None for pod in pods):
                yield f"ingress port {port['port']} is no containerPort of the pods that it is for"
            for pod in pods:
                yield from _unresolved(pod, "ingress port", port["port"])
    for rule in policy["spec"].get("egress", []):
        yield from _peers(rendered, policy, rule.get("to", []), rule.get("ports", []))


def _unresolved(pod, what, port):
    """Before Kubernetes 1.32, the names of ports are looked up among the ordinary containers only."""
    names = [each.get("name") for sidecar in pod["spec"].get("initContainers", []) for each in sidecar.get("ports", [])]
    if isinstance(port, str) and port in names:
        yield f"{what} {port} is a name of a sidecar's port: before Kubernetes 1.32 it leads nowhere, write the number"


def _peers(rendered, policy, peers, ports=()):
    for peer in peers:
        selector = peer.get("podSelector")
        if selector is None or "namespaceSelector" in peer:
            continue
        pods = rendered.pods_matching(namespace_of(policy), selector)
        own = ("Pod", namespace_of(policy), selector.get("matchLabels", {}).get("app.kubernetes.io/name"))
        if not pods and own not in rendered.brings_own:
            yield f"no pod has the labels {selector}"
        for port in ports:
            if pods and container_port(pods[0], port["port"]) is None:
                yield f"egress port {port['port']} is no containerPort of the pods {selector}"


def _reaches(rendered, one):
    """What a coatcheck needs to talk to, its NetworkPolicy lets it, and its clients reach it."""
    for policy in rendered.of("NetworkPolicy"):
        selects = policy["spec"]["podSelector"].get("matchLabels", {})
        if namespace_of(policy) != one.namespace or not matches(one.pod, selects):
            continue
        out = {port["port"] for rule in policy["spec"].get("egress", []) for port in rule.get("ports", [])}
        inward = {container_port(one.pod, port["port"]) for rule in policy["spec"].get("ingress", []) for port in rule.get("ports", [])}
        for what, port in _servers(one.config):
            if port not in out and "Egress" in policy["spec"]["policyTypes"]:
                yield f"its NetworkPolicy lets it not reach {what}: egress has no port {port}"
        for purpose in ("grpc", "http", "admin"):
            if one.port(purpose) is not None and one.port(purpose) not in inward:
                yield f"its NetworkPolicy lets nobody reach listen.{purpose}, port {one.port(purpose)}"


def _servers(config):
    standard = {"rediss": 6379, "redis": 6379, "https": 443, "http": 80}
    addresses = [("DNS", "dns://any:53"), ("store.url", config.get("store", {}).get("url"))]
    addresses += [(f"the provider {each['name']}", each["issuer"]) for each in config.get("providers", [])]
    addresses += [("telemetry.otlp_endpoint", config.get("telemetry", {}).get("otlp_endpoint"))]
    for what, url in addresses:
        if url:
            yield what, urlsplit(url).port or standard[urlsplit(url).scheme]


def _scaling(rendered, each):
    if each["kind"] == "PodDisruptionBudget":
        if not rendered.pods_matching(namespace_of(each), each["spec"]["selector"]):
            yield "no pod has the labels of its selector"
        return
    target = each["spec"]["scaleTargetRef"]
    workload = rendered.find(target["kind"], namespace_of(each), target["name"])
    if not workload:
        yield f"no {target['kind']} {target['name']}"
    elif "replicas" in workload["spec"]:
        yield "the Deployment sets `replicas` too: every apply would undo the scaling"


def _monitor(rendered, each):
    wanted = each["spec"]["selector"]
    endpoints = each["spec"].get("endpoints") or each["spec"].get("podMetricsEndpoints")
    if each["kind"] == "PodMonitor":
        pods = rendered.pods_matching(namespace_of(each), wanted)
        names = [{port["name"] for container in containers(pod) for port in container.get("ports", [])} for pod in pods]
    else:
        names = [
            {port["name"] for port in service["spec"]["ports"]}
            for service in rendered.of("Service")
            if namespace_of(service) == namespace_of(each) and matches(service, wanted["matchLabels"])
        ]
    if len(names) != 1:
        yield f"selects {len(names)} things to scrape, not one"
    for endpoint in endpoints:
        if endpoint["path"] != "/metrics" or any(endpoint["port"] not in known for known in names):
            yield f"nothing serves {endpoint['path']} on a port named {endpoint['port']}"
