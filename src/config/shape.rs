//! Holds the tree of a file against the schema: unknown keys, wrong types, unknown words, missing keys.
//!
//! What is mistaken is reported and left out, so that the rest can still be built and *its* mistakes are
//! reported in the same run. Replaces `${NAME}` on the way. Covers the part of JSON Schema that our own schema
//! uses; a test holds that.

use serde_json::{Map, Value as Json};

use super::report::Scope;
use super::source::{Environment, interpolate};
use super::tree::{Entry, Node, Value};

/// Keys that people look for and that do not exist on purpose.
const REFUSED: [(&str, &str); 3] = [
    ("domain", "the cookie never has a Domain: it belongs to one host"),
    ("secure", "the cookie is always Secure"),
    ("http_only", "the cookie is always HttpOnly"),
];

/// The schema, and where `${NAME}` comes from.
pub(super) struct Shape<'a> {
    pub(super) schema: &'a Json,
    pub(super) environment: &'a dyn Environment,
}

impl Shape<'_> {
    /// The whole file as JSON, without what is mistaken. `None` when it is no mapping.
    pub(super) fn root(&self, node: &Node, at: &Scope<'_>) -> Option<Json> {
        if let Value::Null = node.value {
            at.locate(1);
            at.mistake("the file is empty: write `providers` and `apps` at least");
            return None;
        }
        self.value(&node.value, node.line, self.schema, at)
    }

    /// `None` when the value is mistaken; that has been reported then. The line is that of the key where there is
    /// one: a block value starts below it.
    fn value(&self, value: &Value, line: u64, schema: &Json, at: &Scope<'_>) -> Option<Json> {
        let schema = self.resolve(schema);
        at.locate(line);
        let Some(schema) = self.choose(value, schema) else {
            mismatch(value, &self.expected(schema), at);
            return None;
        };
        match value {
            Value::Null => None,
            Value::Flag(flag) => Some(Json::Bool(*flag)),
            Value::Number(number) => {
                in_range(number, schema, at)?;
                Some(Json::Number(number.clone()))
            }
            Value::Text(text) => self.text(text, line, schema, at),
            Value::List(items) => self.list(items, schema, at),
            Value::Map(entries) if entries.is_empty() && schema.get("minProperties").is_some() => {
                at.mistake("the mapping is empty: it takes at least one entry");
                None
            }
            Value::Map(entries) => Some(Json::Object(self.map(entries, schema, at))),
        }
    }

    /// Follows a reference into the definitions.
    fn resolve<'s>(&'s self, schema: &'s Json) -> &'s Json {
        let target =
            schema.get("$ref").and_then(Json::as_str).and_then(|at| self.schema.pointer(at.trim_start_matches('#')));
        target.unwrap_or(schema)
    }

    /// The alternative of the schema that is for a value of this kind.
    fn choose<'s>(&'s self, value: &Value, schema: &'s Json) -> Option<&'s Json> {
        if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
            return choices.iter().find_map(|choice| self.choose(value, self.resolve(choice)));
        }
        self.kinds(schema).iter().any(|kind| is_of(value, kind)).then_some(schema)
    }

    /// The JSON types a schema allows.
    fn kinds<'s>(&'s self, schema: &'s Json) -> Vec<&'s str> {
        let schema = self.resolve(schema);
        let choices = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Json::as_array);
        if let Some(choices) = choices {
            return choices.iter().flat_map(|choice| self.kinds(choice)).collect();
        }
        match schema.get("type") {
            Some(Json::String(kind)) => vec![kind],
            Some(Json::Array(kinds)) => kinds.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// "text or a list", for messages.
    fn expected(&self, schema: &Json) -> String {
        let mut names: Vec<&str> = Vec::new();
        for kind in self.kinds(schema) {
            let name = match kind {
                "string" => "text",
                "integer" => "a whole number",
                "number" => "a number",
                "boolean" => "true or false",
                "array" => "a list",
                "object" => "a mapping",
                other => other,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(" or ")
    }

    fn text(&self, text: &str, line: u64, schema: &Json, at: &Scope<'_>) -> Option<Json> {
        let (value, from_environment) = at.check(interpolate(text, self.environment))?;
        at.locate_text(line, text, from_environment);
        let words = words(schema);
        if !words.is_empty() && !words.contains(&value.as_str()) {
            let hint = nearest(&value, words.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            at.mistake(format!("{} is not one of {}{}", at.quote(), words.join(", "), hint.unwrap_or_default()));
            return None;
        }
        Some(Json::String(value))
    }

    /// A mistaken scalar takes its list with it; a mistaken mapping leaves an empty one, so that the paths of
    /// those after it stay right.
    fn list(&self, items: &[Node], schema: &Json, at: &Scope<'_>) -> Option<Json> {
        let min = schema.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        if (items.len() as u64) < min {
            at.mistake("the list is empty: it takes at least one entry");
            return None;
        }
        let of = schema.get("items").unwrap_or(&Json::Null);
        let of_maps = self.kinds(of).contains(&"object");
        let found: Vec<Option<Json>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.value(&item.value, item.line, of, &at.item(index)))
            .collect();
        let found = found.into_iter().map(|item| item.or_else(|| of_maps.then(|| Json::Object(Map::new()))));
        found.collect::<Option<Vec<_>>>().map(Json::Array)
    }

    fn map(&self, entries: &[Entry], schema: &Json, at: &Scope<'_>) -> Map<String, Json> {
        let mut found = Map::new();
        let mut seen: Vec<&Entry> = Vec::new();
        for entry in entries {
            if let Some(first) = seen.iter().find(|first| first.key == entry.key) {
                let message = format!("stands twice; the first is on line {}: keep one", first.line);
                at.key(&entry.key).mistake_at(entry.line, message);
                continue;
            }
            seen.push(entry);
            let inner = at.key(&entry.key);
            if let Some(of) = of_key(&entry.key, schema) {
                if let Some(value) = self.value(&entry.node.value, entry.line, of, &inner) {
                    found.insert(entry.key.clone(), value);
                }
            } else {
                inner.mistake_at(entry.line, unknown(&entry.key, schema));
            }
        }
        report_missing(&seen, schema, at);
        found
    }
}

fn report_missing(seen: &[&Entry], schema: &Json, at: &Scope<'_>) {
    let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    for name in required.filter(|name| !seen.iter().any(|entry| entry.key == *name)) {
        let about = schema.pointer(&format!("/properties/{name}/description")).and_then(Json::as_str);
        at.key(name).mistake(format!("is missing: {}", gist(about.unwrap_or_default())));
    }
}

/// The first clause of a description.
fn gist(description: &str) -> String {
    let end = [". ", ": ", "; ", " ("].iter().filter_map(|stop| description.find(stop)).min();
    let clause = &description[..end.unwrap_or(description.len())];
    let mut letters = clause.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// The schema of one key: a known one, or the one for all keys of a free mapping.
fn of_key<'s>(key: &str, schema: &'s Json) -> Option<&'s Json> {
    let known = schema.get("properties").and_then(|known| known.get(key));
    known.or_else(|| schema.get("additionalProperties").filter(|any| any.is_object()))
}

fn unknown(key: &str, schema: &Json) -> String {
    if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == key.to_ascii_lowercase()) {
        return format!("unknown key; {why}");
    }
    let known: Vec<&str> = schema
        .get("properties")
        .and_then(Json::as_object)
        .map(|known| known.keys().map(String::as_str).collect())
        .unwrap_or_default();
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// The words of an enumeration, with or without a description each.
fn words(schema: &Json) -> Vec<&str> {
    let alternatives = schema.get("oneOf").and_then(Json::as_array).into_iter().flatten();
    let described = alternatives.flat_map(words);
    let single = schema.get("const").and_then(Json::as_str);
    let plain = schema.get("enum").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    described.chain(single).chain(plain).collect()
}

fn mismatch(value: &Value, expected: &str, at: &Scope<'_>) {
    let advice = match value {
        Value::Null => ": give a value, or remove the key",
        Value::Number(_) | Value::Flag(_) if expected.contains("text") => ": put it in quotes",
        Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => "",
    };
    at.mistake(format!("expected {expected}, found {}{advice}", value.kind()));
}

fn is_of(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => false,
        Value::Flag(_) => kind == "boolean",
        Value::Number(number) => kind == "number" || (kind == "integer" && !number.is_f64()),
        Value::Text(_) => kind == "string",
        Value::List(_) => kind == "array",
        Value::Map(_) => kind == "object",
    }
}

