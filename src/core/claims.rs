//! Claims about a user, kept as JSON text per name so that a check parses only what it reads.

use serde_json::Value;

/// The claims of a session, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Claims(Vec<(String, String)>);

impl Claims {
    /// Takes the members of a JSON object (an ID token's payload, a userinfo answer).
    #[must_use]
    pub fn from_object(object: &serde_json::Map<String, Value>) -> Self {
        Self(object.iter().map(|(name, value)| (name.clone(), value.to_string())).collect())
    }

    /// Takes names with values that are JSON text already.
    #[must_use]
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Names with their JSON text.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, json)| (name.as_str(), json.as_str()))
    }

    /// Adds claims that are not there yet: userinfo completes the ID token, it never overrules it.
    pub fn complete(&mut self, more: Self) {
        for (name, json) in more.0 {
            if !self.0.iter().any(|(known, _)| *known == name) {
                self.0.push((name, json));
            }
        }
    }

    /// A claim by name, or by dotted path into an object (`realm_access.roles`). A claim whose own
    /// name holds the dots (`https://example.com/roles`) wins over the path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Value> {
        if let Some(json) = self.raw(path) {
            return serde_json::from_str(json).ok();
        }
        let (first, rest) = path.split_once('.')?;
        let root: Value = serde_json::from_str(self.raw(first)?).ok()?;
        rest.split('.').try_fold(root, |value, part| match value {
            Value::Object(mut members) => members.remove(part),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        })
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, json)| json.as_str())
    }
}

/// Prints the names only: values are personal data.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
