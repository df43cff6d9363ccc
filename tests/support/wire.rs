//! HTTP/1.1 on the wire, byte for byte, for both ends of the tests: the browser sends exactly the lines a
//! test wants, the upstream records exactly the lines that arrived. It never repairs or reorders anything.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// A start line with its header lines, in order, names lower-cased.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub start: String,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// The first value of a header, as text.
    pub fn get(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// All values of a header, in order, as text.
    pub fn all(&self, name: &str) -> Vec<String> {
        let named = self.headers.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.get(name).is_some_and(|value| value.to_ascii_lowercase().contains(token))
    }
}

/// What the head says about the body that follows.
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// How a request's body is framed.
pub fn request_framing(head: &Head) -> Framing {
    match head.get("content-length").and_then(|text| text.parse().ok()) {
        Some(length) => Framing::Length(length),
        None if head.has_token("transfer-encoding", "chunked") => Framing::Chunked,
        None => Framing::None,
    }
}

/// How a response's body is framed.
pub fn response_framing(head: &Head, method: &str, status: u16) -> Framing {
    if method == "HEAD" || status == 204 || status == 304 || status < 200 {
        return Framing::None;
    }
    match request_framing(head) {
        Framing::None | Framing::UntilClose => Framing::UntilClose,
        known @ (Framing::Length(_) | Framing::Chunked) => known,
    }
}

/// Reads one head; `None` when the peer closed before sending anything.
pub async fn read_head(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Head>> {
    let mut head = Head::default();
    loop {
        let mut raw = Vec::new();
        if reader.read_until(b'\n', &mut raw).await? == 0 {
            return Ok(None);
        }
        while raw.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            raw.pop();
        }
        if raw.is_empty() {
            return Ok(Some(head));
        }
        if head.start.is_empty() {
            head.start = String::from_utf8_lossy(&raw).into_owned();
            continue;
        }
        let colon = raw.iter().position(|byte| *byte == b':').ok_or(io::ErrorKind::InvalidData)?;
        let name = String::from_utf8_lossy(&raw[..colon]).to_ascii_lowercase();
        head.headers.push((name, raw[colon + 1..].trim_ascii().to_vec()));
    }
}

/// Reads the body that the framing announces.
pub async fn read_body(reader: &mut (impl AsyncBufRead + Unpin), framing: Framing) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match framing {
        Framing::None => {}
        Framing::Length(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body).await?;
        }
        Framing::UntilClose => {
            reader.read_to_end(&mut body).await?;
        }
        Framing::Chunked => read_chunks(reader, &mut body).await?,
    }
    Ok(body)
}

async fn read_chunks(reader: &mut (impl AsyncBufRead + Unpin), body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let digits = line.trim().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..]).await?;
        line.clear();
        reader.read_line(&mut line).await?;
        if size == 0 {
            return Ok(());
        }
    }
}
