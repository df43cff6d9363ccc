//! Connections over a pipe, with a clock that runs as soon as nobody has anything to do.

use http::{Request, Response};
use hyper::client::conn::http2;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::super::listen::Stream;
use super::*;

/// The preface and empty settings (RFC 9113 §3.4).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// A server whose only service takes this long, with connections of this age.
fn server(takes: Duration, stop: &Stop, age: Duration) -> (DuplexStream, JoinHandle<()>) {
    let (ours, theirs) = duplex(64 * 1024);
    let service = service_fn(move |_| async move {
        sleep(takes).await;
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    #[expect(clippy::disallowed_methods, reason = "the test owns it by its handle")]
    let served = tokio::spawn(connection(theirs, service, stop.clone(), age));
    (ours, served)
}

fn call() -> Request<Body> {
    Request::post("http://coatcheck/envoy.service.auth.v3.Authorization/Check").body(Body::empty()).unwrap()
}

/// Reads until the server closes; how long that took.
async fn closes(client: &mut DuplexStream) -> Duration {
    let began = Instant::now();
    let mut read = Vec::new();
    let _ = client.read_to_end(&mut read).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_or_half_a_word_is_let_go() {
    for said in [&b""[..], &HELLO[..10]] {
        let (mut client, served) = server(Duration::ZERO, &Stop::default(), AGE);
        client.write_all(said).await.unwrap();
        assert_eq!(closes(&mut client).await.as_secs(), 10);
        served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_a_ping_is_let_go() {
    let (mut client, served) = server(Duration::ZERO, &Stop::default(), AGE);
    client.write_all(HELLO).await.unwrap();
    assert!(closes(&mut client).await <= KEEPALIVE.0 + KEEPALIVE.1);
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_hear_that_we_stop_holds_nothing_up_for_long() {
    for said in [&b""[..], HELLO] {
        let stop = Stop::default();
        let (mut client, served) = server(Duration::ZERO, &stop, AGE);
        client.write_all(said).await.unwrap();
        tokio::task::yield_now().await;
        stop.drain();
        assert!(closes(&mut client).await <= GRACE);
        served.await.unwrap();
    }
}

#[tokio::test]
async fn connections_that_still_wait_for_their_thread_when_we_stop_are_told_to_go() {
    // GOAWAY that lets everything under way finish (RFC 9113 §6.8).
    let goodbye = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00";
    let (sender, arrivals) = mpsc::channel(8);
    let places = Arc::new(Semaphore::new(8));
    let mut clients = Vec::new();
    for _ in 0..8 {
        let (client, ours) = UnixStream::pair().unwrap();
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        assert!(sender.try_send((Stream::Unix(ours).park().unwrap(), place)).is_ok());
        clients.push(client);
    }
    drop(sender);
    let stop = Stop::default();
    stop.drain();
    let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(Body::empty())));
    let greet = async {
        for mut client in clients {
            client.write_all(HELLO).await.unwrap();
            let mut read = Vec::new();
            while !read.windows(goodbye.len()).any(|window| window == goodbye) {
                assert!(client.read_buf(&mut read).await.unwrap() > 0, "closed without a word: {read:?}");
            }
        }
    };
    tokio::join!(serve(arrivals, service, &stop), greet);
    assert_eq!(places.available_permits(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_renewed_and_what_is_under_way_is_finished() {
    for age in [AGE, AGE + AGE / 5] {
        let began = Instant::now();
        // Within the grace that begins at this very age, and not together with a ping.
        let (client, served) = server(age + GRACE / 3, &Stop::default(), age);
        let (mut sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test owns it by its handle")]
        let driver = tokio::spawn(driver);
        let response = sender.send_request(call()).await.unwrap();
        assert_eq!(response.status(), 200);
        drop(response);
        // The goodbye reached the client long ago: it opens no further stream here.
        assert!(sender.send_request(call()).await.is_err());
        driver.await.unwrap().unwrap();
        served.await.unwrap();
        assert!(began.elapsed() < age + GRACE);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_not_all_renewed_at_once() {
    let ages: Vec<Duration> = std::iter::repeat_with(age).take(50).collect();
    assert!(ages.iter().all(|age| (AGE..=AGE + AGE / 5).contains(age)));
    assert!(ages.iter().any(|age| *age != ages[0]));
}
