//! The program itself, as a person runs it.

use std::process::{Command, Output};

use crate::support::{APPS, PROVIDERS, Site};

fn coatcheck(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coatcheck"));
    command.args(arguments).current_dir(site.directory()).env_clear();
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn outcome(output: &Output) -> (Option<i32>, String, String) {
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn check_says_what_serve_would_do() {
    let yaml = format!(
        "{PROVIDERS}apps:
  - name: shop
    origin: [https://shop.example.com, http://localhost:8080]
    provider: main
    upstream: {{ headers: {{ x-user: sub }} }}
    login: {{ prefix: /id, mode: in_band }}
    cookie: {{ same_site: lax }}
    rules:
      - {{ paths: [/assets/**, /favicon.ico], session: none }}
      - {{ paths: [/], session: optional }}
      - {{ paths: [/admin/**], methods: [GET, POST], claims: {{ groups: [staff, boss] }} }}
    policies: {{ api: {{ rules: [ {{ paths: [/v1/**] }} ] }} }}
"
    );
    let site = Site::new().file("coatcheck.yaml", &yaml);
    let (code, stdout, stderr) = outcome(&coatcheck(&site, &["check"]).output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(
        stderr,
        "warning: coatcheck.yaml:9: apps[0].cookie.same_site: lax sends the session on navigations that other sites start; \
         only the CSRF checks protect those then\n"
    );
    let expected = "\
The configuration is sound. `coatcheck serve` would

listen
  127.0.0.1:9001           Envoy's ext_authz
  127.0.0.1:9002           login routes
  127.0.0.1:9003           /livez, /readyz, /metrics

keep sessions in
  the file ./coatcheck.db (one process only)

seal with
  the key in ./coatcheck.db.key (made when absent)

use the provider main
  issuer     https://id.example.com
  client     shop

protect the app shop, signing in at main
  origins    https://shop.example.com, http://localhost:8080
  login      /id/..., answered by the checks themselves (in-band)
  scopes     openid profile email offline_access
  cookie     __Host-Http-coatcheck (SameSite=Lax)
  upstream   gets the access token, x-user = sub
  register at the provider:
    redirect URI              https://shop.example.com/id/callback
    post-logout redirect URI  https://shop.example.com/id/logout/done
    redirect URI              http://localhost:8080/id/callback
    post-logout redirect URI  http://localhost:8080/id/logout/done
  rules, the first match wins:
    1. /assets/**, /favicon.ico: public
    2. /: a session is optional
    3. GET, POST /admin/**: a session is required, where groups is staff or boss
    else a session is required
  rules of the policy api:
    1. /v1/**: a session is required
    else a session is required
";
    assert_eq!(stdout.trim_end(), expected.trim_end());
    assert!(!site.path("coatcheck.db.key").exists(), "check must not write");
}

#[test]
fn check_and_serve_print_every_mistake_and_fail() {
    let site = Site::new().file("bad.yaml", &format!("listn: {{}}\nshutdwn: {{}}\n{PROVIDERS}{APPS}"));
    for command in ["check", "serve"] {
        let (code, stdout, stderr) = outcome(&coatcheck(&site, &[command, "-c", "bad.yaml"]).output().unwrap());
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert_eq!(
            stderr,
            "bad.yaml:1: listn: unknown key; did you mean `listen`?\n\
             bad.yaml:2: shutdwn: unknown key; did you mean `shutdown`?\n\
             coatcheck: 2 mistakes in bad.yaml; nothing was started\n"
        );
    }
}

#[test]
fn the_configuration_is_the_one_of_the_option_else_of_the_environment_else_of_the_directory() {
    let good = format!("{PROVIDERS}{APPS}");
    let site = Site::new().file("good.yaml", &good);
    let run = |arguments: &[&str], variable: &str| {
        let output = coatcheck(&site, arguments).env("COATCHECK_CONFIG", variable).output().unwrap();
        outcome(&output)
    };
    assert_eq!(run(&["check", "--config", "good.yaml"], "other.yaml").0, Some(0));
    assert_eq!(run(&["check"], "good.yaml").0, Some(0));
    let (code, _, stderr) = run(&["check"], "");
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("coatcheck.yaml: cannot be read: No such file or directory"), "{stderr}");
}

#[test]
fn keygen_prints_a_key_that_loads() {
    let site = Site::new();
    let (code, key, stderr) = outcome(&coatcheck(&site, &["keygen"]).output().unwrap());
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(key.trim_end().len(), 43, "32 bytes in base64url without padding");
    let site = site.file("fresh", &key);
    site.config(&format!("keys: [ {{ id: 1, file: fresh }} ]\n{PROVIDERS}{APPS}"));
}

#[test]
fn schema_prints_the_schema() {
    let (code, stdout, _) = outcome(&coatcheck(&Site::new(), &["schema"]).output().unwrap());
    assert_eq!(code, Some(0));
    let printed: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(printed, coatcheck::config::schema());
}

#[test]
fn help_teaches_and_a_wrong_command_line_fails_otherwise() {
    let site = Site::new();
    let (code, stdout, _) = outcome(&coatcheck(&site, &["--help"]).output().unwrap());
    assert_eq!(code, Some(0));
    for word in ["serve", "check", "schema", "keygen", "Examples:", "Files:", "COATCHECK_CONFIG", "Exit codes:"] {
        assert!(stdout.contains(word), "{word} is not in\n{stdout}");
    }
    assert_eq!(coatcheck(&site, &["sreve"]).output().unwrap().status.code(), Some(2));
    assert_eq!(coatcheck(&site, &[]).output().unwrap().status.code(), Some(2));
}
