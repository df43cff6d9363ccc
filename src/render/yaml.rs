//! A small templating: YAML fragments with comments, and holes that are filled with values of known kinds.
//!
//! A hole is `<<name>>`. On a line of its own it takes lines, which are indented as it is (none: the line goes);
//! elsewhere it takes a value. A text is always quoted and escaped down to ASCII, so whatever it holds, it stays one
//! YAML scalar; what goes into a comment loses its line breaks. Lines that start with `##` are about the fragment
//! and are left out.

use std::fmt::{Display, Write};

/// A fragment, being filled.
pub(super) struct Fragment {
    template: &'static str,
    holes: Vec<(&'static str, Filling)>,
}

enum Filling {
    Inline(String),
    Lines(String),
}

impl Fragment {
    pub(super) fn new(template: &'static str) -> Self {
        Self { template, holes: Vec::new() }
    }

    /// A text of the configuration: a double-quoted scalar.
    pub(super) fn text(self, hole: &'static str, text: impl AsRef<str>) -> Self {
        self.inline(hole, quoted(text.as_ref()))
    }

    /// A list of texts, in brackets.
    pub(super) fn texts<T: AsRef<str>>(self, hole: &'static str, texts: impl IntoIterator<Item = T>) -> Self {
        let texts: Vec<String> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
        self.inline(hole, format!("[{}]", texts.join(", ")))
    }

    /// A port or another number.
    pub(super) fn number(self, hole: &'static str, number: impl Into<u64>) -> Self {
        let number: u64 = number.into();
        self.inline(hole, number.to_string())
    }

    /// Whole seconds, as every target writes them.
    pub(super) fn seconds(self, hole: &'static str, seconds: u64) -> Self {
        self.inline(hole, format!("{seconds}s"))
    }

    /// Something inside of a comment.
    pub(super) fn note(self, hole: &'static str, note: impl Display) -> Self {
        self.inline(hole, one_line(&note.to_string()))
    }

    /// Finished fragments, one below the other.
    pub(super) fn lines(mut self, hole: &'static str, lines: impl Into<String>) -> Self {
        self.holes.push((hole, Filling::Lines(lines.into())));
        self
    }

    fn inline(mut self, hole: &'static str, text: String) -> Self {
        self.holes.push((hole, Filling::Inline(text)));
        self
    }

    /// The text, ending with a line break.
    pub(super) fn done(&self) -> String {
        let mut out = String::with_capacity(self.template.len() * 2);
        for line in self.template.lines().filter(|line| !line.starts_with("##")) {
            match self.block(line) {
                Some((indent, lines)) => indented(lines, indent, &mut out),
                None => out.extend([self.inlined(line).as_str(), "\n"]),
            }
        }
        out
    }

    /// The indent and the filling of a line that is a hole for lines.
    fn block<'a>(&'a self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let name = rest.strip_prefix("<<")?.strip_suffix(">>")?;
        self.holes.iter().find_map(|(hole, filling)| match filling {
            Filling::Lines(lines) if *hole == name => Some((indent, lines.as_str())),
            Filling::Lines(_) | Filling::Inline(_) => None,
        })
    }

    /// Each hole once, from left to right: what a value holds is never taken for a hole.
    fn inlined(&self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some((before, name, after)) = next_hole(rest) {
            let found = self.holes.iter().find_map(|(hole, filling)| match filling {
                Filling::Inline(text) if *hole == name => Some(text.as_str()),
                Filling::Inline(_) | Filling::Lines(_) => None,
            });
            debug_assert!(found.is_some(), "nothing for the hole {name}");
            out.extend([before, found.unwrap_or("null")]);
            rest = after;
        }
        out + rest
    }
}

fn next_hole(line: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = line.split_once("<<")?;
    let (name, after) = rest.split_once(">>")?;
    Some((before, name, after))
}

fn indented(lines: &str, indent: &str, out: &mut String) {
    for line in lines.lines() {
        if !line.is_empty() {
            out.push_str(indent);
        }
        out.extend([line, "\n"]);
    }
}

/// A double-quoted scalar (YAML 1.2 §7.3.1), escaped to printable ASCII.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            // Writing to a String does not fail.
            _ if u32::from(c) <= 0xffff => drop(write!(out, "\\u{:04X}", u32::from(c))),
            _ => drop(write!(out, "\\U{:08X}", u32::from(c))),
        }
    }
    out + "\""
}

/// Without what YAML or a terminal might take for a line break or a command.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const TEMPLATE: &str = "\
## about it
# for <<note>>
a: <<text>> # <<note>>
list: { all: <<texts>>, port: <<port>>, timeout: <<wait>> }
below:
  <<more>>
  <<nothing>>
";

    fn filled(text: &str, texts: &[String], note: &str) -> String {
        let inner = Fragment::new("- one: <<text>>\n\n- two\n").text("text", text).done();
        let fragment = Fragment::new(TEMPLATE).text("text", text).texts("texts", texts).note("note", note);
        let fragment = fragment.number("port", 443_u16).seconds("wait", 5).lines("more", inner).lines("nothing", "");
        fragment.done()
    }

    #[test]
    fn holes_are_filled_and_lines_indented() {
        let expected = "\
# for a note
a: \"x\" # a note
list: { all: [\"y\", \"z\"], port: 443, timeout: 5s }
below:
  - one: \"x\"

  - two
";
        assert_eq!(filled("x", &["y".into(), "z".into()], "a note"), expected);
    }

    proptest! {
        #[test]
        fn whatever_a_text_holds_it_stays_that_text(text in ".*", texts in prop::collection::vec(any::<String>(), 0..3), note in any::<String>()) {
            let yaml = filled(&text, &texts, &note);
            prop_assert!(yaml.lines().count() == 8 - 1 && yaml.is_ascii() | !note.is_ascii(), "{yaml}");
            let read: Value = serde_saphyr::from_str(&yaml).map_err(|error| TestCaseError::fail(format!("{error}\n{yaml}")))?;
            let expected = json!({
                "a": text,
                "list": { "all": texts, "port": 443, "timeout": "5s" },
                "below": [{ "one": text }, "two"],
            });
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn what_looks_like_yaml_or_like_a_hole_is_only_text() {
        let nasty = ["\"\n- x: &a !!js \"", "<<port>>", "{{x}}\u{85}\u{2028}y: 1", "\u{1f600}\\", "# no", "*a", ""];
        for text in nasty {
            let read: Value = serde_saphyr::from_str(&filled(text, &[], text)).unwrap();
            assert_eq!(read["a"], text);
            assert_eq!(read["below"][0]["one"], text);
        }
    }
}
