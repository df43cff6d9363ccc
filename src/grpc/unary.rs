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

/// Room for the fields that are written behind a message; they seldom need more.
const REST: usize = 256;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than allowed.
    TooLong,
    /// Compressed, shorter than it says, or more than one. We announce no compression.
    Malformed,
    /// The stream was reset or its connection lost before its end: nobody waits for an answer.
    Gone,
}

/// Reads the message of a call, to the end of the stream.
pub(super) async fn message(mut body: Body, limit: usize) -> Result<Bytes, Unread> {
    let mut read = Bytes::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(more) = frame.map_err(|_| Unread::Gone)?.into_data() else { continue };
        if read.len() + more.len() > PREFIX + limit {
            return Err(Unread::TooLong);
        }
        read = joined(read, more);
    }
    // hyper takes some resets, Envoy's among them, for the end of the body.
    if body.is_end_stream() { unframed(read) } else { Err(Unread::Gone) }
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

/// A message with its prefix, ready to be sent any number of times. `rest` writes further fields of it.
pub(super) fn framed(message: &impl Message, rest: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.encoded_len() + REST);
    frame.put_bytes(0, PREFIX);
    message.encode_raw(&mut frame);
    rest(&mut frame);
    // Our answers are far shorter than 4 GiB.
    let length = u32::try_from(frame.len() - PREFIX).unwrap_or(u32::MAX);
    if let Some(place) = frame.get_mut(1..PREFIX) {
        place.copy_from_slice(&length.to_be_bytes());
    }
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
