//! The log of each test, at the most talkative level.
//!
//! One subscriber for the process, because tracing remembers per call site whether anybody listens; one buffer per
//! thread, because every test has a thread of its own.

use std::cell::RefCell;
use std::io::{self, Write};

use tracing::Level;

thread_local! {
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Begins to listen; the second and later calls change nothing.
pub(crate) fn listen() {
    let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false).with_writer(|| Buffer);
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
}

/// What this test has logged.
pub(crate) fn text() -> String {
    LOG.with_borrow(|log| String::from_utf8_lossy(log).into_owned())
}

struct Buffer;

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
