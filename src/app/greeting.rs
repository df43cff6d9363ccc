//! A connection whose peer has to begin: one that says nothing is not kept.
//!
//! hyper waits without end for the first bytes of a connection, which tell HTTP/2 from HTTP/1.1 or greet in HTTP/2; its
//! own limits begin after them. A peer that is silent would hold its place for ever, and the end of the process up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The preface of HTTP/2 (RFC 9113 §3.4). No request in HTTP/1.1 with a host is shorter.
const LENGTH: usize = 24;

/// A peer has this long for it.
const LIMIT: Duration = Duration::from_secs(10);

/// Reads time out until the first bytes are there; everything else passes.
pub(super) struct Greeting<S> {
    stream: S,
    missing: usize,
    limit: Option<Pin<Box<Sleep>>>,
}

impl<S> Greeting<S> {
    /// A connection that was just accepted.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, missing: LENGTH, limit: Some(Box::pin(sleep(LIMIT))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeting<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some(limit) = &mut this.limit else { return read };
        this.missing = this.missing.saturating_sub(buf.filled().len() - before);
        if this.missing == 0 {
            this.limit = None;
        } else if read.is_pending() && limit.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeting<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
