//! Envoy's configuration as `coatcheck render envoy` prints it for a running replica, in which only listen addresses
//! and TLS are taken out: the test browser resolves names by itself and speaks plain HTTP to a free port.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::coatcheck::{Coatcheck, run};

/// For the replica, with the upstream behind every app.
pub fn for_replica(replica: &Coatcheck, upstream: SocketAddr) -> Value {
    let path = replica.write_config("render.yaml");
    let mut arguments = vec!["render".to_owned(), "envoy".to_owned(), "-c".to_owned(), path.display().to_string()];
    for app in replica.app_names() {
        arguments.extend(["--upstream".to_owned(), format!("{app}={upstream}")]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run(&arguments, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut config: Value = serde_saphyr::from_str(&String::from_utf8_lossy(&output.stdout)).expect("YAML");
    let free = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 0 } });
    config["admin"]["address"] = free.clone();
    let listeners = config["static_resources"]["listeners"].as_array_mut().expect("listeners");
    listeners.retain(|listener| listener["name"] == "public");
    for listener in listeners {
        listener["address"] = free.clone();
        listener["filter_chains"][0].as_object_mut().expect("a chain").remove("transport_socket");
    }
    config
}
