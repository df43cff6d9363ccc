//! From the bytes of Envoy's `CheckRequest` to our request: reads the dozen fields that matter, borrows everything.
//!
//! Field numbers are those of `envoy/service/auth/v3/attribute_context.proto`; a property test holds this reader to
//! what `envoy-types` decodes.

use std::net::IpAddr;

use super::wire::{Malformed, Value, text, walk};
use crate::core::client::client_ip;
use crate::core::cookie::CookieText;
use crate::core::request::{Headers, Request};

/// A usual request has fewer header fields than this.
const USUAL_FIELDS: usize = 32;

/// What is read on the way.
#[derive(Default)]
struct Read<'a> {
    method: &'a str,
    target: &'a str,
    host: &'a str,
    /// `headers`: repeated fields joined by commas.
    joined: Vec<(&'a str, &'a [u8])>,
    /// `header_map` (`encode_raw_headers`): raw lines.
    raw: Vec<(&'a str, &'a [u8])>,
    app: Option<&'a str>,
    policy: Option<&'a str>,
    peer: Option<&'a str>,
    /// `body`, else `raw_body` (`pack_as_bytes`).
    body: &'a [u8],
}

/// Reads a `CheckRequest`. What is absent becomes empty, which no app and no path rule accepts.
pub(super) fn request(check: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut read = Read::default();
    walk(check, |number, value| match (number, value) {
        (1, Value::Bytes(attributes)) => read.attributes(attributes),
        _ => Ok(()),
    })?;
    Ok(read.finish())
}

impl<'a> Read<'a> {
    /// `AttributeContext`.
    fn attributes(&mut self, attributes: &'a [u8]) -> Result<(), Malformed> {
        walk(attributes, |number, value| match (number, value) {
            (1, Value::Bytes(source)) => self.peer(source),
            (4, Value::Bytes(request)) => walk(request, |number, value| match (number, value) {
                (2, Value::Bytes(http)) => self.http(http),
                _ => Ok(()),
            }),
            (10, Value::Bytes(extension)) => self.extension(extension),
            _ => Ok(()),
        })
    }

    /// `AttributeContext.HttpRequest`.
    fn http(&mut self, http: &'a [u8]) -> Result<(), Malformed> {
        walk(http, |number, value| {
            let Value::Bytes(bytes) = value else { return Ok(()) };
            match number {
                2 => self.method = text(bytes)?,
                3 => {
                    let (name, value) = entry(bytes)?;
                    push(&mut self.joined, (name, text(value)?.as_bytes()));
                }
                4 => self.target = text(bytes)?,
                5 => self.host = text(bytes)?,
                11 | 12 if !bytes.is_empty() => self.body = bytes,
                13 => walk(bytes, |number, value| match (number, value) {
                    (1, Value::Bytes(header)) => {
                        push(&mut self.raw, raw_header(header)?);
                        Ok(())
                    }
                    _ => Ok(()),
                })?,
                _ => {}
            }
            Ok(())
        })
    }

    /// `AttributeContext.context_extensions`.
    fn extension(&mut self, extension: &'a [u8]) -> Result<(), Malformed> {
        let (name, value) = entry(extension)?;
        match name {
            "app" => self.app = Some(text(value)?),
            "policy" => self.policy = Some(text(value)?),
            _ => {}
        }
        Ok(())
    }

    /// `AttributeContext.Peer` → `Address` → `SocketAddress.address`.
    fn peer(&mut self, peer: &'a [u8]) -> Result<(), Malformed> {
        walk(peer, |number, value| match (number, value) {
            (1, Value::Bytes(address)) => walk(address, |number, value| match (number, value) {
                (1, Value::Bytes(socket)) => walk(socket, |number, value| match (number, value) {
                    (2, Value::Bytes(ip)) => {
                        self.peer = Some(text(ip)?);
                        Ok(())
                    }
                    _ => Ok(()),
                }),
                _ => Ok(()),
            }),
            _ => Ok(()),
        })
    }

    fn finish(self) -> Request<'a> {
        let cookie = |(name, _): &&(&str, &[u8])| *name == "cookie";
        let (headers, cookies) = if self.raw.is_empty() {
            let line = self.joined.iter().find(cookie).map(|(_, line)| *line);
            let headers = Headers::new(self.joined);
            let sender = headers.sender();
            (headers, line.map(|line| CookieText::joined(line, sender)).unwrap_or_default())
        } else {
            let lines = self.raw.iter().filter(cookie).map(|(_, line)| *line).collect();
            (Headers::new(self.raw), CookieText::raw(lines))
        };
        Request {
            method: self.method,
            target: self.target,
            host: self.host,
            client: client(&headers, self.peer),
            headers,
            cookies,
            body: self.body,
            app: self.app,
            policy: self.policy,
        }
    }
}

/// An entry of a `map<string, string>`, value not yet checked to be text.
fn entry(bytes: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let (mut name, mut found): (&str, &[u8]) = ("", &[]);
    walk(bytes, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => name = text(bytes)?,
            (2, Value::Bytes(bytes)) => found = bytes,
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, found))
}

/// `HeaderValue`: `raw_value` where Envoy was asked for raw headers, else `value`.
fn raw_header(bytes: &[u8]) -> Result<(&str, &[u8]), Malformed> {
    let (mut name, mut plain, mut raw): (&str, &[u8], &[u8]) = ("", &[], &[]);
    walk(bytes, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => name = text(bytes)?,
            (2, Value::Bytes(bytes)) => plain = text(bytes)?.as_bytes(),
            (3, Value::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, if raw.is_empty() { plain } else { raw }))
}

fn push<'a>(fields: &mut Vec<(&'a str, &'a [u8])>, field: (&'a str, &'a [u8])) {
    if fields.is_empty() {
        fields.reserve(USUAL_FIELDS);
    }
    fields.push(field);
}

/// The client as Envoy sees it behind trusted proxies, else the TCP peer.
fn client(headers: &Headers<'_>, peer: Option<&str>) -> Option<IpAddr> {
    let field = |name: &str| headers.single(name).map(str::as_bytes);
    let told = client_ip(field("x-envoy-external-address"), field("x-forwarded-for"));
    told.or_else(|| peer?.parse().ok())
}

#[cfg(test)]
mod tests;
