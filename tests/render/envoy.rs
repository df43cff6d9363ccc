//! `render envoy`: facts.

use serde_json::{Value, json};

use crate::peers;
use crate::site::{SHOP, Site, TWO, at, named};

const MANAGER: &str = "filter_chains/0/filters/0/typed_config";

fn shipped() -> Value {
    let text = std::fs::read_to_string(peers::root().join("envoy/envoy.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn listener<'a>(config: &'a Value, name: &str) -> &'a Value {
    named(at(config, "static_resources/listeners"), name)
}

fn hosts<'a>(config: &'a Value, name: &str) -> &'a Value {
    at(listener(config, name), &format!("{MANAGER}/route_config/virtual_hosts"))
}

fn cluster<'a>(config: &'a Value, name: &str) -> &'a Value {
    named(at(config, "static_resources/clusters"), name)
}

fn endpoint<'a>(config: &'a Value, name: &str) -> &'a Value {
    at(cluster(config, name), "load_assignment/endpoints/0/lb_endpoints/0/endpoint")
}

fn ext_authz(config: &Value) -> Value {
    at(listener(config, "public"), &format!("{MANAGER}/http_filters/0/typed_config")).clone()
}

fn per_route(route: &Value) -> &Value {
    at(route, "typed_per_filter_config/envoy.filters.http.ext_authz")
}

/// What a deployment needs beside its own names is written once, in `envoy/envoy.yaml`; the templates must follow it.
#[test]
fn the_settings_are_those_of_the_shipped_file() {
    let yaml = "listen: { grpc: 127.0.0.1:9001, http: 127.0.0.1:9002, admin: 127.0.0.1:9003 }\n\
        telemetry: { otlp_endpoint: \"http://127.0.0.1:4317\" }\n";
    let local = SHOP.replace("https://shop.example.com", "http://localhost:8080");
    let (shipped, rendered) = (shipped(), Site::new(&format!("{yaml}{local}")).one(&["envoy"]));

    let without_routes = |config: &Value| {
        let mut listener = listener(config, "public").clone();
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["route_config"] = Value::Null;
        // Derived from the provider's timeout; a test below says how.
        let service = &mut manager["http_filters"][0]["typed_config"]["grpc_service"];
        service["timeout"] = Value::Null;
        service["retry_policy"]["retry_back_off"]["max_interval"] = Value::Null;
        listener
    };
    assert_eq!(without_routes(&rendered), without_routes(&shipped));
    for name in ["coatcheck_grpc", "coatcheck_http", "otlp"] {
        assert_eq!(cluster(&rendered, name), cluster(&shipped, name), "{name}");
    }
    assert_eq!(at(&rendered, "overload_manager"), at(&shipped, "overload_manager"));
    assert_eq!(at(&rendered, "admin"), at(&shipped, "admin"));

    let routes = |config: &Value| at(hosts(config, "public"), "0/routes").clone();
    let (ours, theirs) = (routes(&rendered), routes(&shipped));
    for index in [0, 1] {
        assert_eq!(ours[index], theirs[index], "a login route");
    }
}

#[test]
fn the_edge_with_tls_is_that_of_the_shipped_file_too() {
    let text = std::fs::read_to_string(peers::root().join("envoy/edge-tls.yaml")).unwrap();
    let shipped: Value = serde_saphyr::from_str(&text).unwrap();
    let rendered = Site::new(SHOP).one(&["envoy"]);
    let tls = |config: &Value| at(listener(config, "public"), "filter_chains/0/transport_socket").clone();
    assert_eq!(tls(&rendered), tls(&shipped), "the placeholder is the shipped path");
    let hsts = |config: &Value| at(hosts(config, "public"), "0/response_headers_to_add").clone();
    assert_eq!(hsts(&rendered), hsts(&shipped));
    let redirect = at(listener(&rendered, "redirect"), &format!("{MANAGER}/route_config/virtual_hosts/0")).clone();
    assert_eq!(redirect["domains"], json!(["shop.example.com", "shop.example.com:80"]));
}

