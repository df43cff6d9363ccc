//! Mistakes inside `apps`.

use super::{app_table, mistakes};
use crate::support::{PROVIDERS, Site};

#[test]
fn origins() {
    let no_path = "an origin has no path, query or fragment, nor a slash at its end: write `https://host`";
    let user =
        "holds a user name or password, which do not belong there: write it as `https://host` or `https://host:port`";
    let scheme = "does not start with https://; write it as `https://host` or `https://host:port`";
    let loopback = "http:// is for loopback hosts only (localhost, *.localhost, 127.0.0.0/8, [::1]): write https://";
    let cases = [
        ("https://a.example/", no_path),
        ("https://a.example/app", no_path),
        ("https://a.example?x", no_path),
        ("https://a.example#x", no_path),
        ("https://u@a.example", user),
        ("https://u:p@a.example", user),
        ("ftp://a.example", scheme),
        ("a.example", scheme),
        ("*", scheme),
        ("https://*.example.com", "wildcards are not supported: name each host"),
        ("https://a.example.", "the host ends with a dot: leave it out"),
        ("http://a.example", loopback),
        ("http://localhost.example", loopback),
        ("http://128.0.0.1", loopback),
        ("https://a b", "holds white space: write it as `https://host` or `https://host:port`"),
        ("https://", "is not a URL (empty host): write it as `https://host` or `https://host:port`"),
    ];
    for (origin, mistake) in cases {
        let section = format!("apps: [ {{ name: shop, origin: \"{origin}\", provider: main }} ]\n");
        assert_eq!(mistakes(&section), format!("coatcheck.yaml:1: apps[0].origin: {mistake}"), "{origin}");
    }
    for origin in
        ["http://localhost:8080", "http://127.9.9.9", "http://[::1]:1", "http://app.localhost", "https://Ä.example"]
    {
        Site::new().config(&format!("{PROVIDERS}apps: [ {{ name: shop, origin: \"{origin}\", provider: main }} ]\n"));
    }
}

#[test]
fn a_host_belongs_to_one_app() {
    for (one, other, host) in [
        ("https://a.example", "https://A.example:443", "a.example"),
        ("http://localhost", "https://localhost", "localhost"),
        ("http://localhost:443", "https://localhost", "localhost"),
    ] {
        let section = format!(
            "apps:\n  - {{ name: a, origin: \"{one}\", provider: main }}\n  - {{ name: b, origin: [\"{other}\"], provider: main }}\n"
        );
        let expected = format!(
            "coatcheck.yaml:3: apps[1].origin[0]: `{host}` is taken by apps[0].origin: a host belongs to one app"
        );
        assert_eq!(mistakes(&section), expected);
    }
}

#[test]
fn upstream_headers() {
    let frame = "this header belongs to the connection or the message's frame: choose another name";
    app_table(&[
        ("upstream: { headers: { Host: sub } }", &format!("upstream.headers.Host: {frame}")),
        ("upstream: { headers: { cookie: sub } }", &format!("upstream.headers.cookie: {frame}")),
        ("upstream: { headers: { Content-Length: sub } }", &format!("upstream.headers.Content-Length: {frame}")),
        ("upstream: { headers: { transfer-encoding: sub } }", &format!("upstream.headers.transfer-encoding: {frame}")),
        ("upstream: { headers: { \":path\": sub } }", "upstream.headers.:path: pseudo headers cannot be set"),
        (
            "upstream: { headers: { \"x user\": sub } }",
            "upstream.headers.x user: is not a header name: letters, digits and `-`",
        ),
        (
            "upstream: { headers: { Authorization: sub } }",
            "upstream.headers.Authorization: Authorization is set by `upstream.authorization`",
        ),
        (
            "upstream: { headers: { set-cookie: sub } }",
            "upstream.headers.set-cookie: Set-Cookie is not a request header: choose another name",
        ),
        (
            "upstream: { headers: { x-user: sub, x_user: sub } }",
            "upstream.headers.x_user: is the same header as `x-user` to many servers: keep one",
        ),
        (
            "upstream: { headers: { x-user: sub, X-User: sub } }",
            "upstream.headers.x-user: is the same header as `X-User` to many servers: keep one",
        ),
        (
            "upstream: { headers: { x-user: \"\" } }",
            "upstream.headers.x-user: names no claim: write one, as `sub` or `realm_access.roles`",
        ),
        (
            "upstream: { authorization: bearer }",
            "upstream.authorization: `bearer` is not one of access_token, id_token, none",
        ),
    ]);
}

