//! Whatever a configuration may hold, it stays a value: it neither breaks the YAML nor adds to it.

use std::path::Path;

use coatcheck::config::{self, Config};
use coatcheck::render::envoy::{self, Certificate};
use coatcheck::render::place::{Host, KubeName};
use coatcheck::render::{Service, Source, envoy_gateway, istio};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::site::{Site, at, documents, named};

/// An app whose texts are as strange as the configuration allows.
#[derive(Debug, Clone)]
struct Strange {
    name: String,
    prefix: String,
    policy: String,
    socket: String,
    certificate: String,
    file: String,
}

fn strange() -> impl Strategy<Value = Strange> {
    let name = || prop_oneof!["[A-Za-z0-9._-]{1,64}", r"null|true|no|on|1e3|0x1f|-|---|\.|\.inf|1_000|2026-11-21"];
    let segment = || "[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,20}";
    (name(), segment(), name(), "[^\0]{1,40}", any::<String>(), any::<String>()).prop_map(
        |(name, prefix, policy, socket, certificate, file)| Strange {
            name,
            prefix: format!("/{prefix}"),
            policy,
            socket: format!("/{socket}"),
            certificate,
            file,
        },
    )
}

impl Strange {
    fn config(&self, site: &Site, listen: &Value) -> Option<Config> {
        let yaml = json!({
            "listen": listen,
            "providers": [{ "name": "main", "issuer": "https://id.example.com/a'b", "client_id": "a\"b: {c}\n# d", "client_secret_file": "client" }],
            "apps": [{
                "name": self.name, "origin": "https://shop.example.com", "provider": "main",
                "login": { "prefix": self.prefix }, "policies": { &self.policy: { "rules": [] } },
                "upstream": { "authorization": "id_token" },
            }],
        });
        let path = site.file("strange.yaml");
        std::fs::write(&path, yaml.to_string()).unwrap();
        load(&path)
    }
}

fn load(path: &Path) -> Option<Config> {
    let nothing = std::collections::HashMap::<String, String>::new();
    config::load(path, &nothing).ok().map(|(config, _)| config)
}

fn service() -> Service {
    let name: KubeName = "coatcheck".parse().unwrap();
    Service { name: name.clone(), namespace: name }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_strange_configuration_gives_the_same_structure_with_its_values_in_it(app in strange()) {
        let site = Site::new("");
        let config = app.config(&site, &json!({ "grpc": format!("unix:{}", app.socket) }));
        // Few of these are mistakes, such as a socket path that is too long.
        prop_assume!(config.is_some());
        let config = config.unwrap();
        let certificate = Some(Certificate { chain: app.certificate.clone(), key: app.certificate.clone() });
        let source = Source { config: &config, file: &app.file, upstreams: &[] };
        let options = envoy::Options { address: "127.0.0.1".parse::<Host>().unwrap(), certificate };
        let text = envoy::render(&source, &options).unwrap();
        let found: Value = serde_saphyr::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;

        let keys: Vec<&String> = found.as_object().unwrap().keys().collect();
        prop_assert_eq!(keys, ["admin", "overload_manager", "static_resources"]);
        let listener = named(at(&found, "static_resources/listeners"), "public");
        let tls = at(listener, "filter_chains/0/transport_socket/typed_config/common_tls_context/tls_certificates/0");
        prop_assert_eq!(at(tls, "certificate_chain/filename"), &json!(app.certificate));
        let hosts = at(listener, "filter_chains/0/filters/0/typed_config/route_config/virtual_hosts");
        prop_assert_eq!(hosts.as_array().unwrap().len(), 2);
        prop_assert_eq!(&hosts[0]["name"], &json!(app.name));
        prop_assert_eq!(hosts[0]["routes"].as_array().unwrap().len(), 3);
        prop_assert_eq!(at(&hosts[0], "routes/0/match/path"), &json!(format!("{}/callback", app.prefix)));
        let extensions = at(&hosts[0], "typed_per_filter_config/envoy.filters.http.ext_authz/check_settings/context_extensions");
        prop_assert_eq!(extensions, &json!({ "app": app.name }));
        let clusters = at(&found, "static_resources/clusters");
        prop_assert_eq!(clusters.as_array().unwrap().len(), 3);
        let pipe = at(named(clusters, "coatcheck_grpc"), "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path");
        prop_assert_eq!(pipe, &json!(app.socket));
    }

    #[test]
    fn so_it_is_for_the_gateways(app in strange()) {
        let site = Site::new("");
        let listen = json!({ "grpc": "0.0.0.0:9001", "http": "0.0.0.0:9002", "admin": "0.0.0.0:9003" });
        let config = app.config(&site, &listen).unwrap();
        let source = Source { config: &config, file: &app.file, upstreams: &[] };
        let gateway = "a/b".parse().unwrap();
        let options = istio::Options { service: service(), gateway, selector: "a=b".parse().unwrap() };
        let found = documents(&istio::render(&source, &options).unwrap());
        prop_assert_eq!(found.len(), 6);
        prop_assert_eq!(at(&found[1], "spec/rules/0/to/0/operation/notPaths/0"), &json!(app.prefix));
        let rules = at(&found[5], "spec/jwtRules");
        prop_assert_eq!(rules, &json!([{ "issuer": "https://id.example.com/a'b", "audiences": ["a\"b: {c}\n# d"], "forwardOriginalToken": true }]));

        let options = envoy_gateway::Options { service: service(), gateway: "a/b".parse().unwrap() };
        let found = documents(&envoy_gateway::render(&source, &options).unwrap());
        let kinds: Vec<&Value> = found.iter().map(|one| &one["kind"]).collect();
        let expected = ["ClientTrafficPolicy", "ReferenceGrant", "HTTPRoute", "SecurityPolicy", "HTTPRoute", "BackendTrafficPolicy"];
        prop_assert_eq!(kinds, expected);
        prop_assert_eq!(at(&found[3], "spec/extAuth/contextExtensions/0/value"), &json!(app.name));
    }
}