#[test]
fn each_app_has_its_hosts_and_its_name_and_other_hosts_get_421() {
    let config = Site::new(TWO).one(&["envoy"]);
    let hosts = hosts(&config, "public");
    let domains = |name: &str| named(hosts, name)["domains"].clone();
    assert_eq!(
        domains("shop"),
        json!(["shop.example.com:443", "shop.example.com", "www.shop.example.com:443", "www.shop.example.com"])
    );
    assert_eq!(domains("Back_Office"), json!(["office.example.com:443", "office.example.com"]));
    for app in ["shop", "Back_Office"] {
        let asked = per_route(named(hosts, app));
        assert_eq!(at(asked, "check_settings/context_extensions"), &json!({ "app": app }));
        let last = named(hosts, app)["routes"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["match"], &last["route"]["cluster"]),
            (&json!({ "prefix": "/" }), &json!(format!("app_{app}")))
        );
        assert!(last.get("typed_per_filter_config").is_none(), "nothing switches the check off");
    }
    let unknown = &hosts.as_array().unwrap().last().unwrap();
    assert_eq!(unknown["domains"], json!(["*"]));
    assert_eq!(at(unknown, "routes/0/direct_response/status"), 421);
}

#[test]
fn routed_logins_have_a_route_and_logins_in_band_a_check_that_waits() {
    let config = Site::new(TWO).one(&["envoy"]);
    let routes = |app: &str| named(hosts(&config, "public"), app)["routes"].clone();

    let shop = routes("shop");
    assert_eq!(shop[0]["match"], json!({ "path": "/auth/callback" }));
    assert_eq!(shop[1]["match"], json!({ "path_separated_prefix": "/auth" }));
    for route in [&shop[0], &shop[1]] {
        assert_eq!(per_route(route)["disabled"], true);
        assert_eq!(route["route"]["cluster"], "coatcheck_http");
        assert_eq!(route["route"]["timeout"], "60s", "three calls of 20 s");
    }

    let office = routes("Back_Office");
    assert_eq!(office[0]["match"], json!({ "path": "/id/callback" }));
    assert_eq!(office[1]["match"], json!({ "path_separated_prefix": "/id" }));
    for route in [&office[0], &office[1]] {
        assert_eq!(route["direct_response"]["status"], 404, "nothing but the check answers");
        let settings = at(per_route(route), "check_settings");
        assert_eq!(at(settings, "grpc_service/timeout"), "30s", "four calls of 1.5 s, but never below 30 s");
        assert_eq!(at(settings, "grpc_service/retry_policy/retry_on"), "connect-failure,refused-stream");
        assert!(settings.get("with_request_body").is_some());
    }
    for callback in [&shop[0], &office[0]] {
        assert_eq!(at(callback, "tracing/overall_sampling/numerator"), 0, "its query is the code");
    }
}

#[test]
fn a_check_waits_longer_than_a_call_to_the_provider_and_each_try_as_long() {
    let waits = |yaml: &str| {
        let filter = ext_authz(&Site::new(yaml).one(&["envoy"]));
        let timeout = at(&filter, "grpc_service/timeout").clone();
        assert_eq!(at(&filter, "grpc_service/retry_policy/retry_back_off/max_interval"), &timeout);
        timeout
    };
    assert_eq!(waits(SHOP), "14s", "10 s, and the embedded store twice");
    assert_eq!(waits(TWO), "21s", "20 s, and Redis twice: 2 × (250 ms + 250 ms)");
    assert_eq!(waits(&SHOP.replace("client_secret_file: client", "client_secret_file: client, timeout: 60s")), "60s");
}

