//! The pages that people see, with their security policies. Rendering only: both edges use it.
//!
//! No page has a script, an image or a link to anybody else. Whatever comes from a request or a config is escaped.

mod notice;

use std::fmt::Write;

use serde_json::json;

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

/// The policy of every answer of ours: no script, no frame, no form; our own style by its hash.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
     style-src 'sha256-m7LWWggA0nUqWTzp+y8XSfBYMsfEJt4r7j8FGKcWOd0='; \
     base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/// The policy of the logout page. Browsers hold `form-action` against every redirect that follows a form, and ours
/// goes to the provider's end-session endpoint and on to wherever the provider signs the user out: hosts that
/// cannot be listed. So this page, which has no script and shows nothing of the request, goes without it.
pub const LOGOUT_SECURITY_POLICY: &str = "default-src 'none'; \
     style-src 'sha256-m7LWWggA0nUqWTzp+y8XSfBYMsfEJt4r7j8FGKcWOd0='; \
     base-uri 'none'; frame-ancestors 'none'";

/// One page.
#[derive(Debug, Clone)]
pub struct Page {
    title: &'static str,
    text: &'static str,
    /// Elements for `<head>`, escaped already.
    head: String,
    /// What follows the text, escaped already.
    rest: String,
}

impl Page {
    /// A page that goes on to an URL by itself, with a link for browsers that do not. It begins a new navigation
    /// on our own site: what a redirect in a chain that another site began cannot do for a `SameSite=Strict` cookie.
    /// `url` begins with `/` or is on our own origin.
    #[must_use]
    pub fn navigate(url: &str) -> Self {
        let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={}\">\n", escape(url));
        Self { head, ..Self::plain("One moment", "You are being taken on.").link("Continue", url) }
    }

    /// A page that says what happened, with a way on.
    #[must_use]
    pub fn notice(notice: &Notice, href: Option<&str>) -> Self {
        let page = Self::plain(notice.title, notice.text);
        match href {
            Some(href) => page.link(notice.link, href),
            None => page,
        }
    }

    /// A form was posted without a session.
    #[must_use]
    pub fn form_not_sent(login_path: &str) -> Self {
        Self::notice(&Notice::FORM_NOT_SENT, Some(login_path))
    }

    /// The request is not allowed.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::notice(&Notice::FORBIDDEN, Some("/"))
    }

    /// The store or the provider does not answer.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::notice(&Notice::UNAVAILABLE, None)
    }

    /// The one-button page of `GET /auth/logout`; to be sent with [`LOGOUT_SECURITY_POLICY`].
    #[must_use]
    pub fn logout(action: &str) -> Self {
        let text = "You will be signed out here and, where it offers that, at your identity provider.";
        let action = escape(action);
        let rest =
            format!("<form method=\"post\" action=\"{action}\"><button type=\"submit\">Sign out</button></form>\n");
        // Under `no-referrer` browsers send `Origin: null` with a form; one without Fetch Metadata would then have
        // nothing left to show that the form is ours. This page's address holds no secret.
        let head = "<meta name=\"referrer\" content=\"same-origin\">\n".to_owned();
        Self { head, rest, ..Self::plain("Sign out", text) }
    }

    /// The end of a logout.
    #[must_use]
    pub fn signed_out(home: &str) -> Self {
        let text = "You are signed out here. On a shared computer, close the browser as well.";
        Self::plain("Signed out", text).link("Back to the site", home)
    }

    /// With a reference that stands in the log too.
    #[must_use]
    pub fn reference(mut self, reference: &str) -> Self {
        let reference = escape(reference);
        let _ = writeln!(self.rest, "<p class=\"ref\">Reference: <code>{reference}</code></p>"); // a String takes everything
        self
    }

    /// The HTML text.
    #[must_use]
    pub fn render(&self) -> String {
        let (title, text) = (escape(self.title), escape(self.text));
        let Self { head, rest, .. } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n{head}<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<h1>{title}</h1>\n<p>{text}</p>\n{rest}</main>\n</body>\n</html>\n"
        )
    }

    fn plain(title: &'static str, text: &'static str) -> Self {
        Self { title, text, head: String::new(), rest: String::new() }
    }

    fn link(mut self, label: &str, href: &str) -> Self {
        let (label, href) = (escape(label), escape(href));
        let _ = writeln!(self.rest, "<p><a class=\"act\" href=\"{href}\">{label}</a></p>"); // a String takes everything
        self
    }
}

/// A notice for programs: a problem document (RFC 9457).
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
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        let nasty = "/x?a=1&b=\"><script>alert('1')</script>";
        let escaped = "/x?a=1&amp;b=&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;";
        for page in [
            Page::navigate(nasty),
            Page::logout(nasty),
            Page::signed_out(nasty),
            Page::form_not_sent(nasty),
            Page::unavailable().reference(nasty),
        ] {
            let page = page.render();
            assert!(page.contains(escaped) && !page.contains("<script"), "{page}");
        }
    }

    #[test]
    fn the_bounce_page_goes_on_by_itself_and_by_hand() {
        let page = Page::navigate("/x?next=https://y#z").render();
        assert!(page.contains(r#"<meta http-equiv="refresh" content="0;url=/x?next=https://y#z">"#), "{page}");
        assert!(page.contains(r#"href="/x?next=https://y#z""#), "{page}");
    }

    #[test]
    fn both_policies_know_the_style_sheet_and_no_script() {
        let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        for policy in [CONTENT_SECURITY_POLICY, LOGOUT_SECURITY_POLICY] {
            assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "now sha256-{hash}: {policy}");
            assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("script-src"), "{policy}");
        }
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
