"""Gateways and meshes: whoever asks coatcheck reaches it, names an app that exists, and leaves out exactly the login paths."""

import yaml
from instance import hosts, prefix, routed, seconds
from network import service_port
from rendered import ROOT, label, name_of, namespace_of

EXTENSION_PROVIDER = ROOT / "k8s/components/istio/extension-provider.yaml"
# Two or three calls to the provider (docs/configuration.md, login.mode).
IN_BAND_TIMEOUT = 30
PROVIDER_KEYS = {"service", "port", "timeout", "failOpen", "statusOnError"}


class Asked:
    """The one coatcheck behind the gateways of a source, and its apps."""

    def __init__(self, rendered, one):
        self.rendered = rendered
        self.one = one
        self.apps = one.apps()

    def port_of(self, namespace, name, port, purpose):
        """Why a reference does not lead to a listener of coatcheck."""
        found = service_port(self.rendered, namespace, name, port)
        if not found:
            yield f"no Service {namespace}/{name} with port {port}"
        elif found[0] != self.one.port(purpose):
            yield f"port {port} of Service {name} is not listen.{purpose}, which is {self.one.port(purpose)}"

    def app(self, name):
        if name not in self.apps:
            yield f"no app `{name}` in coatcheck.yaml; there are {', '.join(self.apps)}"


def problems(rendered, ones):
    if not ones:
        return
    asked = Asked(rendered, ones[0])
    for each in rendered.objects:
        check = CHECKS.get(each["kind"])
        for problem in check(asked, each) if check else ():
            yield f"{label(each)}: {problem}"
        if "'failOpen': True" in str(each):
            yield f"{label(each)}: failOpen would let everybody in while coatcheck is away"
    yield from _login_paths(asked)


def _login_paths(asked):
    """Every app whose login needs a route has one, once a gateway asks about it."""
    askers = asked.rendered.of("AuthorizationPolicy", "SecurityPolicy", "TrafficPolicy")
    if not any(_asks(each) for each in askers):
        return
    reached = {
        (host, match["path"]["value"])
        for each in asked.rendered.of("HTTPRoute")
        if _to_coatcheck(asked, each)
        for host in each["spec"]["hostnames"]
        for rule in each["spec"]["rules"]
        for match in rule["matches"]
    }
    for app in asked.apps.values():
        for host in hosts(app) if routed(app) else ():
            if (host, prefix(app)) not in reached:
                yield f"app {app['name']}: no route leads from {host}{prefix(app)} to coatcheck"


def _asks(each):
    return each["spec"].get("action", "CUSTOM") == "CUSTOM"


def _to_coatcheck(asked, route):
    services = {name_of(each) for each in asked.rendered.of("Service") if namespace_of(each) == asked.one.namespace}
    return any(
        back["name"] in services and back.get("namespace", namespace_of(route)) == asked.one.namespace
        for rule in route["spec"]["rules"]
        for back in rule.get("backendRefs", [])
    )


def _http_route(asked, route):
    for parent in route["spec"]["parentRefs"]:
        yield from _parent(asked, route, parent)
    if not _to_coatcheck(asked, route):
        for rule in route["spec"]["rules"]:
            for back in rule["backendRefs"]:
                if not asked.rendered.has("Service", back.get("namespace", namespace_of(route)), back["name"]):
                    yield f"no Service {back['name']}"
        return
    expected = {(host, prefix(app)) for app in asked.apps.values() if routed(app) for host in hosts(app)}
    for rule in route["spec"]["rules"]:
        for back in rule["backendRefs"]:
            yield from asked.port_of(asked.one.namespace, back["name"], back["port"], "http")
        for match in rule["matches"]:
            for host in route["spec"]["hostnames"]:
                path = match["path"]
                if path["type"] != "PathPrefix" or (host, path["value"]) not in expected:
                    yield f"{path['type']} {host}{path['value']} is no login prefix; there are {sorted(expected)}"


