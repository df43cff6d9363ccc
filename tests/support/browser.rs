//! The browser of the tests: a cookie jar, the headers real browsers send, and no will of its own: redirects
//! are followed only when asked. Names resolve through a table, so `https://shop.example.test` is a plain
//! connection to the test's Envoy; everything above TCP is as a browser would do it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use url::Url;

use super::jar::{Context, Cookie, Jar};
use super::page;
use super::wire::{self, Head};

/// Where a request comes from, as `Sec-Fetch-Site` words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    None,
    SameOrigin,
    Sibling,
    Cross,
}

impl Site {
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SameOrigin => "same-origin",
            Self::Sibling => "same-site",
            Self::Cross => "cross-site",
        }
    }
}

/// One request to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub url: Url,
    /// Sent instead of the URL's path and query, unparsed.
    pub target: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    context: Context,
    jar: bool,
}

impl Call {
    /// A request without any header of a browser.
    pub fn bare(method: &str, url: &Url) -> Self {
        Self {
            method: method.to_owned(),
            url: url.clone(),
            target: None,
            headers: Vec::new(),
            body: Vec::new(),
            context: Context::SameSite,
            jar: true,
        }
    }

    /// A top-level navigation.
    pub fn navigation(method: &str, url: &Url, site: Site) -> Self {
        let mut call = Self::bare(method, url)
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-user", "?1")
            .header("sec-fetch-site", site.word());
        if site == Site::Cross {
            call.context = if method == "GET" { Context::CrossSiteNavigation } else { Context::CrossSiteOther };
        }
        call
    }

    /// What `fetch()` sends.
    pub fn fetch(method: &str, url: &Url, site: Site) -> Self {
        let mut call = Self::bare(method, url)
            .header("accept", "*/*")
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-dest", "empty")
            .header("sec-fetch-site", site.word());
        if site == Site::Cross {
            call.context = Context::CrossSiteOther;
        }
        call
    }

    /// Adds a header line (repeats are kept).
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Replaces a header.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    /// Sends this request target instead of the URL's.
    pub fn target(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }

    /// Sends the browser's cookies even though a browser would hold some back.
    pub fn forcing_cookies(mut self) -> Self {
        self.context = Context::SameSite;
        self
    }

    /// Sends no cookie from the jar.
    pub fn without_jar(mut self) -> Self {
        self.jar = false;
        self
    }

    /// A form body.
    pub fn form(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self.header("content-type", "application/x-www-form-urlencoded")
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    pub url: Url,
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.get(name)
    }

    /// Where a redirect leads, resolved.
    pub fn location(&self) -> Option<Url> {
        self.url.join(&self.header("location")?).ok()
    }
}

/// One browser profile.
#[derive(Default)]
pub struct Browser {
    jar: Mutex<Jar>,
    hosts: HashMap<String, SocketAddr>,
    seen_codes: Mutex<Vec<String>>,
    /// Who is spoken to over TLS, and who is trusted there.
    tls: Option<(SocketAddr, Arc<rustls::ClientConfig>)>,
}

impl Browser {
    /// A fresh profile; `hosts` maps names to where they are in this test.
    pub fn new(hosts: HashMap<String, SocketAddr>) -> Self {
        Self { hosts, ..Self::default() }
    }

