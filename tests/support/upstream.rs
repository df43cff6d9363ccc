//! The protected application: records every request exactly as it arrived, answers with a small JSON, and
//! takes WebSocket upgrades (echoing bytes). What it recorded is what tests assert on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::wire::{self, Head};

/// One request as the application saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub head: Head,
    pub body: Vec<u8>,
}

impl Seen {
    /// The single value of a header; panics when it came more than once.
    pub fn one(&self, name: &str) -> Option<String> {
        let values = self.head.all(name);
        assert!(values.len() <= 1, "{name} arrived {} times: {values:?}", values.len());
        values.into_iter().next()
    }

    /// The bearer token, from exactly one `authorization` line.
    pub fn bearer(&self) -> Option<String> {
        let value = self.one("authorization")?;
        Some(value.strip_prefix("Bearer ").expect("a bearer token").to_owned())
    }

    /// Everything in the Cookie lines.
    pub fn cookies(&self) -> Vec<String> {
        self.head.all("cookie")
    }
}

/// The running application.
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Binds a free loopback port and serves until dropped.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&record)));
            }
        });
        Self { address, seen, task }
    }

    /// Everything seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The latest request for a path (query ignored).
    pub fn latest(&self, path: &str) -> Option<Seen> {
        let matches = |seen: &Seen| seen.target.split('?').next() == Some(path);
        self.seen.lock().unwrap().iter().rev().find(|seen| matches(seen)).cloned()
    }

    /// How many requests came for a path (query ignored).
    pub fn count(&self, path: &str) -> usize {
        let matches = |seen: &&Seen| seen.target.split('?').next() == Some(path);
        self.seen.lock().unwrap().iter().filter(matches).count()
    }

    /// Forgets what was seen.
    pub fn clear(&self) {
        self.seen.lock().unwrap().clear();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, record: Arc<Mutex<Vec<Seen>>>) {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read);
    while let Ok(Some(head)) = wire::read_head(&mut reader).await {
        let mut words = head.start.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        let framing = wire::request_framing(&head);
        let Ok(body) = wire::read_body(&mut reader, framing).await else { return };
        let upgrade = head.get("upgrade");
        let answer = respond(&method, &target, upgrade.as_deref());
        record.lock().unwrap().push(Seen { method, target, head, body });
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if upgrade.is_some() {
            let _ = tokio::io::copy(&mut reader, &mut write).await;
            return;
        }
    }
}

fn respond(method: &str, target: &str, upgrade: Option<&str>) -> String {
    if let Some(protocol) = upgrade {
        return format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: {protocol}\r\nconnection: upgrade\r\n\r\n");
    }
    let body = serde_json::json!({ "upstream": true, "method": method, "target": target }).to_string();
    let shown = if method == "HEAD" { "" } else { &body };
    // `/own-cookie` stands for an application that sets cookies and cacheability of its own.
    let extra = if target.starts_with("/own-cookie") {
        "set-cookie: app=1; Path=/\r\nset-cookie: app2=2; Path=/\r\ncache-control: public, max-age=60\r\n"
    } else {
        ""
    };
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{extra}\r\n{shown}", body.len())
}
