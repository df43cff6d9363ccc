//! The pages that people see, and the headers that go with every answer of ours. Rendering only: both edges use it.
//!
//! No page has a script, an image or a link to anybody else. Whatever comes from a request or a config is escaped.

mod notice;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use aws_lc_rs::digest::{SHA256, digest};

pub use notice::Notice;

/// The one style sheet, inline and known to the CSP by its hash. Contrast is at least 7:1 in both schemes.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c1c1e;--soft:#55555c;--paper:#fff;--edge:#d4d4da;--accent:#0b4fa8;--on:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#f2f2f4;--soft:#b8b8c0;--paper:#17171a;--edge:#3a3a40;--accent:#9ec5ff;--on:#101014}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--paper);color:var(--ink);\
font:1.0625rem/1.55 system-ui,sans-serif}\
main{width:100%;max-width:34rem}\
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .75rem}\
p{margin:0 0 1.25rem;overflow-wrap:anywhere}\
a.act,button{display:inline-block;font:inherit;font-weight:600;padding:.6rem 1.1rem;border:0;border-radius:.4rem;\
background:var(--accent);color:var(--on);text-decoration:none;cursor:pointer}\
a{color:var(--accent)}\
a:focus-visible,button:focus-visible{outline:3px solid var(--ink);outline-offset:2px}\
.ref{color:var(--soft);font-size:.875rem;margin-top:2rem;padding-top:1rem;border-top:1px solid var(--edge)}";

/// Whether a page has a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// No form: none can be put in.
    None,
    /// The logout button. Browsers hold `form-action` against every redirect that follows a form, and ours goes to
    /// the provider's end-session endpoint and on to wherever the provider signs the user out: hosts that cannot
    /// be listed. So this page, which has no script and shows nothing of the request, goes without the directive.
    Logout,
}

/// The headers of every answer of ours. `secure`: on an `https` origin.
#[must_use]
pub fn headers(form: Form, secure: bool) -> Vec<(&'static str, String)> {
    let form_action = match form {
        Form::None => "; form-action 'none'",
        Form::Logout => "",
    };
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy =
        format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'{form_action}");
    let mut headers = vec![
        ("cache-control", "no-store".to_owned()),
        ("content-security-policy", policy),
        ("cross-origin-resource-policy", "same-origin".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("x-frame-options", "DENY".to_owned()),
    ];
    if secure {
        headers.push(("strict-transport-security", "max-age=31536000".to_owned()));
    }
    headers
}

/// A page that takes the browser to `url` by itself, from our own site: what a redirect in a chain that another
/// site began cannot do for a `SameSite=Strict` cookie. `url` begins with `/` or is on our own origin.
#[must_use]
pub fn bounce_page(url: &str) -> String {
    let url = escape(url);
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={url}\">");
    let body = format!("<p>You are being taken on.</p><p><a class=\"act\" href=\"{url}\">Continue</a></p>");
    document("One moment", &head, &body)
}

/// A page that says what happened, with a way on and a reference that stands in the log too.
#[must_use]
pub fn notice_page(notice: &Notice, link: Option<&str>, reference: &str) -> String {
    let link = link.map_or_else(String::new, |href| {
        format!("<p><a class=\"act\" href=\"{}\">{}</a></p>", escape(href), escape(notice.link))
    });
    let reference = escape(reference);
    let text = escape(notice.text);
    document(notice.title, "", &format!("<p>{text}</p>{link}<p class=\"ref\">Reference: <code>{reference}</code></p>"))
}

/// The same for programs: a problem document (RFC 9457).
#[must_use]
pub fn problem(notice: &Notice, login_url: Option<&str>, reference: &str) -> String {
    let mut problem = json!({
        "type": format!("urn:coatcheck:problem:{}", notice.name),
        "title": notice.title,
        "status": notice.status,
        "detail": notice.text,
        "reference": reference,
    });
    if let (Some(url), Some(members)) = (login_url, problem.as_object_mut()) {
        members.insert("login_url".to_owned(), url.into());
    }
    problem.to_string()
}

/// The one-button page of `GET /auth/logout`.
#[must_use]
pub fn logout_page(action: &str) -> String {
    // Under `no-referrer` browsers send `Origin: null` with a form; one without Fetch Metadata would then have
    // nothing left to show that the form is ours. This page's address holds no secret.
    let head = "<meta name=\"referrer\" content=\"same-origin\">";
    let body = format!(
        "<p>You will be signed out here and, where it offers that, at your identity provider.</p>\
         <form method=\"post\" action=\"{}\"><button type=\"submit\">Sign out</button></form>",
        escape(action)
    );
    document("Sign out", head, &body)
}

/// The end of a logout.
#[must_use]
pub fn signed_out_page(home: &str) -> String {
    let body = format!(
        "<p>You are signed out here. On a shared computer, close the browser as well.</p>\
         <p><a class=\"act\" href=\"{}\">Back to the site</a></p>",
        escape(home)
    );
    document("Signed out", "", &body)
}

fn document(title: &str, head: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n{head}<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
}

/// Text for HTML, inside of elements and quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        let nasty = "/x?a=1&b=\"><script>alert('1')</script>";
        let escaped = "/x?a=1&amp;b=&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;";
        for page in [
            bounce_page(nasty),
            logout_page(nasty),
            signed_out_page(nasty),
            notice_page(&Notice::SIGN_IN_EXPIRED, Some(nasty), nasty),
        ] {
            assert!(page.contains(escaped) && !page.contains("<script"), "{page}");
        }
    }

    #[test]
    fn the_bounce_page_goes_on_by_itself_and_by_hand() {
        let page = bounce_page("/x?next=https://y#z");
        assert!(page.contains(r#"<meta http-equiv="refresh" content="0;url=/x?next=https://y#z">"#), "{page}");
        assert!(page.contains(r#"href="/x?next=https://y#z""#), "{page}");
    }

    #[test]
    fn the_policy_knows_the_style_sheet_and_no_script() {
        let page = signed_out_page("/");
        let (_, rest) = page.split_once("<style>").unwrap();
        let (style, _) = rest.split_once("</style>").unwrap();
        let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
        let headers = headers(Form::None, true);
        let (_, policy) = headers.iter().find(|(name, _)| *name == "content-security-policy").unwrap();
        assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{policy}");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    }

    #[test]
    fn only_the_logout_page_goes_without_form_action() {
        let policy =
            |form| headers(form, true).into_iter().find(|(name, _)| *name == "content-security-policy").unwrap().1;
        assert!(policy(Form::None).contains("form-action 'none'"));
        assert!(!policy(Form::Logout).contains("form-action"));
    }

    #[test]
    fn plain_http_promises_no_https() {
        let names = |secure| headers(Form::None, secure).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert!(names(true).contains(&"strict-transport-security"));
        assert!(!names(false).contains(&"strict-transport-security"));
    }

    #[test]
    fn a_problem_is_readable_for_programs() {
        let problem: serde_json::Value =
            serde_json::from_str(&problem(&Notice::SIGN_IN_REQUIRED, Some("/auth/login"), "ab12")).unwrap();
        assert_eq!(problem["type"], "urn:coatcheck:problem:sign-in-required");
        assert_eq!(problem["status"], 401);
        assert_eq!(problem["login_url"], "/auth/login");
        assert_eq!(problem["reference"], "ab12");
    }
}