def _parent(asked, route, parent):
    namespace = parent.get("namespace", namespace_of(route))
    if not asked.rendered.has("Gateway", namespace, parent["name"]):
        yield f"no Gateway {namespace}/{parent['name']}"
    gateway = asked.rendered.find("Gateway", namespace, parent["name"])  # none where the user brings it
    for listener in gateway["spec"]["listeners"] if gateway else ():
        wanted = listener["allowedRoutes"]["namespaces"].get("selector", {}).get("matchLabels")
        own = asked.rendered.find("Namespace", None, namespace_of(route))
        if not wanted or not wanted.items() <= own["metadata"].get("labels", {}).items():
            yield f"listener {listener['name']} takes routes of namespaces with {wanted}, and {namespace_of(route)} is none"


def _gateway(asked, gateway):
    known = {host for app in asked.apps.values() for host in hosts(app)}
    for listener in gateway["spec"]["listeners"]:
        if listener.get("hostname") not in known:
            yield f"listener {listener['name']}: no app has the origin https://{listener.get('hostname')}"


# --- Istio -----------------------------------------------------------------------------------------------------


def extension_provider():
    mesh = yaml.safe_load(EXTENSION_PROVIDER.read_text(encoding="utf-8"))["meshConfig"]
    return {each["name"]: each["envoyExtAuthzGrpc"] for each in mesh["extensionProviders"]}


def provider_problems(asked, provider):
    unknown = set(provider) - PROVIDER_KEYS
    if unknown:
        yield f"envoyExtAuthzGrpc has no {', '.join(sorted(unknown))}"
    name, namespace = provider["service"].split(".")[:2]
    if provider["service"] != f"{name}.{namespace}.svc.cluster.local":
        yield f"{provider['service']} is not the full name of a Service"
    yield from asked.port_of(namespace, name, provider["port"], "grpc")
    if provider.get("failOpen") is not False or provider.get("statusOnError") != "503":
        yield 'needs failOpen: false and statusOnError: "503"'


def _authorization_policy(asked, policy):
    spec = policy["spec"]
    for target in spec.get("targetRefs", []):
        if not asked.rendered.has(target["kind"], namespace_of(policy), target["name"]):
            yield f"no {target['kind']} {namespace_of(policy)}/{target['name']}"
    if spec["action"] == "DENY":
        yield from _needs_a_token(asked, spec)
    if spec["action"] != "CUSTOM":
        return
    providers = extension_provider()
    if spec["provider"]["name"] not in providers:
        yield f"no extension provider {spec['provider']['name']} in {EXTENSION_PROVIDER.name}; there are {', '.join(providers)}"
    else:
        provider = providers[spec["provider"]["name"]]
        for problem in provider_problems(asked, provider):
            yield f"{EXTENSION_PROVIDER.name}: {problem}"
        if not all(map(routed, asked.apps.values())) and seconds(provider["timeout"]) < IN_BAND_TIMEOUT:
            yield f"timeout {provider['timeout']} of {spec['provider']['name']}: a callback that the check answers takes up to {IN_BAND_TIMEOUT} s"
    yield from _unasked(asked, spec)


def _unasked(asked, spec):
    """Nothing goes unasked but the login paths of routed apps, on their hosts."""
    operations = [to["operation"] for rule in spec["rules"] for to in rule.get("to", [])]
    paths = {path for each in operations for path in each.get("notPaths", [])}
    left_out = {host for each in operations for host in each.get("notHosts", [])}
    prefixes = {prefix(app) for app in asked.apps.values() if routed(app)}
    expected_paths = {path for each in prefixes for path in (each, f"{each}/*")}
    expected_hosts = {name for app in asked.apps.values() if routed(app) for host in hosts(app) for name in (host, f"{host}:*")}
    if paths != expected_paths:
        yield f"notPaths are {sorted(paths)}, but the login paths that have a route are {sorted(expected_paths)}"
    if left_out != expected_hosts:
        yield f"notHosts are {sorted(left_out)}, but the hosts of apps with a login route are {sorted(expected_hosts)}"
    if any(len(each) != 1 for each in operations):
        yield "notPaths and notHosts stand in one operation: a request would have to miss both to be asked about"
    if any("paths" in each or "hosts" in each for each in operations):
        yield "paths or hosts: what they do not name would pass unasked"


