//! Path rules: which requests need a session, and what its claims must hold.
//!
//! Rules match the path without query or fragment; the first match wins; without a match a session
//! is required. A path that an upstream might read otherwise is judged by the strictest of its
//! readings (see [`super::path`]).

use super::claims::Claims;
use super::path::{Pattern, Target};

/// The rules of an app, or of a named policy of it.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The paths it is for; any of them.
    pub paths: Vec<Pattern>,
    /// The methods it is for, upper case; all when empty. `GET` includes `HEAD`.
    pub methods: Vec<String>,
    /// What it asks of the request.
    pub demand: Demand,
}

/// What a rule asks of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// Public: forwarded without identity; the store is not asked.
    Nothing,
    /// Forwarded with identity where there is a session, else without.
    Optional,
    /// A session whose claims hold all of these.
    Session(Vec<RequiredClaim>),
}

/// A claim that must hold one of some values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredClaim {
    /// Claim name or dotted path.
    pub claim: String,
    /// The values, any of which will do; compared exactly, case included.
    pub values: Vec<String>,
}

impl Policy {
    /// A policy of these rules, first match first.
    #[must_use]
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The rules, first match first.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the policy asks of a request: for an ambiguous target the strictest of all readings, and
    /// never less than a session.
    #[must_use]
    pub fn demand(&self, method: &str, target: &Target) -> Demand {
        match target {
            Target::Plain(path) => self.first_match(method, path).cloned().unwrap_or(Demand::Session(Vec::new())),
            Target::Ambiguous(readings) => Demand::Session(
                readings.iter().filter_map(|path| self.first_match(method, path)).flat_map(Demand::claims).fold(
                    Vec::new(),
                    |mut all: Vec<RequiredClaim>, claim| {
                        if !all.contains(claim) {
                            all.push(claim.clone());
                        }
                        all
                    },
                ),
            ),
        }
    }

    fn first_match(&self, method: &str, path: &str) -> Option<&Demand> {
        self.rules.iter().find(|rule| rule.matches(method, path)).map(|rule| &rule.demand)
    }
}

impl Rule {
    fn matches(&self, method: &str, path: &str) -> bool {
        self.takes_method(method) && self.paths.iter().any(|pattern| pattern.matches(path))
    }

    fn takes_method(&self, method: &str) -> bool {
        self.methods.is_empty()
            || self.methods.iter().any(|known| known == method || (known == "GET" && method == "HEAD"))
    }
}

impl Demand {
    fn claims(&self) -> &[RequiredClaim] {
        match self {
            Self::Nothing | Self::Optional => &[],
            Self::Session(claims) => claims,
        }
    }
}

impl RequiredClaim {
    /// Whether the claim is there and holds one of the values: a string equal to one, or a list with
    /// such a string in it. Numbers and booleans compare by their JSON text.
    #[must_use]
    pub fn holds(&self, claims: &Claims) -> bool {
        claims.get(&self.claim).is_some_and(|value| match value {
            serde_json::Value::Array(items) => items.iter().any(|item| self.accepts(item)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_)
            | serde_json::Value::Object(_) => self.accepts(&value),
        })
    }

    fn accepts(&self, value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => self.values.iter().any(|wanted| wanted == text),
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
                let text = value.to_string();
                self.values.contains(&text)
            }
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => false,
        }
    }
}
