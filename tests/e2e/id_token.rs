//! ID tokens that must be refused, token answers that are none, and rotated keys (behaviour 24). The provider
//! here is hostile: a certified one cannot be made to do these things.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::hostile::{Flaw, Reply};
use crate::support::jwt::Forgery;
use crate::support::stack::{Plan, Stack, session_cookie, shop};

/// A change of an ID token's claims.
type Change = fn(&mut Value);

async fn assert_refused(stack: &Stack, what: &str) {
    let browser = stack.browser();
    let page = browser.visit(&shop("/landing")).await;
    assert!(page.status >= 400, "{what}: landed with {} at {}", page.status, page.url);
    assert_eq!(page.url.path(), "/auth/callback", "{what}: no loop");
    assert!(!page.text().contains("<script"), "{what}");
    assert_eq!(session_cookie(&browser), None, "{what}");
}

async fn assert_lands(stack: &Stack, what: &str) {
    let landing = stack.browser().visit(&shop("/landing")).await;
    assert_eq!((landing.status, landing.url.path()), (200, "/landing"), "{what}: {}", landing.text());
}

fn now(claims: &Value) -> i64 {
    claims["iat"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_token_with_a_wrong_claim_is_refused() {
    let stack = Plan::new().hostile().start().await;
    assert_lands(&stack, "honest").await;
    let wrong: [(&str, Change); 20] = [
        ("iss", |claims| claims["iss"] = json!("https://evil.example")),
        ("iss with a slash", |claims| claims["iss"] = json!(format!("{}/", claims["iss"].as_str().unwrap()))),
        ("no iss", |claims| drop(claims.as_object_mut().unwrap().remove("iss"))),
        ("aud", |claims| claims["aud"] = json!("somebody-else")),
        ("empty aud", |claims| claims["aud"] = json!([])),
        ("no aud", |claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ("an audience nobody trusts", |claims| claims["aud"] = json!([claims["aud"], "evil"])),
        ("azp", |claims| claims["azp"] = json!("somebody-else")),
        ("exp", |claims| claims["exp"] = json!(now(claims) - 600)),
        ("exp as text", |claims| claims["exp"] = json!("never")),
        ("no exp", |claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        ("iat in the future", |claims| claims["iat"] = json!(now(claims) + 3600)),
        ("nonce", |claims| claims["nonce"] = json!("wrong")),
        ("no nonce", |claims| drop(claims.as_object_mut().unwrap().remove("nonce"))),
        ("a nonce that is a number", |claims| claims["nonce"] = json!(42)),
        ("a nonce that is an object", |claims| claims["nonce"] = json!({ "a": [1, 2] })),
        ("a nonce that is null", |claims| claims["nonce"] = json!(null)),
        ("at_hash", |claims| claims["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA")),
        ("no sub", |claims| drop(claims.as_object_mut().unwrap().remove("sub"))),
        ("empty sub", |claims| claims["sub"] = json!("")),
    ];
    for (what, change) in wrong {
        stack.hostile().flaw(Flaw::Claims(change));
        assert_refused(&stack, what).await;
    }
    stack.hostile().flaw(Flaw::None);
    assert_lands(&stack, "the process survived").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_id_token_is_refused() {
    let stack = Plan::new().hostile().start().await;
    let forgeries = [
        Forgery::AlgNone,
        Forgery::Hs256WithPublicKey,
        Forgery::Hs256WithClientSecret,
        Forgery::EmbeddedKey,
        Forgery::UnknownKid,
        Forgery::BrokenSignature,
    ];
    for forgery in forgeries {
        stack.hostile().flaw(Flaw::Forged(forgery));
        assert_refused(&stack, &format!("{forgery:?}")).await;
    }
    stack.hostile().flaw(Flaw::None);
    assert_lands(&stack, "the process survived").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_answer_that_is_none_is_refused_in_time() {
    let stack = Plan::new().hostile().config(|config| config["providers"][0]["timeout"] = "1s".into()).start().await;
    let answers: [(&str, Flaw); 12] = [
        ("an OAuth error", Flaw::Reply(Reply::Error(400, "invalid_grant"))),
        ("a bad secret", Flaw::Reply(Reply::Error(401, "invalid_client"))),
        ("a server error", Flaw::Reply(Reply::Error(500, "server_error"))),
        ("truncated", Flaw::Reply(Reply::Truncated)),
        ("not JSON", Flaw::Reply(Reply::NotJson)),
        ("huge", Flaw::Reply(Reply::Huge)),
        ("a redirect", Flaw::Reply(Reply::Redirect)),
        ("slow", Flaw::Reply(Reply::Slow(Duration::from_secs(4)))),
        ("no ID token", Flaw::Answer(|answer| drop(answer.as_object_mut().unwrap().remove("id_token")))),
        ("no access token", Flaw::Answer(|answer| drop(answer.as_object_mut().unwrap().remove("access_token")))),
        ("an ID token of one part", Flaw::Answer(|answer| answer["id_token"] = json!("x"))),
        ("another token type", Flaw::Answer(|answer| answer["token_type"] = json!("mac"))),
    ];
    for (what, flaw) in answers {
        stack.hostile().flaw(flaw);
        let before = stack.hostile().counts().code;
        assert_refused(&stack, what).await;
        assert_eq!(stack.hostile().counts().code, before + 1, "{what}: the code is sent once");
    }
    stack.hostile().flaw(Flaw::None);
    assert_lands(&stack, "the process survived").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_key_rotation_login_works_at_once_with_one_fetch() {
    let stack = Plan::new().hostile().start().await;
    assert_lands(&stack, "before").await;
    let before = stack.hostile().counts();
    stack.hostile().rotate_key();
    assert_lands(&stack, "after").await;
    assert_lands(&stack, "and again").await;
    let after = stack.hostile().counts();
    assert_eq!(after.jwks, before.jwks + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_does_not_flood_the_provider() {
    let stack = Plan::new().hostile().start().await;
    assert_lands(&stack, "before").await;
    let before = stack.hostile().counts();
    stack.hostile().flaw(Flaw::Forged(Forgery::UnknownKid));
    for round in 0..15 {
        assert_refused(&stack, &format!("round {round}")).await;
    }
    let fetches = stack.hostile().counts().jwks - before.jwks;
    assert!(fetches <= 2, "{fetches} fetches for 15 unknown keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_audience_beside_ours_is_fine() {
    let stack = Plan::new()
        .hostile()
        .config(|config| config["providers"][0]["trusted_audiences"] = json!(["api"]))
        .start()
        .await;
    stack.hostile().flaw(Flaw::Claims(|claims| {
        claims["azp"] = claims["aud"].clone();
        claims["aud"] = json!([claims["aud"], "api"]);
    }));
    assert_lands(&stack, "two audiences").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_that_names_another_issuer_is_refused() {
    let stack =
        Plan::new().hostile().start_with_metadata(|document| document["issuer"] = json!("https://evil.example")).await;
    let page = stack.browser().visit(&shop("/landing")).await;
    assert!(page.status >= 500, "{} {}", page.status, page.text());
    assert_eq!(stack.hostile().counts().code, 0);
    assert!(!stack.replicas[0].is_ready().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_that_cannot_be_a_header_is_refused() {
    let stack = Plan::new().hostile().start().await;
    let odd: [(&str, Change); 4] = [
        ("a line break", |answer| answer["access_token"] = json!("abc\r\nx-evil: 1")),
        ("beyond ASCII", |answer| answer["access_token"] = json!("tökén")),
        ("no text", |answer| answer["access_token"] = json!({ "a": 1 })),
        ("empty", |answer| answer["access_token"] = json!("")),
    ];
    for (what, change) in odd {
        stack.hostile().flaw(Flaw::Answer(change));
        assert_refused(&stack, what).await;
    }
    assert!(stack.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_lifetime_is_replaced_by_the_configured_one_and_loops_never() {
    let stack = Plan::new().hostile().start().await;
    let odd: [(&str, Change); 6] = [
        ("negative", |answer| answer["expires_in"] = json!(-5)),
        ("as text", |answer| answer["expires_in"] = json!("300")),
        ("beyond all", |answer| answer["expires_in"] = json!(u64::MAX)),
        ("broken", |answer| answer["expires_in"] = json!(1.5)),
        ("nothing", |answer| answer["expires_in"] = json!(0)),
        ("an empty refresh token", |answer| answer["refresh_token"] = json!("")),
    ];
    for (what, change) in odd {
        stack.hostile().flaw(Flaw::Answer(change));
        let browser = stack.browser();
        assert_eq!(browser.visit(&shop("/landing")).await.status, 200, "{what}");
        for _ in 0..5 {
            assert_eq!(stack.fetch(&browser, "/api/x").await.status, 200, "{what}");
        }
        assert_eq!(stack.hostile().counts().refresh, 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_thirty_kilobytes_arrives_whole() {
    let stack = Plan::new().hostile().start().await;
    stack.hostile().flaw(Flaw::Answer(|answer| answer["access_token"] = json!("t".repeat(30_000))));
    // The honest at_hash is of the short token.
    let browser = stack.browser();
    let refused = browser.visit(&shop("/landing")).await;
    assert!(refused.status >= 400, "at_hash protects the token");
    stack.hostile().large_tokens(30_000);
    stack.hostile().flaw(Flaw::None);
    assert_eq!(browser.visit(&shop("/landing")).await.status, 200);
    let token = stack.token_for(&browser, "/api/x").await;
    assert!(token.len() > 30_000 && stack.hostile().minted().contains(&token));
    let cookies: usize = browser.cookies("shop.example.test").iter().map(|one| one.name.len() + one.value.len()).sum();
    assert!(cookies < 200, "the browser holds a ticket, not the token");
}
