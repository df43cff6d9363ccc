//! The page about rendering: its commands run, as they stand there, and its table names keys that exist.

use std::process::Command;

use crate::peers;
use crate::site::{SHOP, Site};

fn page() -> String {
    std::fs::read_to_string(peers::root().join("docs/render.md")).unwrap()
}

/// The lines of the page's shell blocks.
fn commands(page: &str) -> Vec<&str> {
    page.split("```sh\n").skip(1).flat_map(|rest| rest.split("```").next().unwrap_or_default().lines()).collect()
}

#[test]
fn the_commands_of_the_page_run_as_they_stand_there() {
    let listen = "listen: { grpc: 0.0.0.0:9001, http: 0.0.0.0:9002, admin: 0.0.0.0:9003 }\n";
    let site = Site::new(&format!("{listen}{SHOP}"));
    let certified = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
    site.write("tls.crt", &certified.cert.pem());
    site.write("tls.key", &certified.signing_key.serialize_pem());
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_coatcheck")).parent().unwrap().to_owned();
    let envoy = peers::program("envoy").parent().unwrap().to_owned();
    let path = std::env::join_paths([program, envoy, "/usr/bin".into(), "/bin".into()]).unwrap();

    let page = page();
    let commands = commands(&page);
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let mut shell = Command::new("sh");
        let output =
            shell.args(["-ec", command]).current_dir(site.path()).env_clear().env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for target in ["envoy", "istio", "envoy-gateway"] {
        let text = std::fs::read_to_string(site.file(&format!("{target}.yaml"))).unwrap();
        assert!(!text.contains("PLACEHOLDER") && !text.contains("WARNING"), "{text}");
    }
}

#[test]
fn the_options_of_the_page_exist() {
    let site = Site::new(SHOP);
    let help: String = ["envoy", "istio", "envoy-gateway"]
        .iter()
        .map(|target| String::from_utf8(site.run(&["render", target, "--help"]).stdout).unwrap())
        .collect();
    let page = page();
    let is_option = |word: &&str| word.strip_prefix("--").is_some_and(|rest| rest.starts_with(char::is_alphabetic));
    let options: Vec<&str> = page.split([' ', '`', '\n']).filter(is_option).collect();
    assert!(options.len() > 5, "{options:?}");
    // Envoy's own.
    let missing: Vec<&&str> =
        options.iter().filter(|word| **word != "--mode" && !help.contains(&format!("{word} <"))).collect();
    assert!(missing.is_empty(), "{missing:?} not in\n{help}");
}
