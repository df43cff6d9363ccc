//! The dashboard and the alert rules under `k8s/observability/` name only what exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coatcheck::telemetry::metrics::{Definition, Kind, definitions};
use serde_json::Value;

const DASHBOARD: &str = "k8s/observability/grafana-dashboard.json";
const RULES: &str = "k8s/observability/rules.yaml";
const FOR_THE_OPERATOR: &str = "k8s/observability/prometheus-rule.yaml";

/// What Prometheus and Kubernetes put on every series.
const TARGET_LABELS: [&str; 5] = ["instance", "job", "le", "namespace", "pod"];

/// How `prometheus-rule.yaml` begins.
const HEADER: &str = "\
# The rules of rules.yaml for the Prometheus operator. Generated: COATCHECK_UPDATE_DOCS=1 cargo test --test telemetry rules
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: coatcheck
  labels: { app.kubernetes.io/name: coatcheck }
spec:
";

#[test]
fn every_expression_names_metrics_labels_and_values_that_exist() {
    let code = sources();
    let mut wrong = Vec::new();
    for (place, expression) in expressions() {
        let mut named = 0;
        for (metric, selector) in selectors(&expression) {
            named += 1;
            let Some(definition) = definition(metric) else {
                wrong.push(format!("{place}: no metric {metric}"));
                continue;
            };
            for (label, values) in matchers(selector) {
                if !has_label(definition, label) {
                    wrong.push(format!("{place}: {metric} has no label {label}"));
                }
                let words = values.split('|').filter(|value| !value.starts_with('$'));
                let unknown = words.filter(|value| !code.contains(&format!("\"{value}\"")));
                wrong.extend(unknown.map(|value| format!("{place}: {metric} never has {label}=\"{value}\"")));
            }
        }
        let unknown =
            groupings(&expression).into_iter().filter(|label| !definitions().iter().any(|it| has_label(it, label)));
        wrong.extend(unknown.map(|label| format!("{place}: no metric has the label {label}")));
        if named == 0 {
            wrong.push(format!("{place}: names no metric: {expression}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_metric_is_on_the_dashboard() {
    let shown: String = expressions()
        .into_iter()
        .filter(|(place, _)| place.starts_with(DASHBOARD))
        .map(|(_, text)| text + "\n")
        .collect();
    let shown: BTreeSet<&str> =
        selectors(&shown).into_iter().filter_map(|(name, _)| Some(definition(name)?.name)).collect();
    let existing: BTreeSet<&str> = definitions().iter().map(|definition| definition.name).collect();
    assert_eq!(shown, existing);
}

#[test]
fn the_operator_gets_the_same_rules() {
    let rules: String = read(RULES)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") })
        .collect();
    let expected = format!("{HEADER}{rules}");
    if std::env::var("COATCHECK_UPDATE_DOCS").is_ok_and(|value| value == "1") {
        std::fs::write(root().join(FOR_THE_OPERATOR), &expected).unwrap();
    }
    assert!(read(FOR_THE_OPERATOR) == expected, "COATCHECK_UPDATE_DOCS=1 writes {FOR_THE_OPERATOR}");
    let (plain, wrapped) = (yaml(RULES), yaml(FOR_THE_OPERATOR));
    assert_eq!(plain["groups"], wrapped["spec"]["groups"]);
}

#[test]
fn every_alert_leads_to_a_section_that_says_what_to_do() {
    let headings: BTreeSet<String> = read("docs/failures.md").lines().filter_map(anchor).collect();
    let mut names = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        let runbook = rule["annotations"]["runbook"].as_str().unwrap_or_default();
        let (page, section) = runbook.split_once('#').unwrap_or_default();
        assert!(page == "docs/failures.md" && headings.contains(section), "{name}: {runbook}");
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].as_str().is_some_and(|text| text.len() > 20), "{name} has a {text}");
        }
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(read("docs/observability.md").contains(&format!("`{name}`")), "{name} is not documented");
        assert!(names.insert(name.clone()), "{name} twice");
    }
}

/// Every query of both files, with its place.
fn expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        found.push((format!("{RULES}: {name}"), rule["expr"].as_str().unwrap().to_owned()));
    }
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().into_iter().flatten();
        let title = panel["title"].as_str().unwrap();
        found.extend(targets.map(|it| (format!("{DASHBOARD}: {title}"), it["expr"].as_str().unwrap().to_owned())));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            found.push((format!("{DASHBOARD}: ${}", variable["name"].as_str().unwrap()), query.to_owned()));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let name = annotation["name"].as_str().unwrap();
        found.push((format!("{DASHBOARD}: {name}"), annotation["expr"].as_str().unwrap().to_owned()));
    }
    assert!(found.len() > 30, "only {} expressions found", found.len());
    found
}

fn rules() -> Vec<Value> {
    let groups = yaml(RULES)["groups"].as_array().cloned().unwrap();
    groups.into_iter().flat_map(|group| group["rules"].as_array().cloned().unwrap()).collect()
}

/// Each metric of ours in an expression, and what stands in the braces behind it.
fn selectors(expression: &str) -> Vec<(&str, &str)> {
    let starts = expression.match_indices("coatcheck_").map(|(at, _)| at);
    let selector = |at: usize| {
        let rest = expression.get(at..).unwrap_or_default();
        let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let braced = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        (name, braced.map_or("", |(inside, _)| inside))
    };
    starts.map(selector).collect()
}

/// `a="b"`, `a=~"b|c"`: the label and what it is compared with. Our values hold no comma.
fn matchers(selector: &str) -> Vec<(&str, &str)> {
    let parts = selector.split(',').filter(|part| !part.trim().is_empty());
    parts
        .map(|part| {
            let (label, value) = part.split_once('"').unwrap_or_else(|| panic!("no value in {selector}"));
            (label.trim().trim_end_matches(['=', '~', '!']), value.trim_end_matches('"'))
        })
        .collect()
}

/// The labels in `by (…)` and `without (…)`.
fn groupings(expression: &str) -> Vec<&str> {
    let lists = expression.split(" by (").skip(1).chain(expression.split(" without (").skip(1));
    let lists = lists.filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',').map(str::trim)).collect()
}

fn definition(series: &str) -> Option<&'static Definition> {
    let of = |name: &str, kind: Option<Kind>| {
        definitions().iter().find(|it| it.name == name && kind.is_none_or(|kind| it.kind == kind))
    };
    let parts = ["_bucket", "_sum", "_count"];
    let histogram = || parts.iter().find_map(|part| of(series.strip_suffix(part)?, Some(Kind::Seconds)));
    of(series, None).filter(|it| it.kind != Kind::Seconds).or_else(histogram)
}

fn has_label(definition: &Definition, label: &str) -> bool {
    TARGET_LABELS.contains(&label) || definition.labels.iter().any(|known| known.name == Some(label))
}

/// How GitHub names the anchor of a heading.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix("## ").or_else(|| line.strip_prefix("# "))?;
    let kept = heading.to_lowercase().replace(|letter: char| !(letter.is_alphanumeric() || letter == ' '), "");
    Some(kept.replace(' ', "-"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All of `src/`: label values are words in the code.
fn sources() -> String {
    fn walk(folder: PathBuf) -> String {
        let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        entries.map(|path| if path.is_dir() { walk(path) } else { std::fs::read_to_string(path).unwrap() }).collect()
    }
    walk(root().join("src"))
}
