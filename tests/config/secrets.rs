//! Secrets: where they may come from, and that none of them is ever shown.

use coatcheck::config::StoreConfig;
use secrecy::ExposeSecret;

use crate::support::{APPS, Site};

fn provider(secret: &str) -> String {
    format!("providers:\n  - name: main\n    issuer: https://id.example.com\n    client_id: shop\n    {secret}\n{APPS}")
}

fn client_secret(site: &Site, secret: &str) -> String {
    site.config(&provider(secret)).providers[0].client_secret.expose_secret().to_owned()
}

#[test]
fn the_line_end_after_a_secret_file_does_not_count() {
    for (content, secret) in [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), (" p w \n", " p w "), ("pw\n\n", "pw\n")]
    {
        let site = Site::new().file("s", content);
        assert_eq!(client_secret(&site, "client_secret_file: s"), secret, "{content:?}");
    }
}

#[test]
fn variables_are_replaced_alone_or_inside_a_text() {
    let site = Site::new().env("A", "one").env("B_2", "${A}");
    assert_eq!(client_secret(&site, "client_secret: ${A}"), "one");
    assert_eq!(client_secret(&site, "client_secret: x-${A}-${A}$"), "x-one-one$");
    assert_eq!(client_secret(&site, "client_secret: $${A}${A}"), "${A}one");
    assert_eq!(client_secret(&site, "client_secret: ${B_2}"), "${A}", "a value is not replaced again");
    assert_eq!(
        site.config(&provider("client_secret: ${A}\n    scopes: [openid, \"s-${A}\"]"))
            .apps
            .by_name("shop")
            .unwrap()
            .login
            .scopes[1],
        "s-one"
    );
}

#[test]
fn a_plain_secret_is_accepted_with_a_warning_and_a_variable_without() {
    let site = Site::new().env("A", "one");
    assert_eq!(
        site.warnings(&provider("client_secret: plain-canary")),
        "coatcheck.yaml:5: providers[0].client_secret: a secret in plain text: write ${NAME}, or use `client_secret_file`"
    );
    assert_eq!(site.warnings(&provider("client_secret: ${A}")), "");
}

#[test]
fn what_is_wrong_with_a_secret_is_said_with_the_name_of_its_file_or_variable() {
    let site = Site::new().file("empty", "\n").env("EMPTY", "").env("SPACE", " ");
    let at = "coatcheck.yaml:5: providers[0].client_secret";
    let cases = [
        ("client_secret_file: nowhere", "_file: nowhere cannot be read: No such file or directory (os error 2)"),
        ("client_secret_file: empty", "_file: empty is empty: write the secret into it"),
        ("client_secret: ${UNSET}", ": the environment variable UNSET is not set"),
        ("client_secret: ${EMPTY}", ": the environment variable EMPTY is empty"),
        ("client_secret: ${SPACE}", ": is empty: give the secret"),
        ("client_secret: ${A", ": `${` without `}`: write ${NAME}, or $${ for `${`"),
        ("client_secret: ${A B}", ": `${…}` takes the name of an environment variable: letters, digits and `_`"),
    ];
    for (secret, message) in cases {
        assert_eq!(site.mistakes(&provider(secret)), format!("{at}{message}"));
    }
    assert_eq!(
        site.mistakes(&provider("client_secret: a\n    client_secret_file: client")),
        "coatcheck.yaml:6: providers[0].client_secret_file: `client_secret` is there too: keep one of them"
    );
    assert_eq!(
        site.mistakes(&provider("client_auth: post")),
        "coatcheck.yaml:2: providers[0]: needs a secret: give `client_secret_file`, or `client_secret: ${NAME}`"
    );
}

/// Canaries everywhere, each at a place where something is wrong.
#[test]
fn no_mistake_and_no_warning_repeats_a_secret() {
    let site = Site::new().env("C", "canary-1").file("s", "canary-2").file("pem", "canary-3");
    let mistaken = "
listen: { grpc: \"${C}\", http: \"${C}\" }
store: { kind: redis, url: \"redis://u:canary-4@ho st/x?${C}\", password: [canary-5], tls: { ca_file: pem, cert_file: pem, key_file: pem }, response_timeout: \"${C}\" }
keys: [ { id: 1, value: canary-6 }, { id: 1, file: s }, { id: canary-7, value: \"${C}\" } ]
providers:
  - { name: \"${C}!\", issuer: \"https://u:canary-8@id.example.com\", client_id: { a: canary-9 }, client_secret: 1, client_secret_file: s, client_auth: \"${C}\", timeout: \"${C}\", ca_file: pem }
apps:
  - { name: \"${C}!\", origin: \"http://${C}\", provider: \"${C}\", cookie: { name: \"${C} \" }, login: { prefix: \"${C}\" }, csrf: { header: \"x:\", trusted_origins: [\"${C}\"] }, upstream: { headers: { \"a b\": \"${C}\" } } }
telemetry: { log_level: \"${C}\", otlp_endpoint: \"http://u:canary-10@h\" }
";
    let text = site.mistakes(mistaken);
    assert!(text.lines().count() > 20, "{text}");
    assert!(!text.contains("canary"), "{text}");
    for broken in [
        "a: canary\n b: [canary",
        "client_secret: \"canary",
        "- canary\nx: canary",
        "? [canary]\n: x",
        "&a canary: *canary",
    ] {
        let text = site.mistakes(broken);
        assert!(!text.contains("canary"), "{broken}: {text}");
    }
}

#[test]
fn a_configuration_in_a_log_shows_no_secret() {
    let site = Site::new().env("C", "canary-1");
    let yaml = "store: { kind: redis, url: \"rediss://u:canary-2@redis/0\" }\nkeys: [ { id: 1, file: key-1 } ]\n";
    let config = site.config(&format!("{yaml}{}", provider("client_secret: ${C}")));
    let StoreConfig::Redis(redis) = &config.store else { panic!("not redis") };
    assert_eq!(redis.password.as_ref().unwrap().expose_secret(), "canary-2");
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("canary") && !shown.contains(crate::support::KEY), "{shown}");
}
