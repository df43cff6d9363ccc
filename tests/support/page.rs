//! The little HTML the tests must read: a form to fill in, a page that navigates itself. It is a reader of
//! our own and the provider's simple pages, never a general HTML parser.

/// A form with its hidden fields.
#[derive(Clone, Debug)]
pub struct Form {
    pub action: String,
    pub method: String,
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// The form as `application/x-www-form-urlencoded`, with some fields set.
    pub fn filled(&self, values: &[(&str, &str)]) -> String {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.fields {
            let given = values.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
            encoded.append_pair(name, given.unwrap_or(value));
        }
        encoded.finish()
    }
}

/// The first form of a page.
pub fn form(html: &str) -> Option<Form> {
    let start = html.find("<form")?;
    let end = html[start..].find("</form").map_or(html.len(), |at| start + at);
    let text = &html[start..end];
    let head = &text[..text.find('>')?];
    let fields = tags(text, "<input").chain(tags(text, "<button"));
    Some(Form {
        action: attribute(head, "action").unwrap_or_default(),
        method: attribute(head, "method").unwrap_or_else(|| "get".to_owned()).to_ascii_uppercase(),
        fields: fields
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())))
            .collect(),
    })
}

/// Where `<meta http-equiv="refresh">` leads.
pub fn refresh_target(html: &str) -> Option<String> {
    let tag = tags(html, "<meta")
        .find(|tag| attribute(tag, "http-equiv").is_some_and(|value| value.eq_ignore_ascii_case("refresh")))?;
    let content = attribute(tag, "content")?;
    let at = content.to_ascii_lowercase().find("url=")?;
    Some(content[at + 4..].trim_matches(['\'', '"', ' ']).to_owned())
}

fn tags<'a>(html: &'a str, open: &'a str) -> impl Iterator<Item = &'a str> {
    html.match_indices(open).filter_map(move |(at, _)| {
        let end = html[at..].find('>')?;
        Some(&html[at..at + end])
    })
}

/// One attribute of a tag, quoted or bare, with the five usual entities resolved.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut from = 0;
    while let Some(found) = tag[from..].find(name) {
        let at = from + found;
        from = at + name.len();
        let before = tag[..at].chars().last();
        let Some(rest) = tag[from..].trim_start().strip_prefix('=') else { continue };
        if before.is_some_and(char::is_whitespace) {
            return Some(unescape(value(rest.trim_start())));
        }
    }
    None
}

fn value(rest: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = rest.strip_prefix(quote) {
            return inner.split(quote).next().unwrap_or_default();
        }
    }
    rest.split([' ', '/', '\n']).next().unwrap_or_default()
}

/// Resolves the named entities of HTML's syntax characters and numeric ones.
fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest.find(';').map(|end| &rest[1..end]);
        if let Some(character) = entity.and_then(character) {
            plain.push(character);
            rest = &rest[entity.map_or(1, |entity| entity.len() + 2)..];
        } else {
            plain.push('&');
            rest = &rest[1..];
        }
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
