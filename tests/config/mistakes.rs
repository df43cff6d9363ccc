//! The exact mistakes: file, line, key path, what is wrong, what to do.

mod app;

use crate::support::{APPS, PROVIDERS, Site};

/// `section` stands from line 1 on; a sound provider and app follow where it has none of its own.
fn mistakes(section: &str) -> String {
    let mut yaml = section.to_owned();
    for (key, rest) in [("providers:", PROVIDERS), ("apps:", APPS)] {
        if !yaml.lines().any(|line| line.starts_with(key)) {
            yaml += rest;
        }
    }
    Site::new().mistakes(&yaml)
}

/// Holds that each section has exactly the mistake on line 1.
fn table(cases: &[(&str, &str)]) {
    for (section, mistake) in cases {
        assert_eq!(mistakes(&format!("{section}\n")), format!("coatcheck.yaml:1: {mistake}"), "{section}");
    }
}

fn app(keys: &str) -> String {
    format!("apps: [ {{ name: shop, origin: \"https://shop.example.com\", provider: main, {keys} }} ]")
}

fn app_table(cases: &[(&str, &str)]) {
    for (keys, mistake) in cases {
        let section = format!("{}\n", app(keys));
        assert_eq!(mistakes(&section), format!("coatcheck.yaml:1: apps[0].{mistake}"), "{section}");
    }
}