def _needs_a_token(asked, spec):
    """Without a token only what every app's rules make public."""
    open_paths = {
        path for app in asked.apps.values() for rule in app.get("rules", []) if rule.get("session") == "none" for path in rule["paths"]
    }
    expected = {form for path in open_paths for form in ([path[:-3], path[:-1]] if path.endswith("/**") else [path])}
    for to in (to for rule in spec["rules"] for to in rule["to"]):
        if set(to["operation"].get("notPaths", [])) != expected:
            yield f"notPaths are {to['operation'].get('notPaths')}, but public by the rules are {sorted(expected)}"


def _request_authentication(asked, each):
    for rule in each["spec"]["jwtRules"]:
        if rule["issuer"] not in asked.one.issuers():
            yield f"issuer {rule['issuer']} is no provider of coatcheck.yaml; there are {', '.join(asked.one.issuers())}"
        if not rule.get("forwardOriginalToken"):
            yield "forwardOriginalToken is not true: the application would not get the token"


def _destination_rule(asked, each):
    name, namespace = each["spec"]["host"].split(".")[:2]
    if not asked.rendered.has("Service", namespace, name):
        yield f"no Service {each['spec']['host']}"
    for setting in each["spec"]["trafficPolicy"].get("portLevelSettings", []):
        port = setting["port"]["number"]
        if port not in (asked.one.port("grpc"), asked.one.port("http")):
            yield f"portLevelSettings: coatcheck has no port {port}"
        if "outlierDetection" in setting and port != asked.one.port("grpc"):
            yield f"outlierDetection on port {port}: there a 503 is an answer"


def _peer_authentication(asked, each):
    pods = asked.rendered.pods_matching(namespace_of(each), each["spec"]["selector"])
    if not pods:
        yield "no pod has the labels of its selector"
    known = {str(port["containerPort"]) for pod in pods for container in pod["spec"]["containers"] for port in container["ports"]}
    for port in each["spec"].get("portLevelMtls", {}):
        if port not in known:
            yield f"portLevelMtls: no containerPort {port}"


# --- Envoy Gateway, kgateway -----------------------------------------------------------------------------------


def _security_policy(asked, policy):
    yield from _targets(asked, policy)
    auth = policy["spec"]["extAuth"]
    for back in auth["grpc"]["backendRefs"]:
        namespace = back.get("namespace", namespace_of(policy))
        yield from asked.port_of(namespace, back["name"], back["port"], "grpc")
        if namespace != namespace_of(policy) and not _granted(asked, policy, namespace, back["name"]):
            yield f"no ReferenceGrant in {namespace} lets it use Service {back['name']}"
    for extension in auth.get("contextExtensions", []):
        yield from asked.app(extension["value"]) if extension["name"] == "app" else ()
    back_off = auth["grpc"].get("backendSettings", {}).get("retry", {}).get("perRetry", {}).get("backOff", {})
    yield from _patience(auth["timeout"], back_off.get("maxInterval"))


def _granted(asked, policy, namespace, service):
    origin = {"kind": policy["kind"], "namespace": namespace_of(policy), "group": policy["apiVersion"].split("/")[0]}
    return any(
        origin in grant["spec"]["from"] and {"group": "", "kind": "Service", "name": service} in grant["spec"]["to"]
        for grant in asked.rendered.of("ReferenceGrant")
        if namespace_of(grant) == namespace
    )


