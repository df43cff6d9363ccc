//! `render istio` and `render envoy-gateway`: facts. The schemas of their kinds are held by tests/k8s.

use serde_json::{Value, json};

use crate::site::{SHOP, Site, TWO, at, named};

fn all<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents.iter().filter(|one| one["kind"] == kind).collect()
}

fn one<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = documents.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn istio_asks_about_each_host_and_leaves_only_routed_logins_out() {
    let documents = Site::new(TWO).all(&["istio"]);
    let provider = at(&documents[0], "meshConfig/extensionProviders/0");
    let grpc = &provider["envoyExtAuthzGrpc"];
    assert_eq!(grpc["service"], "coatcheck.coatcheck.svc.cluster.local");
    assert_eq!((&grpc["port"], &grpc["timeout"]), (&json!(9101), &json!("30s")));
    assert_eq!((&grpc["failOpen"], &grpc["statusOnError"]), (&json!(false), &json!("503")));
    assert!(grpc.get("includeRequestBodyInCheck").is_none(), "uploads and streams would wait for their end");

    let policy = one(&documents, "AuthorizationPolicy", "coatcheck");
    assert_eq!((&policy["spec"]["action"], &policy["spec"]["provider"]["name"]), (&json!("CUSTOM"), &provider["name"]));
    assert_eq!(
        at(policy, "spec/rules/0/to/0/operation"),
        &json!({
            "hosts": ["shop.example.com", "shop.example.com:*", "www.shop.example.com", "www.shop.example.com:*"],
            "notPaths": ["/auth", "/auth/*"],
        })
    );
    assert_eq!(
        at(policy, "spec/rules/1/to/0/operation"),
        &json!({ "hosts": ["office.example.com", "office.example.com:*"] })
    );
    let rules = at(policy, "spec/rules").as_array().unwrap();
    assert_eq!(
        (rules.len(), &rules[2]),
        (
            3,
            &json!({ "to": [{ "operation": { "notHosts": [
            "shop.example.com", "shop.example.com:*", "www.shop.example.com", "www.shop.example.com:*",
            "office.example.com", "office.example.com:*",
        ] } }] })
        ),
        "a host of no app is asked about too"
    );

    let services = all(&documents, "VirtualService");
    assert_eq!(services.len(), 1, "in band, the application's route stays as it is");
    let login = named(at(services[0], "spec/http"), "coatcheck");
    assert_eq!(login["match"], json!([{ "uri": { "exact": "/auth" } }, { "uri": { "prefix": "/auth/" } }]));
    assert_eq!(at(login, "route/0/destination/port/number"), 9102);
    assert_eq!(login["timeout"], "60s");

    let mtls = one(&documents, "PeerAuthentication", "coatcheck");
    assert_eq!(at(mtls, "spec/mtls/mode"), "STRICT", "answers carry tokens");
    assert_eq!(at(mtls, "spec/portLevelMtls"), &json!({ "9103": { "mode": "PERMISSIVE" } }));
    let destination = one(&documents, "DestinationRule", "coatcheck");
    assert_eq!(at(destination, "spec/trafficPolicy/portLevelSettings/1/port/number"), 9102);
    assert_eq!(at(destination, "spec/trafficPolicy/portLevelSettings/1/connectionPool/http/idleTimeout"), "15s");
}

#[test]
fn istio_checks_tokens_only_where_the_upstream_gets_some() {
    let rules = |yaml: &str| {
        let documents = Site::new(yaml).all(&["istio"]);
        let found = documents.iter().find(|one| one["kind"] == "RequestAuthentication").cloned();
        found.map(|one| one["spec"]["jwtRules"].clone())
    };
    assert_eq!(
        rules(TWO).unwrap(),
        json!([
            { "issuer": "https://id.example.com", "forwardOriginalToken": true },
            { "issuer": "https://staff.example.com", "audiences": ["office"], "forwardOriginalToken": true },
        ])
    );
    assert_eq!(rules(&SHOP.replace("provider: main }", "provider: main, upstream: { authorization: none } }")), None);
}

#[test]
fn istio_waits_no_longer_than_routed_logins_need_and_names_what_it_is_told() {
    let listen = "listen: { grpc: 0.0.0.0:9001, http: 0.0.0.0:9002, admin: 0.0.0.0:9003 }\n";
    let site = Site::new(&format!("{listen}{SHOP}"));
    let documents = site.all(&[
        "istio",
        "--namespace",
        "auth",
        "--service",
        "bff",
        "--gateway",
        "edge/front",
        "--selector",
        "app=gw",
        "--upstream",
        "shop=web.shop.svc:8080",
    ]);
    let grpc = at(&documents[0], "meshConfig/extensionProviders/0/envoyExtAuthzGrpc");
    assert_eq!((&grpc["service"], &grpc["timeout"]), (&json!("bff.auth.svc.cluster.local"), &json!("14s")));
    let policy = one(&documents, "AuthorizationPolicy", "bff");
    assert_eq!(
        (&policy["metadata"]["namespace"], at(policy, "spec/selector/matchLabels")),
        (&json!("edge"), &json!({ "app": "gw" }))
    );
    let service = one(&documents, "VirtualService", "bff-shop");
    assert_eq!(at(service, "spec/gateways"), &json!(["edge/front"]));
    let destination = at(named(at(service, "spec/http"), "app"), "route/0/destination");
    assert_eq!(destination, &json!({ "host": "web.shop.svc", "port": { "number": 8080 } }));
    assert!(!site.text(&["istio"]).contains("WARNING"));
}

