//! `coatcheck render` as a person runs it.

use crate::site::{SHOP, Site, TWO};

const TARGETS: [&str; 3] = ["envoy", "istio", "envoy-gateway"];

fn outcome(site: &Site, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = site.run(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_configuration_that_check_refuses_is_refused_in_the_same_words() {
    let site = Site::new(&format!("listn: {{}}\nshutdwn: {{}}\n{SHOP}"));
    let refused = outcome(&site, &["check"]);
    assert_eq!((refused.0, refused.1.as_str()), (Some(1), ""));
    assert!(refused.2.contains("did you mean `listen`?") && refused.2.contains("2 mistakes"), "{}", refused.2);
    for target in TARGETS {
        assert_eq!(outcome(&site, &["render", target]), refused);
    }
}

#[test]
fn warnings_of_the_configuration_go_to_standard_error() {
    let lax = SHOP.replace("provider: main }", "provider: main, cookie: { same_site: lax } }");
    let (code, stdout, stderr) = outcome(&Site::new(&lax), &["render", "envoy"]);
    assert_eq!(code, Some(0));
    assert!(stderr.starts_with("warning: ") && !stdout.contains("same_site"), "{stderr}");
}

#[test]
fn a_wrong_command_line_is_told_from_a_configuration_that_cannot_be_rendered() {
    let site = Site::new(SHOP);
    for wrong in [
        ["render", "nginx"].as_slice(),
        &["render"],
        &["render", "envoy", "--tls-cert", "only-one.pem"],
        &["render", "envoy", "--upstream", "shop"],
        &["render", "envoy", "--address", "a b"],
        &["render", "istio", "--namespace", "Not_A_Name"],
    ] {
        assert_eq!(outcome(&site, wrong).0, Some(2), "{wrong:?}");
    }
    let stderr = |arguments: &[&str], code| {
        let found = outcome(&site, arguments);
        assert_eq!((found.0, found.1.as_str()), (Some(code), ""), "{arguments:?}");
        found.2
    };
    assert_eq!(
        stderr(&["render", "envoy", "--upstream", "shp=h:1"], 2),
        "coatcheck: --upstream shp=…: the configuration has no app `shp`; it has shop\n"
    );
    assert!(stderr(&["render", "istio", "--upstream", "shop=h:1", "--upstream", "shop=i:1"], 2).contains("twice"));
    assert!(
        stderr(&["render", "envoy-gateway", "--upstream", "shop=10.0.0.1:1"], 2).contains("service.namespace:port")
    );

    let unrenderable = [
        ("listen: { grpc: 127.0.0.1:0 }", "envoy", "listen.grpc has port 0"),
        ("listen: { grpc: \"unix:/a\" }", "istio", "listen.grpc is a Unix socket"),
        ("listen: { http: \"unix:/a\" }", "envoy-gateway", "listen.http is a Unix socket"),
    ];
    for (section, target, expected) in unrenderable {
        let site = Site::new(&format!("{section}\n{SHOP}"));
        let (code, stdout, stderr) = outcome(&site, &["render", target]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains(expected), "{stderr}");
    }
    let address = Site::new(&SHOP.replace("https://shop.example.com", "https://192.0.2.1"));
    assert!(outcome(&address, &["render", "istio"]).2.contains("no origin with a host name"));
}

#[test]
fn the_same_configuration_gives_the_same_text() {
    for target in TARGETS {
        assert_eq!(Site::new(TWO).text(&[target]), Site::new(TWO).text(&[target]));
    }
}

#[test]
fn the_top_names_the_version_and_the_file() {
    for target in TARGETS {
        let text = Site::new(TWO).text(&[target, "-c", "./coatcheck.yaml"]);
        let top: String = text.lines().take_while(|line| line.starts_with('#')).collect();
        let version = format!("(version {})", env!("CARGO_PKG_VERSION"));
        assert!(top.contains(&version) && top.contains("./coatcheck.yaml"), "{top}");
    }
}

#[test]
fn help_tells_every_option_and_gives_examples() {
    let site = Site::new(SHOP);
    let help = |arguments: &[&str]| outcome(&site, arguments).1;
    assert!(help(&["--help"]).contains("render"));
    for target in TARGETS {
        assert!(help(&["render", "--help"]).contains(target));
        let text = help(&["render", target, "--help"]);
        for word in ["--config", "--upstream", "Example", &format!("coatcheck render {target}")] {
            assert!(text.contains(word), "{word} is not in\n{text}");
        }
    }
}
