//! Tables and properties of the cookie cutter.

use proptest::prelude::*;

use super::*;

const NAME: &str = "__Host-Http-coatcheck";

fn raw<'a>(lines: &[&'a str]) -> CookieText<'a> {
    CookieText::raw(lines.iter().map(|line| line.as_bytes()).collect())
}

fn replaced(cut: Cut) -> String {
    match cut {
        Cut::Replaced(rest) => rest,
        Cut::Removed => "(removed)".into(),
        Cut::Untouched => "(untouched)".into(),
    }
}

#[test]
fn our_cookies_are_cut_and_the_rest_stays_byte_for_byte() {
    for (line, rest) in [
        ("__Host-Http-coatcheck=t", "(removed)"),
        (" __Host-Http-coatcheck=t ;  ", "(removed)"),
        ("a=1; __Host-Http-coatcheck=t; b=2", "a=1; b=2"),
        ("__Host-Http-coatcheck=t; b=2", "b=2"),
        ("a=1; __Host-Http-coatcheck=t", "a=1"),
        ("a=1;__Host-Http-coatcheck=t;b=2", "a=1;b=2"),
        ("q=\"x,y\"; __Host-Http-coatcheck.a.AbC=z;  b=2 ;c", "q=\"x,y\";  b=2 ;c"),
        ("a=1;; __Host-Http-coatcheck=t;;b", "a=1;;;b"),
        ("a=1; b=2", "(untouched)"),
        ("__host-http-coatcheck=t", "(untouched)"),
        ("__Host-Http-coatcheckx=t", "(untouched)"),
        ("x=__Host-Http-coatcheck=t", "(untouched)"),
        ("", "(untouched)"),
    ] {
        assert_eq!(replaced(raw(&[line]).cut(NAME)), rest, "{line:?}");
    }
}

#[test]
fn several_lines_become_one() {
    let lines = ["a=1; __Host-Http-coatcheck=t", "q=\"x,y\"", "__Host-Http-coatcheck.o=s"];
    assert_eq!(replaced(raw(&lines).cut(NAME)), "a=1; q=\"x,y\"");
}

#[test]
fn comma_joined_lines_are_cut_at_our_cookies_only() {
    for (line, rest) in [
        ("a=1; q=\"x,y\",__Host-Http-coatcheck=t", "a=1; q=\"x,y\""),
        ("__Host-Http-coatcheck=t,b=2; c=3", "b=2; c=3"),
        ("a=1,__Host-Http-coatcheck=t; c=3", "a=1; c=3"),
        ("a=1,b=2", "(untouched)"),
    ] {
        assert_eq!(replaced(CookieText::joined(line.as_bytes(), Sender::Browser).cut(NAME)), rest, "{line:?}");
    }
}

#[test]
fn two_session_cookies_are_ambiguous_wherever_they_stand() {
    assert_eq!(raw(&["__Host-Http-coatcheck=a; __Host-Http-coatcheck=b"]).session(NAME), SessionCookie::Ambiguous);
    assert_eq!(raw(&["__Host-Http-coatcheck=a", "__Host-Http-coatcheck=a"]).session(NAME), SessionCookie::Ambiguous);
    let joined = CookieText::joined(b"__Host-Http-coatcheck=a,__Host-Http-coatcheck=b", Sender::Browser);
    assert_eq!(joined.session(NAME), SessionCookie::Ambiguous);
    let second: &[u8] = b"x=1,__Host-Http-coatcheck=a; b=2";
    let session = |line, sender| CookieText::joined(line, sender).session(NAME);
    assert_eq!(session(second, Sender::Browser), SessionCookie::Absent, "a browser's comma is inside a planted cookie");
    assert_eq!(session(second, Sender::Program), SessionCookie::One(b"a"), "a program's comma joins two lines");
    assert_eq!(session(b"__Host-Http-coatcheck=a,x=1", Sender::Browser), SessionCookie::One(b"a"));
    assert_eq!(raw(&["x=1; __Host-Http-coatcheck=a"]).session(NAME), SessionCookie::One(b"a"));
    assert_eq!(raw(&["x=1"]).session(NAME), SessionCookie::Absent);
}

#[test]
fn a_cookie_that_cannot_travel_is_dropped_only_when_we_must_rewrite() {
    let odd: &[u8] = b"bad=\xff; __Host-Http-coatcheck=t; ok=1";
    assert_eq!(replaced(CookieText::raw(vec![odd]).cut(NAME)), "ok=1");
    assert!(CookieText::raw(vec![b"bad=\xff"]).cut(NAME) == Cut::Untouched);
}

proptest! {
    #[test]
    fn never_panics_and_never_leaves_ours(line in proptest::collection::vec(any::<u8>(), 0..120), joined: bool) {
        let text = if joined { CookieText::joined(&line, Sender::Program) } else { CookieText::raw(vec![&line]) };
        let _ = text.session(NAME);
        if let Cut::Replaced(rest) = text.cut(NAME) {
            let again = if joined {
                CookieText::joined(rest.as_bytes(), Sender::Program)
            } else {
                CookieText::raw(vec![rest.as_bytes()])
            };
            prop_assert!(again.cut(NAME) == Cut::Untouched);
        }
    }

    #[test]
    fn other_cookies_survive_in_order(
        before in proptest::collection::vec("[a-z]{1,5}=[!-+\\--:<-~]{0,8}", 0..4),
        after in proptest::collection::vec("[a-z]{1,5}=[!-+\\--:<-~]{0,8}", 0..4),
    ) {
        let ours = format!("{NAME}=ticket");
        let all: Vec<&str> =
            before.iter().map(String::as_str).chain([ours.as_str()]).chain(after.iter().map(String::as_str)).collect();
        let others: Vec<&str> = before.iter().chain(&after).map(String::as_str).collect();
        let line = all.join("; ");
        let expected = if others.is_empty() { "(removed)".to_owned() } else { others.join("; ") };
        prop_assert_eq!(replaced(raw(&[&line]).cut(NAME)), expected);
    }
}
