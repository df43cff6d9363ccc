//! Whatever stands in a file, the loader answers with a configuration or with mistakes of its keys.

use serde_json::{Value, json};

use crate::facts::EVERYTHING;
use crate::support::{KEY, Site};

fn site() -> Site {
    let site = Site::new().env("REDIS_PASSWORD", "x").env("CLIENT_SECRET", "x");
    site.env("OLD_KEY", KEY)
}

/// The mistakes of a text; none when it loads. The backstop of the loader must never speak.
fn mistakes(site: &Site, yaml: &str) -> String {
    let text = site.load(yaml).map_or_else(|mistakes| mistakes.to_string(), |_| String::new());
    assert!(!text.contains("bug of coatcheck"), "{yaml}\n{text}");
    text
}

#[test]
fn a_file_cut_anywhere_is_answered() {
    let site = site();
    for end in (0..EVERYTHING.len()).step_by(23) {
        mistakes(&site, &EVERYTHING[..end]);
    }
}

#[test]
fn a_file_without_any_one_of_its_lines_is_answered() {
    let site = site();
    for without in 0..EVERYTHING.lines().count() {
        let lines = EVERYTHING.lines().enumerate().filter(|(at, _)| *at != without);
        let yaml: String = lines.map(|(_, line)| format!("{line}\n")).collect();
        mistakes(&site, &yaml);
    }
}

/// Every place of a value, with its key path.
fn places(value: &Value, pointer: String, path: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                let dot = if path.is_empty() { "" } else { "." };
                places(inner, format!("{pointer}/{name}"), format!("{path}{dot}{name}"), found);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                places(inner, format!("{pointer}/{at}"), format!("{path}[{at}]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found.push((pointer, path));
}

#[test]
fn a_value_of_a_wrong_type_is_a_mistake_of_its_own_key_and_of_no_other() {
    let site = site();
    let sound: Value = serde_saphyr::from_str(EVERYTHING).unwrap();
    let mut found = Vec::new();
    places(&sound, String::new(), String::new(), &mut found);
    assert!(found.len() > 90);
    for (pointer, path) in found {
        let mut broken = sound.clone();
        *broken.pointer_mut(&pointer).unwrap() = json!(null);
        let text = mistakes(&site, &broken.to_string());
        let expected = if path.is_empty() { "the file is empty".to_owned() } else { format!(": {path}: expected ") };
        let referred = path == "providers"
            || path.starts_with("providers[0]") && !path.contains('.')
            || path == "providers[0].name";
        assert!(text.contains(&expected), "{path}\n{text}");
        assert!(referred || text.lines().count() == 1, "{path}\n{text}");
        for junk in [json!(1.5), json!("\u{1}"), json!([{}]), json!({ "?": 1 })] {
            *broken.pointer_mut(&pointer).unwrap() = junk;
            mistakes(&site, &broken.to_string());
        }
    }
}
