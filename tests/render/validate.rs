//! The real Envoy reads what is rendered for it.

use std::process::Command;

use crate::peers;
use crate::site::{SHOP, Site, TWO};

fn certified(site: &Site) -> Vec<String> {
    let certified = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
    site.write("tls.crt", &certified.cert.pem());
    site.write("tls.key", &certified.signing_key.serialize_pem());
    let path = |name: &str| site.file(name).to_str().unwrap().to_owned();
    vec!["--tls-cert".to_owned(), path("tls.crt"), "--tls-key".to_owned(), path("tls.key")]
}

/// Without a warning, so that a field that is on its way out is seen here first.
fn accepted(yaml: &str, arguments: &[&str]) {
    let site = Site::new(yaml);
    let tls = certified(&site);
    let tls: Vec<&str> = tls.iter().map(String::as_str).collect();
    let text = site.text(&[&["envoy"], arguments, &tls].concat());
    site.write("envoy.yaml", &text);
    let mut envoy = Command::new(peers::program("envoy"));
    envoy.args(["--mode", "validate", "-l", "warning", "-c"]).arg(site.file("envoy.yaml"));
    let output = envoy.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && log.is_empty(), "{yaml}\n{log}");
}

#[test]
fn envoy_accepts_one_app_behind_tls() {
    accepted(SHOP, &["--upstream", "shop=127.0.0.1:3000"]);
}

#[test]
fn envoy_accepts_two_apps_with_several_hosts_one_of_them_in_band() {
    accepted(TWO, &["--address", "coatcheck.coatcheck.svc", "--upstream", "shop=web.shop.svc:80"]);
    accepted(TWO, &["--address", "::1", "--upstream", "Back_Office=[::1]:3000"]);
}

#[test]
fn envoy_accepts_unix_sockets() {
    let unix = "listen: { grpc: \"unix:/run/coatcheck/authz.sock\", http: \"unix:/run/coatcheck/http.sock\" }\n";
    accepted(&format!("{unix}{SHOP}"), &[]);
}

#[test]
fn envoy_accepts_ipv6() {
    let six = "listen: { grpc: \"[::1]:9001\", http: \"[::]:9002\", admin: \"[::1]:9003\" }\n";
    accepted(
        &format!("{six}{}", SHOP.replace("https://shop.example.com", "\"http://[::1]:8080\"")),
        &["--address", "::1"],
    );
}

#[test]
fn envoy_accepts_every_kind_of_origin_at_once() {
    let origins = "[https://shop.example.com, https://shop.example.com:8443, \"http://localhost:8080\", \"http://[::1]:8080\", \"http://127.0.0.1\"]";
    accepted(&SHOP.replace("https://shop.example.com", origins), &[]);
}

#[test]
fn envoy_accepts_nothing_but_in_band() {
    accepted(&SHOP.replace("provider: main }", "provider: main, login: { mode: in_band } }"), &[]);
}
