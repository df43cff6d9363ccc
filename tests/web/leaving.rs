//! Browsers that leave while their login finishes, and Envoys that give up on a callback: the routes' future is dropped.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use coatcheck::oidc::TokenKind;
use http::StatusCode;

use crate::bed::Bed;
use crate::browser::Browser;

/// Sends a callback and leaves once the provider has been asked to redeem the code, but before it has answered.
async fn leave_during(bed: &Bed, browser: &mut Browser<'_>, callback: &str) {
    let answer = bed.provider.gate.lock().await;
    {
        let mut visit = pin!(browser.get(callback));
        poll_fn(|cx| {
            assert!(visit.as_mut().poll(cx).is_pending(), "the provider has not answered yet");
            if bed.provider.redemptions() > 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    drop(answer);
}

#[tokio::test]
async fn a_login_whose_browser_left_leaves_no_session_and_no_token_behind() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login").await;
    leave_during(&bed, &mut browser, &callback).await;
    assert_eq!(bed.revoked().await, [(TokenKind::Refresh, "canary-refresh".into())]);
    assert_eq!(bed.store.sessions().await, (1, 0), "one was made, none is left");
    assert!(bed.metrics.render().contains(r#"outcome="abandoned"} 1"#), "{}", bed.metrics.render());
}

#[tokio::test]
async fn a_login_whose_browser_left_ends_no_session_that_the_browser_still_has() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let session = browser.sign_in().await;
    let callback = browser.begin("/auth/login").await;
    bed.provider.seen.lock().unwrap().redeemed.clear();
    leave_during(&bed, &mut browser, &callback).await;
    bed.revoked().await;
    assert_eq!(bed.store.sessions().await, (2, 1));
    assert!(bed.held(&session).await.is_some());
}

#[tokio::test]
async fn an_answer_whose_browser_left_is_not_redeemed_again() {
    let bed = Bed::new();
    let mut browser = bed.browser();
    let callback = browser.begin("/auth/login?return_to=/orders").await;
    leave_during(&bed, &mut browser, &callback).await;
    let again = browser.get(&callback).await;
    assert_eq!((again.status, bed.provider.redemptions()), (StatusCode::BAD_REQUEST, 1));
    assert!(again.body.contains(r#"href="/orders""#), "{}", again.body);
}