#[test]
fn envoy_gateway_asks_about_each_app_by_name() {
    let documents = Site::new(TWO).all(&["envoy-gateway", "--upstream", "shop=web.prod:8080"]);
    let policy = one(&documents, "SecurityPolicy", "shop");
    let auth = at(policy, "spec/extAuth");
    assert_eq!(auth["contextExtensions"], json!([{ "name": "app", "type": "Value", "value": "shop" }]));
    assert_eq!(
        (&auth["failOpen"], &auth["statusOnError"], &auth["timeout"]),
        (&json!(false), &json!(503), &json!("21s"))
    );
    assert_eq!(auth["grpc"]["backendRefs"], json!([{ "name": "coatcheck", "namespace": "coatcheck", "port": 9101 }]));
    assert!(auth.get("bodyToExtAuth").is_none() && auth.get("headersToExtAuth").is_none());
    assert_eq!(at(policy, "spec/targetRefs/0/name"), "shop");
    assert_eq!(policy["metadata"]["namespace"], "prod");
    assert_eq!(
        at(one(&documents, "HTTPRoute", "shop"), "spec/rules/0/backendRefs/0"),
        &json!({ "name": "web", "port": 8080 })
    );

    let login = one(&documents, "HTTPRoute", "coatcheck-shop-login");
    assert_eq!(at(login, "spec/rules/0/matches/0/path"), &json!({ "type": "PathPrefix", "value": "/auth" }));
    assert_eq!(at(login, "spec/rules/0/backendRefs/0"), &json!({ "name": "coatcheck", "port": 9102 }));
    assert_eq!(at(login, "spec/rules/0/timeouts/request"), "60s");
    let targets: Vec<&Value> =
        all(&documents, "SecurityPolicy").iter().map(|one| at(one, "spec/targetRefs/0/name")).collect();
    assert!(!targets.contains(&&login["metadata"]["name"]), "nobody is asked about the login routes");
    let traffic = one(&documents, "BackendTrafficPolicy", "coatcheck-shop-login");
    assert_eq!(at(traffic, "spec/timeout/http/connectionIdleTimeout"), "15s", "coatcheck closes after 30 s");
    let health = at(traffic, "spec/healthCheck/active");
    assert_eq!((&health["overrides"]["port"], &health["http"]["path"]), (&json!(9103), &json!("/readyz")));

    let from = at(one(&documents, "ReferenceGrant", "coatcheck"), "spec/from");
    let from: Vec<&Value> = from.as_array().unwrap().iter().map(|one| &one["namespace"]).collect();
    assert_eq!(from, ["back-office", "prod"]);
}

#[test]
fn envoy_gateway_gives_logins_in_band_a_check_of_their_own() {
    let documents = Site::new(TWO).all(&["envoy-gateway"]);
    let auth = at(one(&documents, "SecurityPolicy", "back-office-login"), "spec/extAuth");
    assert_eq!((&auth["timeout"], &auth["bodyToExtAuth"]), (&json!("30s"), &json!({ "maxRequestBytes": 65536 })));
    assert_eq!(at(auth, "grpc/backendSettings/retry/retryOn/triggers"), &json!(["connect-failure", "refused-stream"]));
    assert_eq!(at(auth, "contextExtensions/0/value"), "Back_Office");
    let route = one(&documents, "HTTPRoute", "back-office-login");
    assert_eq!(at(route, "spec/rules/0/matches/0/path/value"), "/id");
    assert!(at(one(&documents, "SecurityPolicy", "back-office"), "spec/extAuth").get("bodyToExtAuth").is_none());
}

#[test]
fn names_that_kubernetes_does_not_take_are_changed_and_stay_apart() {
    let apps = "apps:
  - { name: Shop, origin: https://a.example.com, provider: main }
  - { name: shop, origin: https://b.example.com, provider: main }
  - { name: _, origin: https://c.example.com, provider: main }
";
    let providers = SHOP.lines().nth(1).unwrap();
    let documents = Site::new(&format!("{providers}\n{apps}")).all(&["envoy-gateway"]);
    let names: Vec<(&Value, &Value)> = all(&documents, "SecurityPolicy")
        .iter()
        .map(|one| (&one["metadata"]["name"], at(one, "spec/extAuth/contextExtensions/0/value")))
        .collect();
    assert_eq!(json!(names), json!([["shop", "Shop"], ["shop-2", "shop"], ["app", "_"]]));
}

#[test]
fn what_a_service_cannot_reach_is_said() {
    let site = Site::new(SHOP);
    for target in ["istio", "envoy-gateway"] {
        let text = site.text(&[target]);
        assert!(text.contains("# WARNING: listen.grpc, listen.http, listen.admin is a loopback address"), "{text}");
    }
}