fn in_range(number: &serde_json::Number, schema: &Json, at: &Scope<'_>) -> Option<()> {
    let limit = |name: &str| schema.get(name).and_then(Json::as_f64);
    let value = number.as_f64()?;
    let low = limit("minimum").is_some_and(|minimum| value < minimum);
    let high = limit("maximum").is_some_and(|maximum| value > maximum);
    if !low && !high {
        return Some(());
    }
    let shown = |name: &str| schema.get(name).map_or_else(|| "…".to_owned(), Json::to_string);
    at.mistake(format!("{number} is out of range: {} to {}", shown("minimum"), shown("maximum")));
    None
}

/// The known name that a mistyped one most likely means: at most half of its letters differ.
pub(super) fn nearest<'n>(typed: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
    let typed = plain(typed);
    let scored = known.map(|name| (distance(&typed, &plain(name)), name));
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance * 2 <= name.len()).then_some(name)
}

/// Letters to insert, delete or replace to make one name of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let costs = row.iter().skip(1).zip(&b).map(|(up, to)| {
            let cost = (diagonal + usize::from(from != *to)).min(up + 1).min(left + 1);
            (diagonal, left) = (*up, cost);
            cost
        });
        let next: Vec<usize> = std::iter::once(i + 1).chain(costs).collect();
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
