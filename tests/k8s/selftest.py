"""Do the checks see mistakes? Each is made on purpose in manifests that are sound, and must be found, in these words."""

import copy
import subprocess

import rendered

SHARED, ISTIO, SIDECAR = "k8s/overlays/shared", "k8s/overlays/istio-gateway", "k8s/overlays/sidecar"
IN_BAND, EG, KG = "k8s/overlays/istio-sidecar", "k8s/overlays/envoy-gateway", "k8s/overlays/kgateway"
CONTOUR, MONITOR = "k8s/overlays/contour", "k8s/overlays/shared with components/service-monitor"


class Mistake:
    def __init__(self, source, kind, name, expected, make):
        self.source, self.kind, self.name, self.expected, self.make = source, kind, name, expected, make

    def problems(self, everything, problems):
        source = next(each for each in everything if each.name == self.source)
        broken = rendered.Rendered(source.name, copy.deepcopy(source.objects), source.brings_own)
        self.make(next(each for each in broken.of(self.kind) if rendered.name_of(each) == self.name))
        found = list(problems(broken))
        if not any(self.expected in problem for problem in found):
            yield f"{self.source}, {self.kind} {self.name}: nothing was said about `{self.expected}`; said was {found}"


def run(everything, problems, report, with_crds):
    """How many mistakes went unnoticed."""
    mistakes = MISTAKES + (STRICT if with_crds else [])
    unseen = [problem for mistake in mistakes for problem in mistake.problems(everything, problems)]
    failed = report(f"{len(mistakes)} mistakes on purpose", unseen, "all found")
    return failed + report(f"{len(REFUSED)} wrong values for the chart", _refused(), "all refused")


def edited(before, after):
    """A change of the text of coatcheck.yaml."""

    def make(config_map):
        key = "coatcheck.yaml" if "coatcheck.yaml" in config_map["data"] else next(iter(config_map["data"]))
        assert before in config_map["data"][key], before
        config_map["data"][key] = config_map["data"][key].replace(before, after)

    return make


def put(path, value):
    """A value at a path such as spec.ports.0.port; a missing last key is added."""

    def make(each):
        *steps, last = path.split(".")
        for step in steps:
            each = each[int(step) if isinstance(each, list) else step]
        each[int(last) if isinstance(each, list) else last] = value

    return make


def removed(path):
    def make(each):
        *steps, last = path.split(".")
        for step in steps:
            each = each[int(step) if isinstance(each, list) else step]
        del each[int(last) if isinstance(each, list) else last]

    return make


POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
CONFIG = "coatcheck-config"
MISTAKES = [
    # Against the schemas.
    Mistake(SHARED, "Deployment", "coatcheck", "'replica' was unexpected", put("spec.replica", 2)),
    Mistake(SHARED, "Service", "coatcheck", "is not of type", put("spec.ports.0.port", "grpc")),
    Mistake(SHARED, "NetworkPolicy", "coatcheck", "'port' was unexpected", put("spec.ingress.0.port", 9001)),
    Mistake(MONITOR, "ServiceMonitor", "coatcheck", "'metricsPath' was unexpected", put("spec.endpoints.0.metricsPath", "/")),
    Mistake(KG, "TrafficPolicy", "coatcheck", "'contextExtension' was unexpected", put("spec.extAuth.contextExtension", {})),
    # coatcheck.yaml against the real configuration type.
    Mistake(SHARED, "ConfigMap", CONFIG, "coatcheck check", edited("client_id:", "client-id:")),
    Mistake(SHARED, "ConfigMap", CONFIG, "coatcheck check", edited("provider: main", "provider: mein")),
    Mistake(SHARED, "ConfigMap", CONFIG, "redis, but redis.conf has TLS only", edited("rediss://", "redis://")),
    # The pod against coatcheck.yaml.
    Mistake(SHARED, "ConfigMap", CONFIG, "listen.grpc is port 9101, but containerPort `grpc` is 9001", edited(":9001", ":9101")),
    Mistake(SHARED, "ConfigMap", CONFIG, "127.0.0.1 cannot be reached", edited("http: 0.0.0.0", "http: 127.0.0.1")),
    Mistake(SHARED, "ConfigMap", CONFIG, "listen.admin is not set", edited(", admin: 0.0.0.0:9003", "")),
    Mistake(SHARED, "ConfigMap", CONFIG, "nothing is mounted at /secret", edited("/secrets/client", "/secret/client")),
    Mistake(SHARED, "ConfigMap", CONFIG, "is not above shutdown.drain_delay", edited("timeout: 25s", "timeout: 40s")),
    Mistake(SHARED, "ConfigMap", CONFIG, "store.url: no Service coatcheck/reddis", edited("rediss://redis:", "rediss://reddis:")),
    Mistake(SHARED, "ConfigMap", CONFIG, "egress has no port 8443", edited("id.example.com/", "id.example.com:8443/")),
    Mistake(SHARED, "Deployment", "coatcheck", "livenessProbe asks", put(f"{CONTAINER}.livenessProbe.httpGet.path", "/healthz")),
    Mistake(SHARED, "Deployment", "coatcheck", "readinessProbe asks", put(f"{CONTAINER}.readinessProbe.httpGet.port", "http")),
    Mistake(SHARED, "Deployment", "coatcheck", "no ConfigMap of these manifests", put(f"{CONTAINER}.args.2", "/etc/coatcheck/conf.yaml")),
    Mistake(SHARED, "Deployment", "coatcheck", "subPath", put(f"{CONTAINER}.volumeMounts.0.subPath", "coatcheck.yaml")),
    Mistake(
        SHARED,
        "Deployment",
        "coatcheck",
        "no Secret coatcheck-secret;",
        put(f"{POD}.volumes.1.projected.sources.0.secret.name", "coatcheck-secret"),
    ),
    Mistake(SHARED, "Deployment", "coatcheck", "defaultMode 0440", put(f"{POD}.volumes.1.projected.defaultMode", 0o444)),
    Mistake(SHARED, "Deployment", "coatcheck", "is not of this version", put(f"{CONTAINER}.image", "coatcheck:0.0.9")),
    Mistake(SHARED, "StatefulSet", "redis", "is not pinned", put(f"{CONTAINER}.image", "valkey/valkey:latest")),
    Mistake(SHARED, "Deployment", "coatcheck", "readOnlyRootFilesystem", put(f"{CONTAINER}.securityContext.readOnlyRootFilesystem", False)),
    Mistake(SHARED, "Deployment", "coatcheck", "runAsNonRoot", removed(f"{POD}.securityContext.runAsNonRoot")),
    Mistake(SHARED, "Deployment", "coatcheck", "automountServiceAccountToken", removed(f"{POD}.automountServiceAccountToken")),
    Mistake(SHARED, "Deployment", "coatcheck", "drop ALL", removed(f"{CONTAINER}.securityContext.capabilities")),
    # Between the pods.
    Mistake(SHARED, "Service", "coatcheck", "targetPort grcp is no containerPort", put("spec.ports.0.targetPort", "grcp")),
    Mistake(SHARED, "Service", "coatcheck", "no pod has the labels", put("spec.selector", {"app": "coatcheck"})),
    Mistake(SHARED, "Service", "coatcheck", "appProtocol grpc", removed("spec.ports.0.appProtocol")),
    Mistake(SHARED, "NetworkPolicy", "coatcheck", "ingress port 9009 is no containerPort", put("spec.ingress.0.ports.0.port", 9009)),
    Mistake(SHARED, "NetworkPolicy", "coatcheck", "lets nobody reach listen.grpc", removed("spec.ingress.0")),
    Mistake(SHARED, "NetworkPolicy", "redis", "no pod has the labels", put("spec.ingress.0.from.0.podSelector.matchLabels", {"app": "x"})),
    Mistake(SHARED, "HorizontalPodAutoscaler", "coatcheck", "no Deployment coat", put("spec.scaleTargetRef.name", "coat")),
    Mistake(SHARED, "Deployment", "coatcheck", "sets `replicas` too", put("spec.replicas", 2)),
    Mistake(SHARED, "PodDisruptionBudget", "coatcheck", "no pod has the labels", put("spec.selector.matchLabels", {"app": "x"})),
    Mistake(MONITOR, "ServiceMonitor", "coatcheck", "on a port named metrics", put("spec.endpoints.0.port", "metrics")),
    Mistake(
        MONITOR,
        "Service",
        "coatcheck-headless",
        "selects 2 things",
        put("metadata.labels", {"app.kubernetes.io/name": "coatcheck", "app.kubernetes.io/component": "service"}),
    ),
    # Gateways.
    Mistake(ISTIO, "HTTPRoute", "coatcheck-login", "is no login prefix", put("spec.rules.0.matches.0.path.value", "/oauth")),
    Mistake(
        ISTIO,
        "HTTPRoute",
        "coatcheck-login",
        "port 9001 of Service coatcheck is not listen.http",
        put("spec.rules.0.backendRefs.0.port", 9001),
    ),
    Mistake(ISTIO, "HTTPRoute", "coatcheck-login", "no Gateway gateways/pubic", put("spec.parentRefs.0.name", "pubic")),
    Mistake(ISTIO, "Namespace", "shop", "and shop is none", removed("metadata.labels.public-routes")),
    Mistake(ISTIO, "Gateway", "public", "takes routes of namespaces with None", put("spec.listeners.0.allowedRoutes.namespaces", {"from": "All"})),
    Mistake(ISTIO, "HTTPRoute", "shop", "no Service shopp", put("spec.rules.0.backendRefs.0.name", "shopp")),
    Mistake(ISTIO, "AuthorizationPolicy", "coatcheck", "no extension provider coat ", put("spec.provider.name", "coat")),
    Mistake(
        ISTIO,
        "AuthorizationPolicy",
        "coatcheck",
        "but the login paths that have a route",
        put("spec.rules.0.to.0.operation.notPaths", ["/*"]),
    ),
    Mistake(ISTIO, "AuthorizationPolicy", "coatcheck", "notHosts are []", removed("spec.rules.0.to.1")),
    Mistake(
        ISTIO, "AuthorizationPolicy", "coatcheck", "would pass unasked", put("spec.rules.0.to.1.operation", {"hosts": ["shop.example.com"]})
    ),
    Mistake(ISTIO, "AuthorizationPolicy", "coatcheck", "no Gateway gateways/private", put("spec.targetRefs.0.name", "private")),
    Mistake(
        ISTIO,
        "AuthorizationPolicy",
        "shop-needs-a-token",
        "public by the rules",
        put("spec.rules.0.to.0.operation.notPaths", ["/assets/*", "/admin/*"]),
    ),
    Mistake(ISTIO, "RequestAuthentication", "shop", "is no provider", put("spec.jwtRules.0.issuer", "https://id.example.org")),
    Mistake(ISTIO, "PeerAuthentication", "coatcheck", "no containerPort 9004", put("spec.portLevelMtls", {"9004": {"mode": "STRICT"}})),
    Mistake(ISTIO, "DestinationRule", "coatcheck", "no Service coat.coatcheck", put("spec.host", "coat.coatcheck.svc.cluster.local")),
    Mistake(
        ISTIO,
        "ConfigMap",
        CONFIG,
        "app shop: no route leads",
        edited("provider: main\n    upstream", "provider: main\n    login: { prefix: /id }\n    upstream"),
    ),
    Mistake(IN_BAND, "ConfigMap", CONFIG, "but the login paths that have a route", edited("mode: in_band", "mode: routed")),
    Mistake(IN_BAND, "AuthorizationPolicy", "coatcheck", "a callback that the check answers", put("spec.provider.name", "coatcheck")),
    Mistake(
        ISTIO, "DestinationRule", "coatcheck", "there a 503 is an answer", put("spec.trafficPolicy.portLevelSettings.0.port.number", 9002)
    ),
    Mistake(EG, "SecurityPolicy", "coatcheck", "no app `shoop`", put("spec.extAuth.contextExtensions.0.value", "shoop")),
    Mistake(
        EG,
        "SecurityPolicy",
        "coatcheck",
        "port 9002 of Service coatcheck is not listen.grpc",
        put("spec.extAuth.grpc.backendRefs.0.port", 9002),
    ),
    Mistake(EG, "SecurityPolicy", "coatcheck", "no HTTPRoute shop/store", put("spec.targetRefs.0.name", "store")),
    Mistake(EG, "SecurityPolicy", "coatcheck", "below the timeout", put("spec.extAuth.timeout", "8s")),
    Mistake(EG, "SecurityPolicy", "coatcheck", "failOpen", put("spec.extAuth.failOpen", True)),
    Mistake(EG, "ReferenceGrant", "coatcheck", "no ReferenceGrant in coatcheck", put("spec.from.0.namespace", "default")),
    Mistake(KG, "GatewayExtension", "coatcheck", "no Service coatcheck/coat ", put("spec.extAuth.grpcService.backendRef.name", "coat")),
    Mistake(KG, "TrafficPolicy", "coatcheck", "no GatewayExtension", put("spec.extAuth.extensionRef.namespace", "shop")),
    Mistake(KG, "TrafficPolicy", "coatcheck", "no app `store`", put("spec.extAuth.contextExtensions.app", "store")),
    Mistake(CONTOUR, "ExtensionService", "coatcheck", "no Service coatcheck/coatcheck with port 9000", put("spec.services.0.port", 9000)),
    Mistake(CONTOUR, "HTTPProxy", "shop", "but the login paths are below", put("spec.includes.0.conditions.0.prefix", "/")),
    Mistake(CONTOUR, "HTTPProxy", "shop", "no HTTPProxy coatcheck", put("spec.includes.0.name", "coatcheck")),
    Mistake(CONTOUR, "HTTPProxy", "shop", "no app `store`", put("spec.virtualhost.authorization.authPolicy.context.app", "store")),
    # The sidecar.
    Mistake(SIDECAR, "ConfigMap", CONFIG, "cluster coatcheck_grpc goes to", edited("authz.sock", "auth.sock")),
    Mistake(SIDECAR, "ConfigMap", CONFIG, "is not in an emptyDir", edited("unix:/run/coatcheck/http.sock", "unix:/var/run/http.sock")),
    Mistake(SIDECAR, "ConfigMap", CONFIG, "no app shop", edited("name: shop", "name: store")),
    Mistake(
        SIDECAR, "Deployment", "shop", "no other container mounts", put(f"{POD}.initContainers.1.volumeMounts.1.mountPath", "/run/envoy")
    ),
    Mistake(SIDECAR, "Service", "shop", "targetPort 8081 is no containerPort", put("spec.ports.0.targetPort", 8081)),
    Mistake(SIDECAR, "Service", "shop", "targetPort http is a name of a sidecar's port", put("spec.ports.0.targetPort", "http")),
    Mistake(SIDECAR, "NetworkPolicy", "shop", "ingress port 8081 is no containerPort", put("spec.ingress.0.ports.0.port", 8081)),
    Mistake(SIDECAR, "NetworkPolicy", "shop", "ingress port admin is a name of a sidecar's port", put("spec.ingress.1.ports.0.port", "admin")),
    # The store.
    Mistake(SHARED, "StatefulSet", "redis", "redis.conf listens on 6379", put(f"{CONTAINER}.ports.0.containerPort", 6380)),
    Mistake(SHARED, "StatefulSet", "redis", "is in no volume", put(f"{CONTAINER}.volumeMounts.2.mountPath", "/etc/acl")),
]

