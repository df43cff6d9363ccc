//! Clients that take their time, on real sockets; the clock runs as soon as nobody has anything to do.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::config::Address;

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: shop.example.com\r\n\r\n";

struct Site {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Site {
    async fn open(places: usize) -> Self {
        let any = Address::Tcp("127.0.0.1:0".parse().unwrap());
        let door = Door::open("http", &any, places).await.unwrap();
        let address = door.address().unwrap().parse().unwrap();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(async || "hello"));
        #[expect(clippy::disallowed_methods, reason = "the test owns it by its handle")]
        let served = tokio::spawn(http(door, router, stop.clone()));
        Self { address, stop, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Everything until the server closes, and how long that took.
async fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let (began, mut read) = (Instant::now(), Vec::new());
    let _ = stream.read_to_end(&mut read).await;
    (String::from_utf8_lossy(&read).into_owned(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_or_no_whole_head_is_let_go() {
    let site = Site::open(10).await;
    for (said, seconds) in [(&b""[..], 10), (&b"GET / HT"[..], 10), (&ASK[..30], 30)] {
        let mut stream = site.connect().await;
        stream.write_all(said).await.unwrap();
        let (_, took) = rest(&mut stream).await;
        assert!((seconds - 1..=seconds + 1).contains(&took.as_secs()), "{said:?}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_a_byte_a_second_is_not_waited_for() {
    let site = Site::open(10).await;
    let (mut read, mut write) = site.connect().await.into_split();
    #[expect(clippy::disallowed_methods, reason = "ends with the connection")]
    tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'x')) {
            sleep(Duration::from_secs(1)).await;
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let began = Instant::now();
    let mut answer = Vec::new();
    let _ = read.read_to_end(&mut answer).await;
    assert!(began.elapsed() <= Duration::from_secs(45), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_later_than_envoy_would_close_it() {
    let site = Site::open(10).await;
    let mut stream = site.connect().await;
    stream.write_all(ASK).await.unwrap();
    let (answer, took) = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    // `idle_timeout` in envoy/*.yaml is 15 s.
    assert!((29..=31).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let site = Site::open(10).await;
    let mut stream = site.connect().await;
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES));
    // The server may close before it has read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = [0; 12];
    if stream.read_exact(&mut answer).await.is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_at_once_and_a_free_place_is_taken_again() {
    let site = Site::open(2).await;
    let (mut one, two) = (site.connect().await, site.connect().await);
    one.write_all(ASK).await.unwrap();
    let mut seen = [0; 12];
    one.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"HTTP/1.1 200");
    let (answer, _) = rest(&mut site.connect().await).await;
    assert_eq!(answer, "");
    drop(two);
    loop {
        let mut again = site.connect().await;
        let asked = again.write_all(ASK).await;
        if asked.is_ok() && again.read_exact(&mut seen).await.is_ok() {
            assert_eq!(&seen, b"HTTP/1.1 200");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silent_and_idle_connections_do_not_hold_up_the_end() {
    let site = Site::open(10).await;
    let (silent, mut idle) = (site.connect().await, site.connect().await);
    idle.write_all(ASK).await.unwrap();
    let mut seen = [0; 12];
    idle.read_exact(&mut seen).await.unwrap();
    let began = Instant::now();
    site.stop.cancel();
    site.served.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(silent);
}
