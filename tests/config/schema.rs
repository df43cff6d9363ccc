//! The schema and the loader agree: what the schema says is held, and its defaults are the loader's.

use std::collections::BTreeSet;

use coatcheck::config;
use serde_json::{Value, json};

use crate::support::Site;

/// Schemas of all keys and items below a schema.
fn subschemas(schema: &Value) -> Vec<&Value> {
    let Value::Object(object) = schema else { return Vec::new() };
    let maps =
        ["properties", "$defs"].iter().filter_map(|key| object.get(*key)?.as_object()).flat_map(|map| map.values());
    let lists = ["anyOf", "oneOf"].iter().filter_map(|key| object.get(*key)?.as_array()).flatten();
    let single = ["items", "additionalProperties"].iter().filter_map(|key| object.get(*key));
    maps.chain(lists).chain(single).filter(|inner| inner.is_object()).collect()
}

fn walk<'s>(schema: &'s Value, visit: &mut dyn FnMut(&'s Value)) {
    visit(schema);
    for inner in subschemas(schema) {
        walk(inner, visit);
    }
}

#[test]
fn the_schema_uses_no_keyword_that_the_loader_does_not_hold() {
    let schema = config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let held = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "minProperties",
        "anyOf",
        "oneOf",
        "const",
        "enum",
        "minimum",
        "maximum",
        "$ref",
        "$defs",
    ];
    // Of a duration's pattern the loader is the stricter reader; formats repeat minimum and maximum.
    let notes = ["$schema", "title", "description", "default", "pattern", "format", "writeOnly"];
    let mut unknown = BTreeSet::new();
    walk(&schema, &mut |part| {
        let keywords = part.as_object().into_iter().flat_map(|part| part.keys());
        unknown.extend(keywords.filter(|key| !held.contains(&key.as_str()) && !notes.contains(&key.as_str())));
    });
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_mapping_refuses_unknown_keys_and_every_key_is_described() {
    let schema = config::schema();
    walk(&schema, &mut |part| {
        let Some(properties) = part.get("properties").and_then(Value::as_object) else { return };
        assert_eq!(part["additionalProperties"], Value::Bool(false), "{part}");
        for (name, property) in properties {
            let description = property.get("description").and_then(Value::as_str).unwrap_or_default();
            assert!(description.ends_with('.'), "{name}: {description:?}");
        }
    });
}

/// Defaults of the mapping with this name in the definitions.
fn defaults(schema: &Value, name: &str) -> Value {
    let properties = schema["$defs"][name]["properties"].as_object().unwrap();
    properties.iter().filter_map(|(key, of)| Some((key.clone(), of.get("default")?.clone()))).collect()
}

fn with(base: &Value, more: &Value) -> Value {
    let both = base.as_object().unwrap().iter().chain(more.as_object().unwrap());
    both.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// JSON is YAML, so that the defaults can be written out as the schema has them.
#[test]
fn writing_every_default_out_changes_nothing() {
    let schema = config::schema();
    let site = Site::new();
    let provider =
        json!({ "name": "main", "issuer": "https://id.example.com", "client_id": "c", "client_secret_file": "client" });
    let app = json!({ "name": "shop", "origin": "https://shop.example.com", "provider": "main" });
    let keys = json!([{ "id": 1, "file": "key-1" }]);
    let store = defaults(&schema, "store");
    let redis_only = ["prefix", "connections", "response_timeout", "connect_timeout"];
    let part = |keep: &dyn Fn(&str) -> bool| -> Value {
        store.as_object().unwrap().iter().filter(|(key, _)| keep(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let embedded = part(&|key| !redis_only.contains(&key));
    let redis = json!({ "kind": "redis", "url": "redis://localhost" });
    let spelled_redis = with(&redis, &part(&|key| redis_only.contains(&key)));
    let mut spelled_app = with(&app, &defaults(&schema, "app"));
    for section in ["upstream", "cookie", "session", "refresh", "login", "csrf", "logout"] {
        spelled_app[section] = defaults(&schema, section);
    }
    for (short, spelled) in [(json!({}), embedded), (redis, spelled_redis)] {
        let short = json!({ "store": short, "keys": keys, "providers": [provider], "apps": [app] });
        let spelled = json!({
            "store": spelled, "keys": keys,
            "listen": defaults(&schema, "listen"), "telemetry": defaults(&schema, "telemetry"), "limits": defaults(&schema, "limits"),
            "shutdown": defaults(&schema, "shutdown"),
            "providers": [with(&provider, &defaults(&schema, "provider"))], "apps": [spelled_app],
        });
        let (short, spelled) = (site.config(&short.to_string()), site.config(&spelled.to_string()));
        assert_eq!(format!("{short:#?}"), format!("{spelled:#?}"));
    }
}
