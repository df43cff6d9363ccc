//! `rules` and `policies` of an app.

use std::collections::{BTreeMap, HashMap};

use crate::config::raw::OneOrMany;
use crate::config::raw::app::{ClaimValue, NamedPolicy, Need, Rule as RawRule};
use crate::config::report::Scope;
use crate::config::value;
use crate::core::path::Pattern;
use crate::core::policy::{Demand, Policy, RequiredClaim, Rule};

pub(super) fn policies(raw: BTreeMap<String, NamedPolicy>, at: &Scope<'_>) -> Option<HashMap<String, Policy>> {
    let count = raw.len();
    let built: HashMap<String, Policy> = raw
        .into_iter()
        .filter_map(|(name, policy)| {
            let at = at.key(&name);
            let named = at.check(value::name(&name));
            let rules = policy.rules.and_then(|rules| self::policy(rules, &at.key("rules")));
            Some((named?, rules?))
        })
        .collect();
    (built.len() == count).then_some(built)
}

pub(super) fn policy(raw: Vec<RawRule>, at: &Scope<'_>) -> Option<Policy> {
    let count = raw.len();
    warn_of_shadows(&raw, at);
    let rules: Vec<Rule> = raw.into_iter().enumerate().filter_map(|(index, raw)| rule(raw, &at.item(index))).collect();
    (rules.len() == count).then(|| Policy::new(rules))
}

fn rule(raw: RawRule, at: &Scope<'_>) -> Option<Rule> {
    let paths = raw.paths.and_then(|paths| patterns(&paths, &at.key("paths")));
    let methods = methods(raw.methods, &at.key("methods"));
    let demand = match raw.session {
        Need::Required => Demand::Session(claims(raw.claims)),
        Need::Optional | Need::None if at.key("claims").is_written() => {
            at.key("claims").mistake("claims need a session: remove them, or write `session: required`");
            return None;
        }
        Need::Optional => Demand::Optional,
        Need::None => Demand::Nothing,
    };
    Some(Rule { paths: paths?, methods: methods?, demand })
}

fn patterns(paths: &[String], at: &Scope<'_>) -> Option<Vec<Pattern>> {
    let parsed: Vec<Option<Pattern>> =
        paths.iter().enumerate().map(|(index, path)| at.item(index).check(Pattern::parse(path))).collect();
    parsed.into_iter().collect()
}

fn methods(raw: Option<Vec<String>>, at: &Scope<'_>) -> Option<Vec<String>> {
    // `None` though there is something: mistaken. Taking it for "all methods" would widen the rule.
    if raw.is_none() && at.is_written() {
        return None;
    }
    let methods = raw.unwrap_or_default();
    let mut fit = true;
    for (index, method) in methods.iter().enumerate() {
        let at = at.item(index);
        if !value::is_token(method) {
            at.mistake("is not a method, as `GET` or `POST`");
            fit = false;
        } else if method.chars().any(|c| c.is_ascii_lowercase()) {
            at.mistake(format!("methods are upper case: write `{}`", method.to_ascii_uppercase()));
            fit = false;
        }
    }
    fit.then_some(methods)
}

fn claims(raw: BTreeMap<String, OneOrMany<ClaimValue>>) -> Vec<RequiredClaim> {
    let claims = raw.into_iter().map(|(claim, values)| {
        let values = match values {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
        };
        RequiredClaim { claim, values: values.into_iter().map(text).collect() }
    });
    claims.collect()
}

fn text(value: ClaimValue) -> String {
    match value {
        ClaimValue::Text(text) => text,
        ClaimValue::Flag(flag) => flag.to_string(),
        ClaimValue::Whole(number) => number.to_string(),
    }
}

/// Warns of rules for paths that the login routes answer themselves: a rule there protects or opens nothing.
pub(super) fn warn_of_login_routes(rules: &[RawRule], prefix: &str, at: &Scope<'_>) {
    for (index, rule) in rules.iter().enumerate() {
        let at = at.item(index).key("paths");
        for (index, path) in rule.paths.iter().flatten().enumerate() {
            if path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                at.item(index).warn(format!("never used: everything below {prefix} is answered by the login routes"));
            }
        }
    }
}

/// Warns of a rule that an earlier one for everything hides.
fn warn_of_shadows(rules: &[RawRule], at: &Scope<'_>) {
    let takes_all = |rule: &RawRule| {
        rule.methods.is_none() && rule.paths.as_ref().is_some_and(|paths| paths.iter().any(|path| path == "/**"))
    };
    let Some(all) = rules.iter().position(takes_all) else { return };
    for index in all + 1..rules.len() {
        at.item(index).warn(format!("never used: rules[{all}] takes every path"));
    }
}
