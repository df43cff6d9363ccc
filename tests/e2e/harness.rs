//! The harness itself: a test that leans on a peer must be able to trust it.

use serde_json::json;
use url::Url;

use crate::support::browser::{Browser, Call, Site};
use crate::support::chaos::{Chaos, Link};
use crate::support::envoy::{Envoy, Targets};
use crate::support::hostile::Hostile;
use crate::support::invariants;
use crate::support::page;
use crate::support::provider::Provider;
use crate::support::redis::Redis;
use crate::support::stack;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn the_upstream_records_lines_byte_for_byte() {
    let upstream = Upstream::start().await;
    let url: Url = format!("http://{}/x?y=1", upstream.address).parse().unwrap();
    let call = Call::bare("POST", &url).header("cookie", b"a=\"1,2\"; b=\xff").header("cookie", "c=3");
    let response = Browser::default().send(call.form("k=v")).await;
    assert_eq!(response.status, 200);
    let seen = upstream.latest("/x").unwrap();
    let cookies: Vec<&[u8]> =
        seen.head.headers.iter().filter(|(name, _)| name == "cookie").map(|(_, value)| value.as_slice()).collect();
    assert_eq!(cookies, [b"a=\"1,2\"; b=\xff".as_slice(), b"c=3"]);
    assert_eq!((seen.target.as_str(), seen.body.as_slice()), ("/x?y=1", b"k=v".as_slice()));
}

#[tokio::test]
async fn a_link_cuts_delays_limits_and_comes_back() {
    let upstream = Upstream::start().await;
    let link = Chaos::to(upstream.address).await;
    let url: Url = format!("http://{}/x", link.address).parse().unwrap();
    let get = || async {
        crate::support::browser::exchange(
            link.address,
            b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "GET",
        )
        .await
    };
    assert!(get().await.is_ok());
    link.cut();
    assert!(get().await.is_err());
    link.set(Link::Limited(10));
    assert!(get().await.is_err());
    link.restore();
    assert_eq!(Browser::default().send(Call::bare("GET", &url)).await.status, 200);
}

#[tokio::test]
async fn redis_freezes_dies_and_comes_back_with_its_data() {
    let mut redis = Redis::start().await;
    redis.command(&["SET", "k", "v", "PX", "60000"]);
    assert_eq!(redis.keys(), ["k"]);
    redis.freeze();
    redis.thaw();
    redis.stop();
    redis.restart().await;
    assert_eq!(redis.text(&["GET", "k"]), "v");
}

#[tokio::test]
async fn the_browser_walks_the_providers_form() {
    let provider = Provider::start(&json!({ "clients": [stack::client("shop", "a-secret")] })).await;
    let mut url: Url = format!("{}/authorize", provider.issuer).parse().unwrap();
    url.query_pairs_mut()
        .append_pair("client_id", "shop")
        .append_pair("response_type", "code")
        .append_pair("scope", "openid")
        .append_pair("redirect_uri", &format!("{}/auth/callback", stack::SHOP))
        .append_pair("state", "s")
        .append_pair("nonce", "n")
        .append_pair("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
        .append_pair("code_challenge_method", "S256");
    let browser = Browser::default();
    let callback = browser.callback_url("alice", &url).await;
    assert!(callback.as_str().starts_with("https://shop.example.test/auth/callback?code="));
    let code = callback.query_pairs().find(|(key, _)| key == "code").unwrap().1;
    assert!(browser.secrets().iter().any(|secret| *secret == code), "the code is a canary");
    assert_eq!(provider.count("authorize").await, 1);
}

#[tokio::test]
async fn the_hostile_provider_is_honest_until_told_otherwise() {
    let hostile = Hostile::start("a-secret").await;
    let url: Url =
        format!("http://{}/authorize?redirect_uri=https://x.test/cb&state=s&nonce=n", hostile.address).parse().unwrap();
    let callback = Browser::default().send(Call::navigation("GET", &url, Site::None)).await.location().unwrap();
    assert!(callback.as_str().contains("state=s"));
}

#[test]
fn pages_are_read_as_a_browser_reads_them() {
    let html = r#"<meta http-equiv="refresh" content="0;url=/a?b=1&amp;c=2"><form action="/x&#47;y" method=post><input type="hidden" name="k" value="&quot;v"></form>"#;
    assert_eq!(page::refresh_target(html).unwrap(), "/a?b=1&c=2");
    let form = page::form(html).unwrap();
    assert_eq!((form.action.as_str(), form.method.as_str()), ("/x/y", "POST"));
    assert_eq!(form.filled(&[]), "k=%22v");
}

#[tokio::test]
async fn envoy_runs_the_shipped_file_and_refuses_when_nobody_answers() {
    let upstream = Upstream::start().await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let targets = Targets { replicas: Vec::new(), upstream: upstream.address, otlp: nobody };
    let envoy = Envoy::start(crate::MODE.envoy(), &targets, |_| {}).await;
    let url: Url = format!("http://{}/x", envoy.address).parse().unwrap();
    let response = Browser::default().send(Call::bare("GET", &url)).await;
    assert_eq!(response.status, 503);
    assert!(upstream.seen().is_empty());
}

#[test]
#[should_panic(expected = "holds a secret")]
fn a_leaked_secret_fails_the_test_without_printing_it() {
    let canary = "a-token-of-some-length".to_owned();
    let log = vec!["fine".to_owned(), format!("request with Bearer {canary}")];
    invariants::no_leak("a log", &log, &[canary].into());
}
