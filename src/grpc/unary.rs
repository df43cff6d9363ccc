//! The frame around a unary call (gRPC over HTTP/2): one message in, one message out.
//!
//! Not tonic's own, because that answers a message that is too long with a gRPC error, which `failure_mode_allow` would
//! let through: who sends a large body must not get past us. It also reads the message before we could refuse to.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Body as _, Frame, SizeHint};
use prost::Message;
use tonic::body::Body;

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than allowed.
    TooLong,
    /// Compressed, cut off, or more than one. We announce no compression.
    Malformed,
}

/// Reads the message of a call, to the end of the stream.
pub(super) async fn message(mut body: Body, limit: usize) -> Result<Bytes, Unread> {
    let mut read = Bytes::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(more) = frame.map_err(|_| Unread::Malformed)?.into_data() else { continue };
        if read.len() + more.len() > PREFIX + limit {
            return Err(Unread::TooLong);
        }
        read = joined(read, more);
    }
    unframed(read)
}

/// Almost always the whole message is one frame, which is then not copied.
fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    let mut both = first.try_into_mut().unwrap_or_else(|first| BytesMut::from(&*first));
    both.extend_from_slice(&second);
    both.freeze()
}

fn unframed(mut read: Bytes) -> Result<Bytes, Unread> {
    let prefix = read.split_to(PREFIX.min(read.len()));
    let &[compressed, a, b, c, d] = &*prefix else { return Err(Unread::Malformed) };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| Unread::Malformed)?;
    if compressed == 0 && length == read.len() { Ok(read) } else { Err(Unread::Malformed) }
}

/// A message with its prefix, ready to be sent any number of times. `rest` is fields of it that are encoded already.
pub(super) fn framed(message: &impl Message, rest: &[u8]) -> Bytes {
    let length = message.encoded_len() + rest.len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    // Our answers are far shorter than 4 GiB.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut frame);
    frame.put_slice(rest);
    frame.freeze()
}

/// The response of a call that was answered, with a message from [`framed`].
pub(super) fn reply(message: Bytes) -> http::Response<Body> {
    let mut response = http::Response::new(Body::new(Reply { message: Some(message), ended: false }));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// The message, then the status.
struct Reply {
    message: Option<Bytes>,
    ended: bool,
}

impl hyper::body::Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.ended, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(STATUS, OK);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

#[cfg(test)]
mod tests;