#[test]
fn everything_wrong_with_a_file_is_told_in_one_run_in_its_order() {
    let yaml = "\
listn: {}
store:
  kind: redos
keys: [ x ]
providers:
  - name: main
    isuer: https://id.example.com
    client_id: 12
    client_secret_file: missing
    timeout: 10
    name: again
apps:
  - name: shop
    origin: https://shop.example.com/app
    provider: mian
    cookie: { domain: x, same_site: LAX }
    rules:
      - { path: [/], session: none }
      - paths:
          - /a
        methods:
          - get
    session: { idle: 13h }
  - { name: shop, origin: http://shop.example.com, provider: main }
";
    let expected = "\
coatcheck.yaml:1: listn: unknown key; did you mean `listen`?
coatcheck.yaml:3: store.kind: `redos` is not one of embedded, redis; did you mean `redis`?
coatcheck.yaml:4: keys[0]: expected a mapping, found text
coatcheck.yaml:6: providers[0].issuer: is missing: its issuer, exactly as the provider writes it
coatcheck.yaml:7: providers[0].isuer: unknown key; did you mean `issuer`?
coatcheck.yaml:8: providers[0].client_id: expected text, found a number: put it in quotes
coatcheck.yaml:9: providers[0].client_secret_file: missing cannot be read: No such file or directory (os error 2)
coatcheck.yaml:10: providers[0].timeout: expected text, found a number: put it in quotes
coatcheck.yaml:11: providers[0].name: stands twice; the first is on line 6: keep one
coatcheck.yaml:14: apps[0].origin: an origin has no path, query or fragment, nor a slash at its end: write `https://host`
coatcheck.yaml:15: apps[0].provider: no provider is named `mian`: did you mean `main`?
coatcheck.yaml:16: apps[0].cookie.domain: unknown key; the cookie never has a Domain: it belongs to one host
coatcheck.yaml:16: apps[0].cookie.same_site: `LAX` is not one of strict, lax; did you mean `lax`?
coatcheck.yaml:18: apps[0].rules[0].path: unknown key; did you mean `paths`?
coatcheck.yaml:18: apps[0].rules[0].paths: is missing: the paths it is for, any of them
coatcheck.yaml:22: apps[0].rules[1].methods[0]: methods are upper case: write `GET`
coatcheck.yaml:23: apps[0].session.idle: 13h is longer than `absolute` (12h): a session ends there at the latest
coatcheck.yaml:24: apps[1].name: another app has this name: names are never used twice
coatcheck.yaml:24: apps[1].origin: http:// is for loopback hosts only (localhost, *.localhost, 127.0.0.0/8, [::1]): write https://";
    assert_eq!(Site::new().mistakes(yaml), expected);
}

#[test]
fn a_file_that_is_no_mapping_says_so() {
    let site = Site::new();
    let cases = [
        ("", "coatcheck.yaml:1: the file is empty: write `providers` and `apps` at least"),
        ("# only a comment\n", "coatcheck.yaml:1: the file is empty: write `providers` and `apps` at least"),
        ("- a\n", "coatcheck.yaml:1: expected a mapping, found a list"),
        ("a: [\n", "coatcheck.yaml:1: this is not valid YAML: unclosed bracket '['"),
        (
            "a: { b: ${C} }\n",
            "coatcheck.yaml:1: this is not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'; \
             inside `{ }` and `[ ]` write \"${NAME}\" with quotes",
        ),
    ];
    for (yaml, mistake) in cases {
        assert_eq!(site.mistakes(yaml), mistake, "{yaml:?}");
    }
}

#[test]
fn an_empty_value_is_a_mistake_and_never_a_default() {
    table(&[
        ("store:", "store: expected a mapping, found nothing: give a value, or remove the key"),
        ("keys: []", "keys: the list is empty: it takes at least one entry"),
        ("apps: []", "apps: the list is empty: it takes at least one entry"),
    ]);
    app_table(&[
        (
            "rules: [ { paths: [/a], claims: } ]",
            "rules[0].claims: expected a mapping, found nothing: give a value, or remove the key",
        ),
        (
            "rules: [ { paths: [/a], claims: {} } ]",
            "rules[0].claims: the mapping is empty: it takes at least one entry",
        ),
        (
            "rules: [ { paths: [/a], claims: { g: [] } } ]",
            "rules[0].claims.g: the list is empty: it takes at least one entry",
        ),
        ("rules: [ { paths: [/a], methods: [] } ]", "rules[0].methods: the list is empty: it takes at least one entry"),
        ("rules: [ { paths: [] } ]", "rules[0].paths: the list is empty: it takes at least one entry"),
    ]);
}

#[test]
fn listen_addresses() {
    let example = "write a literal IP address and a port, as `127.0.0.1:9001`, `0.0.0.0:9001` or `[::1]:9001` (port 0 lets the system choose)";
    table(&[
        ("listen: { grpc: localhost:9001 }", &format!("listen.grpc: `localhost:9001` is not an address: {example}")),
        ("listen: { http: \":9002\" }", &format!("listen.http: `:9002` is not an address: {example}")),
        (
            "listen: { grpc: unix:run.sock }",
            "listen.grpc: `unix:run.sock` is not a Unix socket: write `unix:` and an absolute path of at most 107 bytes",
        ),
        (
            "listen: { admin: unix:/run/a.sock }",
            "listen.admin: the admin listener is TCP only: write it as `127.0.0.1:9003`",
        ),
        ("listen: { admin: 127.0.0.1:9001 }", "listen.admin: another listener has the same address: give each its own"),
        (
            "listen: { grpc: unix:/a, http: unix:/a }",
            "listen.http: another listener has the same address: give each its own",
        ),
    ]);
    let shared_any =
        format!("listen: {{ grpc: 127.0.0.1:0, http: 127.0.0.1:0, admin: 127.0.0.1:0 }}\n{PROVIDERS}{APPS}");
    Site::new().config(&shared_any);
}

#[test]
fn stores_and_keys() {
    let keys = "a shared store needs a server key, the same in every process: make one with `coatcheck keygen` and name it, as `keys: [ { id: 1, file: /secrets/key-1 } ]`";
    let key = "the secret is not a key: 32 bytes in base64url, as `coatcheck keygen` prints them";
    table(&[
        ("store: { kind: redis, url: redis://localhost }", &format!("keys: {keys}")),
        ("store: { url: redis://localhost }", "store.url: only with `kind: redis`: set it, or remove this key"),
        ("store: { path: /nonexistent/a.db }", "store.path: /nonexistent is not a directory: make it first"),
        ("store: { path: \"\" }", "store.path: is empty: name a file"),
        ("keys: [ { id: 1, file: client } ]", &format!("keys[0].file: {key}")),
        ("keys: [ { id: 1, value: QUJD } ]", &format!("keys[0].value: {key}")),
        ("keys: [ { id: 1 } ]", "keys[0]: needs a secret: give `file`, or `value: ${NAME}`"),
        ("keys: [ { file: key-1 } ]", "keys[0].id: is missing: names the key in cookies and records"),
        ("keys: [ { id: -1, file: key-1 } ]", "keys[0].id: -1 is out of range: 0 to 4294967295"),
        (
            "keys: [ { id: 1, file: key-1 }, { id: 1, file: key-1 } ]",
            "keys[1].id: another key has this id: ids are never used twice",
        ),
    ]);
}

#[test]
fn redis() {
    let example = "write it as `redis://host:6379/0`, or `rediss://…` for TLS";
    let cases = [
        ("url: http://localhost", format!("url: is not a Redis URL: {example}")),
        ("url: unix:/run/redis.sock", format!("url: Unix sockets are not supported for Redis: {example}")),
        ("url: redis+unix:///run/redis.sock", format!("url: Unix sockets are not supported for Redis: {example}")),
        ("url: redis:///0", format!("url: has no host: {example}")),
        ("url: redis://localhost/x", format!("url: the database is a number up to 65535: {example}")),
        ("url: redis://localhost/0?x=1", format!("url: a Redis URL has no query or fragment here: {example}")),
        ("url: \"redis://u:%zz@localhost\"", "url: the URL holds a broken percent-encoding".to_owned()),
        ("url: redis://u:p@localhost, username: u", "username: the URL has one too: keep one of them".to_owned()),
        (
            "url: redis://u:p@localhost, password_file: client",
            "password_file: the URL has one too: keep one of them".to_owned(),
        ),
        ("username: u", "url: is missing: say where Redis is, as `redis://127.0.0.1:6379/0`".to_owned()),
        ("url: redis://localhost, path: a.db", "path: only with `kind: embedded`: remove this key".to_owned()),
        ("url: redis://localhost, connections: 0", "connections: 0 is out of range: 1 to 64".to_owned()),
        ("url: redis://localhost, connections: 1.5", "connections: expected a whole number, found a number".to_owned()),
        (
            "url: redis://localhost, response_timeout: 11s",
            "response_timeout: 11s is out of range: 1ms to 10s".to_owned(),
        ),
        (
            "url: redis://localhost, prefix: \"a{b\"",
            "prefix: takes at most 64 printable ASCII characters without spaces, `{`, `}`".to_owned(),
        ),
        (
            "url: redis://localhost, tls: {}",
            "tls: only with a rediss:// URL: write `url: rediss://…`, or remove this key".to_owned(),
        ),
        (
            "url: rediss://localhost, tls: { ca_file: client }",
            "tls.ca_file: client holds no PEM certificate (BEGIN CERTIFICATE)".to_owned(),
        ),
    ];
    for (keys, mistake) in cases {
        let section = format!("store: {{ kind: redis, {keys} }}\nkeys: [ {{ id: 1, file: key-1 }} ]\n");
        assert_eq!(mistakes(&section), format!("coatcheck.yaml:1: store.{mistake}"), "{section}");
    }
}

#[test]
fn providers() {
    let cases = [
        (
            "issuer: http://id.example.com",
            "issuer: http:// is for loopback hosts only (localhost, *.localhost, 127.0.0.0/8, [::1]): write https://",
        ),
        (
            "issuer: https://id.example.com?a",
            "issuer: an issuer has no query or fragment (OpenID Connect Discovery §3)",
        ),
        (
            "issuer: id.example.com",
            "issuer: does not start with https://; write it as `https://host` or `https://host:port`",
        ),
        (
            "issuer: https://i, scopes: [email]",
            "scopes: `openid` is missing: without it there is no ID token and no login (OpenID Connect Core §3.1.2.1)",
        ),
        (
            "issuer: https://i, scopes: [openid, a b]",
            "scopes[1]: is not a scope: one word without spaces; write several as a list",
        ),
        ("issuer: https://i, scopes: openid", "scopes: expected a list, found text"),
        (
            "issuer: https://i, signing_algorithms: [HS256]",
            "signing_algorithms[0]: `HS256` is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA; did you mean `RS256`?",
        ),
        ("issuer: https://i, timeout: 30", "timeout: expected text, found a number: put it in quotes"),
        (
            "issuer: https://i, timeout: 30 s",
            "timeout: `30 s` is not a span of time: write a whole number with a unit, as `500ms`, `30s`, `10m`, `12h`",
        ),
        ("issuer: https://i, timeout: 2m", "timeout: 2m is out of range: 100ms to 60s"),
        ("issuer: https://i, client_auth: none", "client_auth: `none` is not one of basic, post"),
        ("issuer: https://i, client_id: \"\"", "client_id: is empty: give a value"),
        ("issuer: https://i, ca_file: client", "ca_file: client holds no PEM certificate (BEGIN CERTIFICATE)"),
    ];
    for (keys, mistake) in cases {
        let client = if keys.contains("client_id") { "" } else { "client_id: c, " };
        let section = format!("providers: [ {{ name: main, client_secret_file: client, {client}{keys} }} ]\n");
        assert_eq!(mistakes(&section), format!("coatcheck.yaml:1: providers[0].{mistake}"), "{section}");
    }
}

#[test]
fn telemetry_limits_and_shutdown() {
    table(&[
        (
            "telemetry: { log_level: loud }",
            "telemetry.log_level: `loud` is not a level or filter, as `info` or `info,coatcheck::store=debug`",
        ),
        ("telemetry: { log_format: xml }", "telemetry.log_format: `xml` is not one of json, human"),
        (
            "telemetry: { otlp_endpoint: \"127.0.0.1:4317\" }",
            "telemetry.otlp_endpoint: is not an http:// URL, as `http://127.0.0.1:4317`",
        ),
        ("telemetry: { service_name: \" \" }", "telemetry.service_name: is empty: give the service a name"),
        ("limits: { checks: 0 }", "limits.checks: 0 is out of range: 1 to 1000000"),
        ("limits: { connections: 2000000 }", "limits.connections: 2000000 is out of range: 1 to 1000000"),
        ("limits: { wait: 1m }", "limits.wait: 1m is out of range: 1ms to 5s"),
        ("shutdown: { timeout: 0s }", "shutdown.timeout: 0s is out of range: 100ms to 1h"),
        (
            "shutdown: { drain_delay: 99999999999999999999s }",
            "shutdown.drain_delay: `99999999999999999999s` is not a span of time: write a whole number with a unit, as `500ms`, `30s`, `10m`, `12h`",
        ),
    ]);
}

#[test]
fn what_is_doubtful_is_a_warning() {
    let cases = [
        (
            "cookie: { same_site: lax }",
            "cookie.same_site: lax sends the session on navigations that other sites start; only the CSRF checks protect those then",
        ),
        (
            "cookie: { name: shop }",
            "cookie.name: without a `__Host-` prefix a sibling domain can plant this cookie: use `__Host-Http-…`",
        ),
        (
            "csrf: { enabled: false }",
            "csrf.enabled: the CSRF defence is off: any site can send requests with the user's session",
        ),
        ("rules: [ { paths: [/**] }, { paths: [/a] } ]", "rules[1]: never used: rules[0] takes every path"),
        (
            "rules: [ { paths: [/authors, /auth/x] } ]",
            "rules[0].paths[1]: never used: everything below /auth is answered by the login routes",
        ),
    ];
    for (keys, warning) in cases {
        let yaml = format!("{}\n{PROVIDERS}", app(keys));
        assert_eq!(Site::new().warnings(&yaml), format!("coatcheck.yaml:1: apps[0].{warning}"));
    }
    let redis =
        format!("store: {{ kind: redis, url: redis://redis }}\nkeys: [ {{ id: 1, file: key-1 }} ]\n{PROVIDERS}{APPS}");
    assert_eq!(
        Site::new().warnings(&redis),
        "coatcheck.yaml:1: store.url: redis:// to another host is not encrypted: use rediss:// unless the network is yours alone"
    );
    let ports = format!(
        "{PROVIDERS}apps:\n  - {{ name: a, origin: \"http://localhost:1\", provider: main }}\n  - {{ name: b, origin: \"http://localhost:2\", provider: main }}\n"
    );
    assert_eq!(
        Site::new().warnings(&ports),
        "coatcheck.yaml:5: apps[1].cookie.name: `__Host-Http-coatcheck` is also the cookie of apps[0] on localhost, and cookies do not \
         know ports: signing in to one signs out of the other; give each its own name"
    );
}
