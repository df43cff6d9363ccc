//! Tables and properties of targets and patterns.

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

#[test]
fn plain_targets_are_read_one_way() {
    for (raw, path) in [
        ("/", "/"),
        ("/a/b?x=/../..", "/a/b"),
        ("/a%20b", "/a b"),
        ("/caf%C3%A9", "/café"),
        ("/a/.well-known/x", "/a/.well-known/x"),
        ("/x?y#z", "/x"),
        ("/a:b@c,d", "/a:b@c,d"),
    ] {
        assert_eq!(Target::parse(raw), Some(Target::Plain(path.into())), "{raw}");
    }
}

#[test]
fn targets_that_are_no_path_are_refused() {
    for raw in ["", "a", "*", "http://x/y", "/a\r\nb", "/a%00b", "/a%2500", "/a\u{7f}", "/%0d%0a"] {
        assert_eq!(Target::parse(raw), None, "{raw:?}");
    }
}

#[test]
fn every_way_to_write_admin_has_a_reading_that_is_admin() {
    for raw in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E%2e/admin",
        "/public/..%2fadmin",
        "//admin",
        "/./admin",
        "/public/..;/admin",
        "/public;x=1/../admin",
        "/admin;jsessionid=1",
        "/public/..\\admin",
        "/public/..%5cadmin",
        "/public/%252e%252e/admin",
        "/public/..%252fadmin",
        "/%61dmin",
        "/admin#.css",
        "/admin%23.css",
        "/admin%3f.css",
        "/admin%3b.css",
        "/public//../admin",
        "\\admin",
        "/\\admin",
        "/public/%2e%2e%2fadmin",
        "/.//admin",
    ] {
        let Some(Target::Ambiguous(readings)) = Target::parse(raw) else {
            assert!(raw.starts_with('\\'), "{raw} is not ambiguous");
            continue;
        };
        assert!(readings.iter().any(|path| pattern("/admin").matches(path)), "{raw}: {readings:?}");
    }
}

#[test]
fn patterns_match_as_documented() {
    for (text, yes, no) in [
        ("/", vec!["/"], vec!["/a"]),
        ("/a", vec!["/a", "/a/"], vec!["/", "/a/b", "/A", "/ab"]),
        ("/a/*", vec!["/a/b", "/a/b/"], vec!["/a", "/a/b/c"]),
        ("/a/**", vec!["/a", "/a/", "/a/b", "/a/b/c"], vec!["/", "/ab", "/b/a"]),
        ("/**", vec!["/", "/a", "/a/b"], vec![]),
        ("/i/*.png", vec!["/i/x.png", "/i/.png"], vec!["/i/x.pngx", "/i/x/y.png"]),
        ("/i/a*b*c", vec!["/i/abc", "/i/a1b2c", "/i/abbc"], vec!["/i/acb", "/i/ab"]),
        ("/my file", vec!["/my file"], vec!["/my"]),
    ] {
        for path in yes {
            assert!(pattern(text).matches(path), "{text} should match {path}");
        }
        for path in no {
            assert!(!pattern(text).matches(path), "{text} should not match {path}");
        }
    }
}

#[test]
fn patterns_that_could_never_match_are_refused() {
    for text in ["", "a", "/a?b", "/a#b", "/%61", "/a//b", "/../a", "/a/**/b", "/a**", "/a;b", "/a\\b"] {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_pattern_prints_as_it_was_written() {
    for text in ["/", "/a", "/a/**", "/**", "/a/*.png"] {
        assert_eq!(pattern(text).to_string(), text);
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(raw in "\\PC{0,60}") {
        let _ = Target::parse(&raw);
        let _ = Pattern::parse(&raw);
    }

    #[test]
    fn plain_paths_hold_nothing_that_upstreams_read_differently(raw in "/[a-c./%;\\\\#?2eEfF05]{0,30}") {
        if let Some(Target::Plain(path)) = Target::parse(&raw) {
            prop_assert!(!path.contains("//") && !path.contains('\\') && !path.contains(';') && !path.contains('#'));
            prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
        }
    }
}
