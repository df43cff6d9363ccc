//! The JSON Schema (draft 2020-12) of the configuration, generated from [`super::raw`].

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;

use super::raw::Root;

/// The schema: for editors, and for `shape`, which holds every file against it.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(tidy));
    settings.into_generator().into_root_schema_for::<Root>().to_value()
}

/// An optional key is left out, never null: an empty `claims:` must not read as "no claims needed". Lines of a
/// description are joined.
fn tidy(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    match object.get_mut("default") {
        Some(Value::Null) => drop(object.remove("default")),
        Some(Value::Object(section)) => section.retain(|_, value| !value.is_null()),
        _ => {}
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(mut choices)) = object.remove("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|kind| kind != "null"));
        match choices.as_slice() {
            [Value::Object(only)] => object.extend(only.clone()),
            _ => drop(object.insert("anyOf".to_owned(), Value::Array(choices))),
        }
    }
}
