//! `apps`.

mod clash;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{rules, span};
use crate::config::raw::OneOrMany;
use crate::config::raw::app::{self as raw, App as RawApp};
use crate::config::raw::provider::Provider;
use crate::config::report::Scope;
use crate::config::shape::nearest;
use crate::config::value;
use crate::core::app::{
    App, Apps, Authorization, BindMismatch, ClaimHeader, CookieSettings, CsrfSettings, LoginMode, LoginSettings,
    Origin, SameSite, SessionSettings, Upstream,
};

/// The providers that apps may refer to.
struct Known<'a> {
    /// Their scopes by name.
    scopes: HashMap<&'a str, &'a [String]>,
    /// The names that stand in the file, for hints: what the environment holds is never shown.
    shown: Vec<&'a str>,
}

/// `root` is the top level: an app refers to the providers.
pub(super) fn apps(raw: Vec<RawApp>, providers: &[Provider], root: &Scope<'_>) -> Option<Apps> {
    let known = known(providers, &root.key("providers"));
    let mut names = HashSet::new();
    let mut seen = clash::Seen::default();
    let mut built = Vec::new();
    let count = raw.len();
    for (index, app) in raw.into_iter().enumerate() {
        let at = root.key("apps").item(index);
        if app.name.as_ref().is_some_and(|name| !names.insert(name.clone())) {
            at.key("name").mistake("another app has this name: names are never used twice");
        }
        let origins = app.origin.as_ref().and_then(|origin| origins(origin, &at.key("origin")));
        seen.add(origins.as_deref().unwrap_or_default(), &app.cookie.name, &at);
        built.extend(self::app(app, origins, &known, &at));
    }
    (built.len() == count).then(|| Apps::new(built))
}

fn app(raw: RawApp, origins: Option<Vec<Origin>>, known: &Known<'_>, at: &Scope<'_>) -> Option<App> {
    let name = raw.name.and_then(|text| at.key("name").check(value::name(&text)));
    let provider = raw.provider.and_then(|text| provider(text, known, &at.key("provider")));
    let upstream = upstream(raw.upstream, &at.key("upstream"));
    rules::warn_of_login_routes(&raw.rules, &raw.login.prefix, &at.key("rules"));
    let default_policy = rules::policy(raw.rules, &at.key("rules"));
    let policies = rules::policies(raw.policies, &at.key("policies"));
    let cookie = cookie(&raw.cookie, &at.key("cookie"));
    let session = session(&raw.session, &at.key("session"));
    let refresh_margin = span(&raw.refresh.margin, &at.key("refresh").key("margin"), ("0s", "1h"));
    let login = login(raw.login, &at.key("login"));
    let csrf = csrf(raw.csrf, &at.key("csrf"));
    let provider = provider?;
    let scopes = known.scopes.get(provider.as_str()).map(|scopes| scopes.to_vec()).unwrap_or_default();
    Some(App {
        name: Arc::from(name?),
        origins: origins?,
        provider: Arc::from(provider),
        upstream: upstream?,
        default_policy: default_policy?,
        policies: policies?,
        cookie: cookie?,
        session: session?,
        refresh_margin: refresh_margin?,
        login: LoginSettings { scopes, ..login? },
        csrf: csrf?,
        revoke_at_logout: raw.logout.revoke,
    })
}

fn origins(raw: &OneOrMany<String>, at: &Scope<'_>) -> Option<Vec<Origin>> {
    match raw {
        OneOrMany::One(text) => at.check(value::origin(text)).map(|origin| vec![origin]),
        OneOrMany::Many(texts) => {
            let parsed: Vec<Option<Origin>> =
                texts.iter().enumerate().map(|(index, text)| at.item(index).check(value::origin(text))).collect();
            parsed.into_iter().collect()
        }
    }
}

fn known<'a>(providers: &'a [Provider], at: &Scope<'_>) -> Known<'a> {
    let named = providers.iter().enumerate().filter_map(|(index, one)| Some((index, one.name.as_deref()?, one)));
    let scopes = named.clone().map(|(_, name, one)| (name, one.scopes.as_slice())).collect();
    let is_shown = |index| !at.item(index).key("name").is_from_environment();
    Known { scopes, shown: named.filter(|(index, ..)| is_shown(*index)).map(|(_, name, _)| name).collect() }
}

fn provider(name: String, known: &Known<'_>, at: &Scope<'_>) -> Option<String> {
    if known.scopes.contains_key(name.as_str()) {
        return Some(name);
    }
    let hint = match nearest(&name, known.shown.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.scopes.is_empty() => "add it under `providers`".to_owned(),
        None => format!("there is {}", known.shown.join(", ")),
    };
    at.mistake(format!("no provider is named {}: {hint}", at.quote()));
    None
}