# Seen only by the schemas of the custom resources.
STRICT = [
    Mistake(ISTIO, "RequestAuthentication", "shop", "'issuers' was unexpected", put("spec.jwtRules.0.issuers", [])),
    Mistake(ISTIO, "HTTPRoute", "shop", "'hostname' was unexpected", put("spec.hostname", "shop.example.com")),
    Mistake(EG, "SecurityPolicy", "coatcheck", "'failureMode' was unexpected", put("spec.extAuth.failureMode", "closed")),
    Mistake(EG, "SecurityPolicy", "coatcheck", "is not one of", put("spec.extAuth.statusOnError", 555)),
    Mistake(CONTOUR, "HTTPProxy", "shop", "'hostname' was unexpected", put("spec.virtualhost.hostname", "shop.example.com")),
]

SHOP_APP = '{"name": "shop", "origin": "https://shop.example.com", "provider": "main"}'
OTHER_APP = '{"name": "b", "origin": "https://b.example.com", "provider": "main", "login": {"prefix": "/id"}}'
IN_BAND_APP = '{"name": "c", "origin": "https://c.example.com", "provider": "main", "login": {"mode": "in_band"}}'
PLAIN_SECRET = '{"name": "main", "issuer": "https://id.example.com", "client_id": "shop", "client_secret": "word"}'
# What `helm template` refuses, each on top of ci/istio.yaml. The values are JSON.
REFUSED = [
    ('redis.uri="x"', "additional properties 'uri' not allowed"),
    ("config.apps=null", "/config/apps"),
    ('config.listen={"grpc": "0.0.0.0:1"}', "/config/listen"),
    ('networkPolicy.redis.port="redis"', "/networkPolicy/redis/port"),
    ('image.digest="latest"', "/image/digest"),
    ("secrets.serverKeys=null", "/secrets"),
    (
        'integrations.kgateway={"enabled": true, "routes": [{"app": "store", "name": "a", "namespace": "b"}]}',
        'no app "store" in config.apps',
    ),
    ('integrations.kgateway={"enabled": true}', "integrations.kgateway.routes is empty"),
    ('integrations.envoyGateway={"enabled": true, "routes": []}', "integrations.envoyGateway.routes is empty"),
    (f'integrations.contour={{"enabled": true}},config.apps=[{IN_BAND_APP}]', "use `coatcheck render envoy-gateway`"),
    (f"config.providers=[{PLAIN_SECRET}]", "client_secret would be readable in the ConfigMap"),
    ('redis.url="rediss://user:word@redis:6379"', "/redis/url"),
    ("autoscaling.maxReplicas=1", "maxReplicas 1 is below minReplicas 2"),
    ('podMonitor={"enabled": true, "interval": "15s"}', "scrape every replica twice"),
    (f"config.apps=[{SHOP_APP}, {OTHER_APP}]", "the same login.prefix"),
]


def _refused():
    for setting, expected in REFUSED:
        command = [
            rendered.TOOLS / "helm",
            "template",
            "coatcheck",
            rendered.CHART,
            "-f",
            rendered.CHART / "ci/istio.yaml",
            "--set-json",
            setting,
        ]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode == 0 or expected not in done.stderr:
            yield f"--set-json {setting}: helm did not refuse it with `{expected}`, it said: {done.stderr.strip()}"
