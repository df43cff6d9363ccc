//! What is read, and what is not.

use std::collections::VecDeque;
use std::io;

use proptest::prelude::*;

use super::*;

/// A body of these pieces.
struct Pieces(VecDeque<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

fn read(pieces: &[&[u8]], limit: usize) -> Result<Bytes, Unread> {
    let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    futures_util::FutureExt::now_or_never(message(Body::new(Pieces(pieces)), limit)).unwrap()
}

#[test]
fn a_message_is_read_whole_or_not_at_all() {
    assert_eq!(read(&[&[0, 0, 0, 0, 3], b"abc"], 3).unwrap(), "abc");
    assert_eq!(read(&[&[0, 0, 0, 0, 0]], 0).unwrap(), "");
    let malformed: [&[&[u8]]; 6] = [
        &[],
        &[&[0, 0, 0]],
        &[&[0, 0, 0, 0, 4], b"abc"],
        &[&[0, 0, 0, 0, 2], b"abc"],
        &[&[1, 0, 0, 0, 3], b"abc"],
        &[&[0, 255, 255, 255, 255], b"abc"],
    ];
    for pieces in malformed {
        assert_eq!(read(pieces, 1000), Err(Unread::Malformed), "{pieces:?}");
    }
}

#[test]
fn a_message_over_the_limit_is_not_collected() {
    let endless = std::iter::repeat_with(|| Bytes::from_static(&[0; 1024])).take(1_000_000);
    let read = futures_util::FutureExt::now_or_never(message(Body::new(Pieces(endless.take(3).collect())), 2048));
    assert_eq!(read, Some(Err(Unread::TooLong)));
}

/// A whole message on a stream that never ends: reset, with an error or, for hyper, without.
struct Reset(Option<Bytes>, Option<io::ErrorKind>);

impl hyper::body::Body for Reset {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let data = self.0.take().map(|piece| Ok(Frame::data(piece)));
        Poll::Ready(data.or_else(|| self.1.take().map(|kind| Err(kind.into()))))
    }
}

#[test]
fn a_stream_that_is_reset_is_told_from_a_bad_message() {
    let message = || Bytes::from_static(&[0, 0, 0, 0, 1, b'a']);
    for sent in [None, Some(message().slice(..3)), Some(message())] {
        for error in [None, Some(io::ErrorKind::ConnectionReset)] {
            let body = Body::new(Reset(sent.clone(), error));
            let read = futures_util::FutureExt::now_or_never(super::message(body, 1000)).unwrap();
            assert_eq!(read, Err(Unread::Gone), "{sent:?} {error:?}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_framed_is_read_again_however_it_is_cut(
        text in proptest::collection::vec(any::<u8>(), 0..300),
        cut in proptest::collection::vec(0_usize..310, 0..5),
    ) {
        let frame = framed(&text, |_| {});
        let mut cuts: Vec<usize> = cut.into_iter().map(|at| at.min(frame.len())).chain([0, frame.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &frame[ends[0]..ends[1]]).collect();
        let read = read(&pieces, 1000).unwrap();
        prop_assert_eq!(&*read, &*text.encode_to_vec());
    }
}