#[test]
fn clusters_lead_where_coatcheck_listens() {
    let socket = |host: &str, port: u16| json!({ "socket_address": { "address": host, "port_value": port } });

    let config = Site::new(TWO).one(&["envoy", "--upstream", "shop=[::1]:3000", "--upstream", "Back_Office=web:80"]);
    assert_eq!(endpoint(&config, "coatcheck_grpc")["address"], socket("127.0.0.1", 9101), "0.0.0.0 is no destination");
    assert_eq!(endpoint(&config, "coatcheck_http")["address"], socket("127.0.0.1", 9102));
    assert_eq!(endpoint(&config, "coatcheck_http")["health_check_config"]["address"], socket("127.0.0.1", 9103));
    assert_eq!(endpoint(&config, "app_shop")["address"], socket("::1", 3000));
    assert_eq!(endpoint(&config, "app_Back_Office")["address"], socket("web", 80));
    assert_eq!(
        (&cluster(&config, "app_shop")["type"], &cluster(&config, "app_Back_Office")["type"]),
        (&json!("STATIC"), &json!("STRICT_DNS"))
    );
    assert_eq!(endpoint(&config, "otlp")["address"], socket("collector", 4317));

    let config = Site::new(TWO).one(&["envoy", "--address", "coatcheck.coatcheck.svc"]);
    assert_eq!(endpoint(&config, "coatcheck_grpc")["address"], socket("coatcheck.coatcheck.svc", 9101));
    assert_eq!(cluster(&config, "coatcheck_grpc")["type"], "STRICT_DNS");
    assert_eq!(endpoint(&config, "coatcheck_http")["health_check_config"], json!({ "port_value": 9103 }));

    let unix = "listen: { grpc: \"unix:/run/coatcheck/authz.sock\", http: \"unix:/run/coatcheck/http.sock\" }\n";
    let config = Site::new(&format!("{unix}{SHOP}")).one(&["envoy"]);
    assert_eq!(
        endpoint(&config, "coatcheck_grpc")["address"],
        json!({ "pipe": { "path": "/run/coatcheck/authz.sock" } })
    );
    assert_eq!(endpoint(&config, "coatcheck_http")["health_check_config"]["address"], socket("127.0.0.1", 9003));

    let hidden = "listen: { grpc: 0.0.0.0:1, http: 0.0.0.0:2, admin: 127.0.0.1:3 }\n";
    let config = Site::new(&format!("{hidden}{SHOP}")).one(&["envoy", "--address", "10.0.0.1"]);
    assert!(cluster(&config, "coatcheck_http").get("health_checks").is_none(), "a loopback of another machine");
}

#[test]
fn there_is_a_listener_for_each_scheme_and_port_of_the_origins() {
    let origins =
        "[https://shop.example.com, https://shop.example.com:8443, \"http://localhost:8080\", \"http://[::1]:8080\"]";
    let config = Site::new(&SHOP.replace("https://shop.example.com", origins)).one(&["envoy"]);
    let names: Vec<&str> = at(&config, "static_resources/listeners")
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["name"].as_str())
        .collect();
    assert_eq!(names, ["public", "public_8443", "public_8080", "redirect"]);
    let address = |name: &str| at(listener(&config, name), "address/socket_address").clone();
    assert_eq!(address("public"), json!({ "address": "0.0.0.0", "port_value": 443 }));
    assert_eq!(address("public_8443")["port_value"], 8443);
    assert_eq!(
        address("public_8080"),
        json!({ "address": "127.0.0.1", "port_value": 8080 }),
        "http:// is for this machine"
    );
    let more = at(listener(&config, "public_8080"), "additional_addresses/0/address/socket_address");
    assert_eq!(more, &json!({ "address": "::1", "port_value": 8080 }));
    assert_eq!(hosts(&config, "public_8080")[0]["domains"], json!(["localhost:8080", "[::1]:8080"]));
    assert!(at(listener(&config, "public_8080"), "filter_chains/0").get("transport_socket").is_none());
}

#[test]
fn there_is_tracing_only_with_a_collector() {
    let config = Site::new(SHOP).one(&["envoy"]);
    assert!(at(listener(&config, "public"), MANAGER).get("tracing").is_none());
    assert!(at(&config, "static_resources/clusters").as_array().unwrap().iter().all(|one| one["name"] != "otlp"));
}

#[test]
fn comments_say_what_the_configuration_cannot_and_what_is_wrong() {
    let text = Site::new(TWO).text(&["envoy"]);
    assert!(text.contains("# The app's policies are api."), "{text}");
    assert!(text.contains("PLACEHOLDER: `--upstream shop=host:port`") && text.contains("PLACEHOLDER: `--tls-cert`"));
    assert!(!text.contains("WARNING"));
    let files =
        ["envoy", "--tls-cert", "/c", "--tls-key", "/k", "--upstream", "shop=h:1", "--upstream", "Back_Office=h:1"];
    assert!(!Site::new(TWO).text(&files).contains("PLACEHOLDER"));
    let text = Site::new(&format!("shutdown: {{ drain_delay: 1s }}\n{SHOP}")).text(&["envoy"]);
    assert!(text.contains("# WARNING: shutdown.drain_delay is 1000 ms"), "{text}");
}