def _gateway_extension(asked, extension):
    service = extension["spec"]["extAuth"]["grpcService"]
    back = service["backendRef"]
    yield from asked.port_of(back.get("namespace", namespace_of(extension)), back["name"], back["port"], "grpc")
    yield from _patience(service["requestTimeout"], service.get("retry", {}).get("backoff", {}).get("maxInterval"))


def _traffic_policy(asked, policy):
    yield from _targets(asked, policy)
    auth = policy["spec"]["extAuth"]
    reference = auth["extensionRef"]
    if not asked.rendered.has("GatewayExtension", reference.get("namespace", namespace_of(policy)), reference["name"]):
        yield f"no GatewayExtension {reference['name']}"
    yield from asked.app(auth["contextExtensions"]["app"])


def _targets(asked, policy):
    for target in policy["spec"]["targetRefs"]:
        if not asked.rendered.has(target["kind"], namespace_of(policy), target["name"]):
            yield f"no {target['kind']} {namespace_of(policy)}/{target['name']}"
        route = asked.rendered.find(target["kind"], namespace_of(policy), target["name"])
        if route and _to_coatcheck(asked, route):
            yield "it asks about the login route: nobody could sign in"


def _patience(timeout, max_interval):
    if max_interval and seconds(max_interval) < seconds(timeout):
        yield f"the retry's maxInterval {max_interval} cuts every try, below the timeout {timeout}"


# --- Contour ---------------------------------------------------------------------------------------------------


def _extension_service(asked, each):
    for service in each["spec"]["services"]:
        yield from asked.port_of(namespace_of(each), service["name"], service["port"], "grpc")


def _http_proxy(asked, proxy):
    spec = proxy["spec"]
    yield from _virtual_host(asked, spec["virtualhost"]) if "virtualhost" in spec else ()
    for include in spec.get("includes", []):
        if not asked.rendered.has("HTTPProxy", include.get("namespace", namespace_of(proxy)), include["name"]):
            yield f"no HTTPProxy {include['name']}"
        prefixes = [condition.get("prefix") for condition in include["conditions"]]
        expected = [f"{prefix(app)}/" for app in asked.apps.values() if routed(app)]
        if not set(prefixes) <= set(expected):
            yield f"includes {prefixes}, but the login paths are below {expected}"
    for route in spec.get("routes", []):
        for service in route["services"]:
            if route.get("authPolicy", {}).get("disabled"):
                yield from asked.port_of(namespace_of(proxy), service["name"], service["port"], "http")
            elif not asked.rendered.has("Service", namespace_of(proxy), service["name"]):
                yield f"no Service {service['name']}"


def _virtual_host(asked, host):
    auth = host["authorization"]
    if not asked.rendered.has("ExtensionService", auth["extensionRef"]["namespace"], auth["extensionRef"]["name"]):
        yield f"no ExtensionService {auth['extensionRef']['name']}"
    app = auth["authPolicy"]["context"]["app"]
    yield from asked.app(app)
    if app in asked.apps and host["fqdn"] not in hosts(asked.apps[app]):
        yield f"app {app} has no origin https://{host['fqdn']}"


def _backend_traffic_policy(asked, policy):
    for target in policy["spec"]["targetRefs"]:
        if not asked.rendered.has(target["kind"], namespace_of(policy), target["name"]):
            yield f"no {target['kind']} {namespace_of(policy)}/{target['name']}"


CHECKS = {
    "BackendTrafficPolicy": _backend_traffic_policy,
    "HTTPRoute": _http_route,
    "Gateway": _gateway,
    "AuthorizationPolicy": _authorization_policy,
    "RequestAuthentication": _request_authentication,
    "DestinationRule": _destination_rule,
    "PeerAuthentication": _peer_authentication,
    "SecurityPolicy": _security_policy,
    "GatewayExtension": _gateway_extension,
    "TrafficPolicy": _traffic_policy,
    "ExtensionService": _extension_service,
    "HTTPProxy": _http_proxy,
}