#[test]
fn rules_and_policies() {
    let need = "claims need a session: remove them, or write `session: required`";
    app_table(&[
        ("rules: [ { paths: [/], session: none, claims: { a: b } } ]", &format!("rules[0].claims: {need}")),
        ("rules: [ { paths: [/], session: optional, claims: { a: b } } ]", &format!("rules[0].claims: {need}")),
        ("rules: [ { paths: [/], methods: [\"G T\"] } ]", "rules[0].methods[0]: is not a method, as `GET` or `POST`"),
        ("rules: [ { paths: [/a, admin/**] } ]", "rules[0].paths[1]: a path begins with `/`"),
        ("rules: [ { paths: [/a/**/b] } ]", "rules[0].paths[0]: `**` can only be the last segment"),
        ("rules: [ { paths: /a } ]", "rules[0].paths: expected a list, found text"),
        (
            "rules: [ { paths: [/], session: false } ]",
            "rules[0].session: expected text, found true or false: put it in quotes",
        ),
        (
            "policies: { \"a b\": { rules: [] } }",
            "policies.a b: is not a name: letters, digits, `-`, `_` and `.`, at most 64",
        ),
        ("policies: { api: {} }", "policies.api.rules: is missing: the rules"),
        (
            "policies: { api: { rules: [ { paths: [/], methods: [get] } ] } }",
            "policies.api.rules[0].methods[0]: methods are upper case: write `GET`",
        ),
    ]);
}

#[test]
fn cookies_sessions_and_routes() {
    let path =
        "login.prefix: is not a clean path: segments of letters, digits, `-`, `_`, `.`, `~`, none empty, `.` or `..`";
    app_table(&[
        (
            "cookie: { name: \"a=b\" }",
            "cookie.name: is not a cookie name: letters, digits, `-`, `_` and `.`, at most 64 (RFC 6265 §4.1.1)",
        ),
        ("cookie: { name: __host-a }", "cookie.name: write the prefix exactly: `__Host-`"),
        ("cookie: { name: __Host-http-a }", "cookie.name: write the prefix exactly: `__Host-Http-`"),
        ("cookie: { name: __Secure- }", "cookie.name: a name must follow `__Secure-`"),
        ("cookie: { same_site: none }", "cookie.same_site: `none` is not one of strict, lax"),
        ("session: { idle: 0s }", "session.idle: 0s is out of range: 1s to 365d"),
        (
            "session: { absolute: 10m }",
            "session.idle: 30m is longer than `absolute` (10m): a session ends there at the latest",
        ),
        ("session: { bind: [ip] }", "session.bind[0]: `ip` is not one of user_agent, ip_prefix"),
        ("refresh: { margin: 2h }", "refresh.margin: 2h is out of range: 0s to 1h"),
        ("login: { prefix: auth }", "login.prefix: is not an absolute path: write it as `/auth`"),
        ("login: { prefix: / }", "login.prefix: `/` would take every path of the app: write it as `/auth`"),
        ("login: { prefix: /auth/ }", "login.prefix: ends with a slash: leave it out"),
        ("login: { prefix: //auth }", path),
        ("login: { prefix: /a/../b }", path),
        ("login: { prefix: \"/a%2fb\" }", path),
        ("login: { attempt_lifetime: 11m }", "login.attempt_lifetime: 11m is out of range: 1s to 10m"),
        (
            "login: { allow_params: [redirect_uri] }",
            "login.allow_params[0]: `redirect_uri` is not one of prompt, login_hint, acr_values, max_age, ui_locales",
        ),
        ("csrf: { header: x-csrf }", "csrf.header: write it as `name: value`, for example \"x-csrf: 1\""),
        (
            "csrf: { header: \"cookie: 1\" }",
            "csrf.header: this header belongs to the connection or the message's frame: choose another name",
        ),
        ("csrf: { header: \"x-csrf:\" }", "csrf.header: the value is printable ASCII, as in \"x-csrf: 1\""),
        (
            "csrf: { trusted_origins: [\"http://www.example.com\"] }",
            "csrf.trusted_origins[0]: http:// is for loopback hosts only (localhost, *.localhost, 127.0.0.0/8, [::1]): write https://",
        ),
        ("csrf: { enabled: \"no\" }", "csrf.enabled: expected true or false, found text"),
    ]);
}
