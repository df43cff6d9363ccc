//! The documentation of the configuration: its tables are the schema's, its examples load.
//!
//! After a change of a key or its description: `COATCHECK_UPDATE_DOCS=1 cargo test --test config docs` rewrites the
//! tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coatcheck::config;
use serde_json::Value;

use crate::support::{APPS, KEY, PROVIDERS, Site};

const MARK: &str = "<!-- keys: ";
const HEAD: &str = "| key | value | default | meaning |\n| --- | --- | --- | --- |\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")
}

/// A table per mapping, by the key path of the mapping.
struct Tables {
    schema: Value,
    tables: BTreeMap<String, String>,
}

impl Tables {
    fn new() -> Self {
        let mut tables = Self { schema: config::schema(), tables: BTreeMap::new() };
        let root = tables.schema.clone();
        tables.mapping("", &root);
        tables
    }

    fn resolve(&self, schema: &Value) -> Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|at| self.schema.pointer(&at[1..]));
        target.unwrap_or(schema).clone()
    }

    fn mapping(&mut self, path: &str, schema: &Value) {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut table = HEAD.to_owned();
        for (name, property) in schema["properties"].as_object().unwrap() {
            let inner = self.resolve(property);
            let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let default = match property.get("default").filter(|_| inner["properties"].is_null()) {
                Some(default) => shown(default),
                None if required.contains(&name.as_str()) => "**required**".to_owned(),
                None => "–".to_owned(),
            };
            let meaning = property["description"].as_str().unwrap();
            table += &format!("| `{key}` | {} | {default} | {meaning}{} |\n", self.kind(property), words(&inner));
            self.below(&key, &inner);
        }
        self.tables.insert(path.to_owned(), table);
    }

    /// The mappings inside a value.
    fn below(&mut self, key: &str, schema: &Value) {
        let inside = [
            (key.to_owned(), schema.clone()),
            (format!("{key}[]"), self.resolve(&schema["items"])),
            (format!("{key}.NAME"), self.resolve(&schema["additionalProperties"])),
        ];
        for (path, schema) in inside.into_iter().filter(|(_, schema)| schema["properties"].is_object()) {
            // Rules stand in two places; one table is enough.
            if !path.ends_with(".NAME.rules[]") {
                self.mapping(&path, &schema);
            }
        }
    }

    fn kind(&self, schema: &Value) -> String {
        if schema["$ref"] == "#/$defs/duration" {
            return "duration".to_owned();
        }
        let schema = self.resolve(schema);
        if let Some(choices) = schema["anyOf"].as_array() {
            let kinds: Vec<String> = choices.iter().map(|choice| self.kind(choice)).collect();
            return kinds.join(" or ");
        }
        match schema["type"].as_str() {
            Some("array") => format!("list of {}", self.kind(&schema["items"])),
            Some("object") if schema["properties"].is_object() => "mapping".to_owned(),
            Some("object") => format!("mapping of name to {}", self.kind(&schema["additionalProperties"])),
            Some("string") => "text".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            _ => "word".to_owned(),
        }
    }
}

/// What a word of an enumeration means.
fn words(schema: &Value) -> String {
    let described = schema["oneOf"].as_array().into_iter().flatten();
    let plain = schema["enum"].as_array().or_else(|| schema["items"]["enum"].as_array()).into_iter().flatten();
    let described = described.chain(schema["items"]["oneOf"].as_array().into_iter().flatten());
    let mut text = String::new();
    for word in described {
        let about = word["description"].as_str().unwrap_or_default().trim_end_matches('.');
        text += &format!("<br>`{}`: {about}", word["const"].as_str().unwrap());
    }
    let plain: Vec<String> = plain.filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
    if !plain.is_empty() {
        text += &format!("<br>One of {}", plain.join(", "));
    }
    text
}

fn shown(default: &Value) -> String {
    match default {
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!("`[{}]`", items.join(", "))
        }
        other => format!("`{other}`"),
    }
}

/// The page with each marked table replaced by the schema's.
fn rewritten(page: &str, tables: &mut BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        out += line;
        out.push('\n');
        let Some(path) = line.strip_prefix(MARK).and_then(|rest| rest.strip_suffix(" -->")) else { continue };
        let path = if path == "top level" { "" } else { path };
        out += &tables.remove(path).unwrap_or_else(|| panic!("the schema has no mapping `{path}`"));
        while lines.next_if(|line| line.starts_with('|')).is_some() {}
    }
    out
}

#[test]
fn the_tables_hold_every_key_of_the_schema_and_no_other() {
    let mut tables = Tables::new().tables;
    let text = std::fs::read_to_string(page()).unwrap();
    let expected = rewritten(&text, &mut tables);
    assert!(tables.is_empty(), "no table for {:?}", tables.keys());
    if std::env::var_os("COATCHECK_UPDATE_DOCS").is_some() {
        std::fs::write(page(), &expected).unwrap();
        return;
    }
    for (have, want) in text.lines().zip(expected.lines()) {
        assert_eq!(
            have, want,
            "docs/configuration.md is behind the schema; COATCHECK_UPDATE_DOCS=1 rewrites its tables"
        );
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}

/// The YAML blocks of the page, and whether each is a whole file.
fn blocks(page: &str) -> Vec<(bool, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```yaml") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            blocks.push((info.trim() == "complete", body.join("\n") + "\n"));
        }
    }
    blocks
}

/// Secrets and certificates where the examples look for them.
fn site() -> Site {
    let certified = rcgen::generate_simple_self_signed(["redis".to_owned()]).unwrap();
    let site = ["CLIENT_SECRET", "DEMO_CLIENT_SECRET", "REDIS_PASSWORD"]
        .iter()
        .fold(Site::new(), |site, name| site.env(name, "x"));
    let site = site.env("COATCHECK_KEY", KEY).file("redis", "x").file("key-2", KEY);
    let site = site.file("ca.pem", &certified.cert.pem()).file("redis.crt", &certified.cert.pem());
    site.file("redis.key", &certified.signing_key.serialize_pem())
}

#[test]
fn every_example_of_the_page_loads() {
    let site = site();
    let blocks = blocks(&std::fs::read_to_string(page()).unwrap());
    assert!(blocks.iter().filter(|(complete, _)| *complete).count() >= 2);
    for (complete, block) in blocks {
        let mut yaml = block.replace("/secrets/", &format!("{}/", site.directory().display()));
        for (key, rest) in [("providers:", PROVIDERS), ("apps:", APPS)] {
            if !complete && !yaml.lines().any(|line| line.starts_with(key)) {
                yaml += rest;
            }
        }
        site.config(&yaml);
    }
}

#[test]
fn the_laptop_configuration_has_ten_lines_and_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/laptop.yaml");
    let yaml = std::fs::read_to_string(path).unwrap();
    assert!(yaml.lines().count() <= 10);
    let (config, warnings) = site().load(&yaml).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert!(config.apps.by_host("localhost:10000").is_some());
}
