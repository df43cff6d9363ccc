//! The pages a person sees. Pure text, without script; both edges use them.
//!
//! (The web flow owns their look; the check uses these constructors.)

/// The content security policy of our pages.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One page.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    text: String,
    link: Option<(String, String)>,
    navigate: Option<String>,
}

impl Page {
    /// A page that goes on to an URL by itself, with a link for browsers that do not.
    #[must_use]
    pub fn navigate(url: &str) -> Self {
        let mut page = Self::plain("One moment", "You are being taken on.");
        page.link = Some((url.to_owned(), "Continue".to_owned()));
        page.navigate = Some(url.to_owned());
        page
    }

    /// A form was posted without a session.
    #[must_use]
    pub fn form_not_sent(login_path: &str) -> Self {
        let mut page = Self::plain("You are signed out", "Your form was not sent. Sign in, then send it again.");
        page.link = Some((login_path.to_owned(), "Sign in".to_owned()));
        page
    }

    /// The request is not allowed.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::plain("Not allowed", "You are not allowed to open this page.")
    }

    /// The store or the provider does not answer.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::plain("Try again in a moment", "Your session is kept; it cannot be read just now.")
    }

    /// The HTML text.
    #[must_use]
    pub fn render(&self) -> String {
        let refresh = self
            .navigate
            .as_ref()
            .map_or(String::new(), |url| format!("<meta http-equiv=\"refresh\" content=\"0;url={}\">", escape(url)));
        let link = self
            .link
            .as_ref()
            .map_or(String::new(), |(url, text)| format!("<p><a href=\"{}\">{}</a></p>", escape(url), escape(text)));
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">{refresh}<title>{title}</title></head>\
             <body><main><h1>{title}</h1><p>{text}</p>{link}</main></body></html>",
            title = escape(&self.title),
            text = escape(&self.text),
        )
    }

    fn plain(title: &str, text: &str) -> Self {
        Self { title: title.to_owned(), text: text.to_owned(), link: None, navigate: None }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