fn upstream(raw: raw::Upstream, at: &Scope<'_>) -> Option<Upstream> {
    let headers = headers(raw.headers, &at.key("headers"));
    let authorization = match raw.authorization {
        raw::Authorization::AccessToken => Authorization::AccessToken,
        raw::Authorization::IdToken => Authorization::IdToken,
        raw::Authorization::None => Authorization::Nothing,
    };
    Some(Upstream { authorization, headers: headers? })
}

fn headers(raw: BTreeMap<String, String>, at: &Scope<'_>) -> Option<Vec<ClaimHeader>> {
    // Many servers read `x_user` and `x-user` as one name (CGI, WSGI).
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut headers = Vec::new();
    let count = raw.len();
    for (written, claim) in raw {
        let at = at.key(&written);
        let Some(name) = at.check(value::header_name(&written)) else { continue };
        if let Some(first) = seen.insert(name.replace('_', "-"), written) {
            at.mistake(format!("is the same header as `{first}` to many servers: keep one"));
            continue;
        }
        if claim.trim().is_empty() {
            at.mistake("names no claim: write one, as `sub` or `realm_access.roles`");
            continue;
        }
        headers.push(ClaimHeader { name, claim });
    }
    (headers.len() == count).then_some(headers)
}

fn cookie(raw: &raw::Cookie, at: &Scope<'_>) -> Option<CookieSettings> {
    let name_at = at.key("name");
    let name = name_at.check(value::cookie_name(&raw.name))?;
    if !name.starts_with("__Host-") {
        name_at.warn("without a `__Host-` prefix a sibling domain can plant this cookie: use `__Host-Http-…`");
    }
    let same_site = match raw.same_site {
        raw::SameSite::Strict => SameSite::Strict,
        raw::SameSite::Lax => {
            at.key("same_site").warn(
                "lax sends the session on navigations that other sites start; only the CSRF checks protect those then",
            );
            SameSite::Lax
        }
    };
    Some(CookieSettings { name, same_site })
}

fn session(raw: &raw::Session, at: &Scope<'_>) -> Option<SessionSettings> {
    let absolute = span(&raw.absolute, &at.key("absolute"), ("1s", "365d"));
    let idle = span(&raw.idle, &at.key("idle"), ("1s", "365d"));
    let (absolute, idle) = (absolute?, idle?);
    if idle > absolute {
        let (idle, absolute) = (value::show(idle), value::show(absolute));
        at.key("idle")
            .mistake(format!("{idle} is longer than `absolute` ({absolute}): a session ends there at the latest"));
        return None;
    }
    Some(SessionSettings {
        absolute,
        idle,
        bind_user_agent: raw.bind.contains(&raw::Binding::UserAgent),
        bind_ip_prefix: raw.bind.contains(&raw::Binding::IpPrefix),
        on_bind_mismatch: match raw.on_bind_mismatch {
            raw::BindMismatch::Reauthenticate => BindMismatch::Reauthenticate,
            raw::BindMismatch::Log => BindMismatch::Log,
        },
    })
}

/// Without the scopes: those are the provider's.
fn login(raw: raw::Login, at: &Scope<'_>) -> Option<LoginSettings> {
    let prefix = at.key("prefix").check(value::prefix(&raw.prefix));
    let attempt_lifetime = span(&raw.attempt_lifetime, &at.key("attempt_lifetime"), ("1s", "10m"));
    Some(LoginSettings {
        prefix: prefix?,
        mode: match raw.mode {
            raw::LoginMode::Routed => LoginMode::Routed,
            raw::LoginMode::InBand => LoginMode::InBand,
        },
        attempt_lifetime: attempt_lifetime?,
        allow_params: raw.allow_params.iter().map(|param| param.name().to_owned()).collect(),
        scopes: Vec::new(),
        userinfo: raw.userinfo,
        session_claims: raw.session_claims,
    })
}

fn csrf(raw: raw::Csrf, at: &Scope<'_>) -> Option<CsrfSettings> {
    if !raw.enabled {
        at.key("enabled").warn("the CSRF defence is off: any site can send requests with the user's session");
    }
    let trusted_at = at.key("trusted_origins");
    let trusted: Vec<Option<Origin>> = raw
        .trusted_origins
        .iter()
        .enumerate()
        .map(|(index, text)| trusted_at.item(index).check(value::origin(text)))
        .collect();
    let trusted: Option<Vec<String>> = trusted.into_iter().map(|one| Some(one?.as_str().to_owned())).collect();
    let header = raw.header.map(|text| at.key("header").check(static_header(&text)));
    if matches!(header, Some(None)) {
        return None;
    }
    Some(CsrfSettings { enabled: raw.enabled, trusted_origins: trusted?, header: header.flatten() })
}

/// `x-csrf: 1`.
fn static_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `name: value`, for example \"x-csrf: 1\"")?;
    let name = value::header_name(name.trim())?;
    let value = value.trim();
    if value.is_empty() || !value.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return Err("the value is printable ASCII, as in \"x-csrf: 1\"".to_owned());
    }
    Ok((name, value.to_owned()))
}
