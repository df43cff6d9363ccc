//! A TCP link that can fail: cut (reset and refuse), freeze (accept and carry nothing), delay, limit the bytes
//! of an answer, and restore. It sits between healthy peers, so that only the link is at fault.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    Up,
    /// Connections are closed, new ones are closed at once.
    Cut,
    /// Bytes are neither carried nor refused: a half-open link.
    Frozen,
    /// Every chunk is carried this much later.
    Delayed(Duration),
    /// Each connection's answer ends after so many bytes.
    Limited(usize),
}

/// The link, listening on a port of its own.
pub struct Chaos {
    pub address: SocketAddr,
    state: Arc<watch::Sender<Link>>,
    task: JoinHandle<()>,
}

impl Chaos {
    /// Starts a link to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        Self::with(target, Link::Up).await
    }

    /// Starts a link in a given state.
    pub async fn with(target: SocketAddr, link: Link) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(watch::Sender::new(link));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, shared.subscribe()));
            }
        });
        Self { address, state, task }
    }

    /// Changes what the link does, for open connections too.
    pub fn set(&self, link: Link) {
        self.state.send_replace(link);
    }

    /// Closes everything and refuses.
    pub fn cut(&self) {
        self.set(Link::Cut);
    }

    /// Works again.
    pub fn restore(&self) {
        self.set(Link::Up);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, target: SocketAddr, mut state: watch::Receiver<Link>) {
    if *state.borrow() == Link::Cut {
        return;
    }
    let _ = client.set_nodelay(true);
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = server.set_nodelay(true);
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let there = pump(client_read, server_write, state.clone(), false);
    let back = pump(server_read, client_write, state.clone(), true);
    tokio::select! {
        () = async { tokio::join!(there, back); } => {}
        _ = state.wait_for(|link| *link == Link::Cut) => {}
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<Link>,
    answer: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    let mut carried = 0;
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 || state.wait_for(|link| *link != Link::Frozen).await.is_err() {
            break;
        }
        let mut length = read;
        let link = *state.borrow();
        match link {
            Link::Delayed(by) => tokio::time::sleep(by).await,
            Link::Limited(limit) if answer => length = read.min(limit.saturating_sub(carried)),
            Link::Up | Link::Cut | Link::Frozen | Link::Limited(_) => {}
        }
        carried += length;
        if to.write_all(&buffer[..length]).await.is_err() || length < read {
            break;
        }
    }
    let _ = to.shutdown().await;
}