    /// With TLS to one address.
    pub fn with_tls(self, address: SocketAddr, trust: Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Some((address, trust)), ..self }
    }

    /// Sends one HTTP/1.1 request; follows nothing. Cookies are taken from and put into the jar.
    pub async fn send(&self, call: Call) -> Response {
        let address = self.resolve(&call.url);
        let bytes = self.render(&call);
        let exchanged = match &self.tls {
            Some((secure, trust)) if *secure == address => {
                let name = call.url.host_str().unwrap_or_default();
                match super::tls::exchange(address, name, Arc::clone(trust), bytes).await {
                    Ok(answer) => read_response(answer.as_slice(), &call.method).await,
                    Err(error) => Err(error),
                }
            }
            Some(_) | None => exchange(address, &bytes, &call.method).await,
        };
        let (head, body) = exchanged.unwrap_or_else(|error| panic!("{} {}: {error}", call.method, call.url));
        self.accept(&call.url, head, body)
    }

    /// Sends one request, giving up (and closing the connection) after `limit`.
    pub async fn send_impatiently(&self, call: Call, limit: std::time::Duration) -> Option<Response> {
        tokio::time::timeout(limit, self.send(call)).await.ok()
    }

    /// Sends one HTTP/2 request (prior knowledge); each header stays a field of its own.
    pub async fn send_h2(&self, call: Call) -> Response {
        let (head, body) = super::h2::exchange(self.resolve(&call.url), &call).await;
        self.accept(&call.url, head, body)
    }

    /// A typed navigation, not followed.
    pub async fn get(&self, url: &Url) -> Response {
        self.send(Call::navigation("GET", url, Site::None)).await
    }

    /// Navigates and follows redirects and self-navigating pages to the end.
    pub async fn visit(&self, url: &Url) -> Response {
        self.follow(Call::navigation("GET", url, Site::None), Site::None).await
    }

    /// Follows a navigation to its end. A chain that was cross-site once stays so until a page of ours
    /// navigates itself, exactly as browsers word `Sec-Fetch-Site`.
    pub async fn follow(&self, call: Call, site: Site) -> Response {
        let mut site = site;
        let mut response = self.send(call).await;
        for _ in 0..20 {
            let next = match response.location().filter(|_| (300..400).contains(&response.status)) {
                Some(next) => {
                    if site != Site::None && next.origin() != response.url.origin() {
                        site = Site::Cross;
                    }
                    next
                }
                None => match page::refresh_target(&response.text()) {
                    Some(target) => {
                        site = Site::SameOrigin;
                        response.url.join(&target).expect("a refresh target is a URL")
                    }
                    None => return response,
                },
            };
            response = self.send(Call::navigation("GET", &next, site)).await;
        }
        panic!("redirect loop at {}", response.url);
    }

    /// Logs `user` in through the provider's form, starting at `url`; returns where that ended.
    pub async fn login_at(&self, user: &str, url: &Url) -> Response {
        let page = self.visit(url).await;
        self.fill_in(user, page).await
    }

    /// Walks the provider's forms from `page` on, and everything after, to the final page.
    pub async fn fill_in(&self, user: &str, mut page: Response) -> Response {
        let provider = page.url.origin();
        while let Some(form) = page::form(&page.text()).filter(|_| page.url.origin() == provider) {
            let action = page.url.join(&form.action).expect("a form action is a URL");
            let body = form.filled(&[("login", user), ("password", "any")]);
            let call = Call::navigation("POST", &action, Site::SameOrigin)
                .header("origin", provider.ascii_serialization())
                .form(&body);
            page = self.follow(call, Site::SameOrigin).await;
        }
        page
    }

    /// Walks the provider's forms but stops before the callback is sent; returns its URL.
    pub async fn callback_url(&self, user: &str, login: &Url) -> Url {
        let page = self.visit(login).await;
        let provider = page.url.origin();
        let form = page::form(&page.text()).expect("the provider shows its form");
        let action = page.url.join(&form.action).expect("a form action is a URL");
        let body = form.filled(&[("login", user), ("password", "any")]);
        let call = Call::navigation("POST", &action, Site::SameOrigin).form(&body);
        let mut response = self.send(call).await;
        loop {
            let next = response
                .location()
                .unwrap_or_else(|| panic!("no redirect to the callback: {} {}", response.status, response.text()));
            if next.origin() != provider {
                return next;
            }
            response = self.send(Call::navigation("GET", &next, Site::SameOrigin)).await;
        }
    }

    /// The live cookies of a host.
    pub fn cookies(&self, host: &str) -> Vec<Cookie> {
        self.jar.lock().unwrap().of(host)
    }

    /// Puts a cookie into the jar.
    pub fn plant(&self, url: &Url, pair: &str) {
        self.jar.lock().unwrap().plant(url, pair);
    }

    /// Every cookie value and authorization code this browser ever held.
    pub fn secrets(&self) -> Vec<String> {
        let mut all = self.jar.lock().unwrap().ever.clone();
        all.extend(self.seen_codes.lock().unwrap().iter().cloned());
        all
    }

    fn accept(&self, url: &Url, head: Head, body: Vec<u8>) -> Response {
        for line in head.all("set-cookie") {
            self.jar.lock().unwrap().take(url, &line);
        }
        let status = head.start.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let response = Response { url: url.clone(), status, head, body };
        if let Some(next) = response.location() {
            self.note_code(&next);
        }
        response
    }

    fn note_code(&self, url: &Url) {
        let code = url.query_pairs().find(|(key, _)| key == "code");
        if let Some((_, value)) = code {
            self.seen_codes.lock().unwrap().push(value.into_owned());
        }
    }

    fn resolve(&self, url: &Url) -> SocketAddr {
        let host = url.host_str().unwrap_or_default();
        let known = self.hosts.get(&authority(url)).or_else(|| self.hosts.get(host)).copied();
        known.unwrap_or_else(|| {
            let port = url.port_or_known_default().unwrap_or(80);
            let ip = if host == "localhost" { "127.0.0.1" } else { host };
            format!("{ip}:{port}").parse().unwrap_or_else(|_| panic!("unknown host in {url}"))
        })
    }

    fn render(&self, call: &Call) -> Vec<u8> {
        let named = |name: &str| call.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        let target = call.target.clone().unwrap_or_else(|| origin_form(&call.url));
        let mut bytes = format!("{} {target} HTTP/1.1\r\n", call.method).into_bytes();
        if !named("host") {
            push(&mut bytes, "host", authority(&call.url).as_bytes());
        }
        if !named("connection") {
            push(&mut bytes, "connection", b"close");
        }
        if let Some(cookies) = self.cookie_header(call) {
            push(&mut bytes, "cookie", cookies.as_bytes());
        }
        for (name, value) in &call.headers {
            push(&mut bytes, name, value);
        }
        let bodied = matches!(call.method.as_str(), "POST" | "PUT" | "PATCH");
        if (bodied || !call.body.is_empty()) && !named("content-length") {
            push(&mut bytes, "content-length", call.body.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&call.body);
        bytes
    }

    /// The Cookie line the jar gives for a call.
    pub fn cookie_header(&self, call: &Call) -> Option<String> {
        if !call.jar {
            return None;
        }
        self.jar.lock().unwrap().header(&call.url, call.context)
    }
}

fn push(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

/// Host and port as the Host header has them.
pub fn authority(url: &Url) -> String {
    match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    }
}

/// Path and query.
pub fn origin_form(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Sends raw bytes and reads one response.
pub async fn exchange(address: SocketAddr, bytes: &[u8], method: &str) -> std::io::Result<(Head, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(bytes).await?;
    let (read, _write) = stream.into_split();
    read_response(read, method).await
}

async fn read_response(stream: impl AsyncRead + Unpin, method: &str) -> std::io::Result<(Head, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let head = wire::read_head(&mut reader).await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.start.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let framing = wire::response_framing(&head, method, status);
    let body = wire::read_body(&mut reader, framing).await?;
    Ok((head, body))
}
