//! `CheckResponse.dynamic_metadata`, straight to the wire: what Envoy's access log, RBAC and rate limits may know of a
//! request, in the namespace `envoy.filters.http.ext_authz`. Never a token, never a claim.
//!
//! Every check carries it. As `prost_types::Struct` it would be a hash map with an allocation for every word.

use bytes::BufMut;

use crate::core::about::{About, Subject};
use crate::core::verdict::Reason;

/// Keys of protobuf fields that hold bytes: the number, then wire type 2.
const DYNAMIC_METADATA: u8 = 4 << 3 | 2;
const STRUCT_FIELDS: u8 = 1 << 3 | 2;
const ENTRY_KEY: u8 = 1 << 3 | 2;
const ENTRY_VALUE: u8 = 2 << 3 | 2;
const STRING_VALUE: u8 = 3 << 3 | 2;

/// Writes the field `dynamic_metadata` with all that is known.
pub(super) fn encode(about: &About, reason: Reason, buffer: &mut impl BufMut) {
    let subject = about.subject.map(hex);
    let fields = [
        ("app", about.app.as_deref()),
        ("session", about.session.as_deref()),
        ("subject", subject.as_ref().and_then(|digits| std::str::from_utf8(digits).ok())),
        ("decision", Some(reason.decision())),
        ("reason", Some(reason.as_str())),
    ];
    let known = || fields.iter().filter_map(|(key, value)| Some((*key, (*value)?)));
    buffer.put_u8(DYNAMIC_METADATA);
    put_length(known().map(|(key, value)| framed(entry_length(key, value))).sum(), buffer);
    for (key, value) in known() {
        buffer.put_u8(STRUCT_FIELDS);
        put_length(entry_length(key, value), buffer);
        put_text(ENTRY_KEY, key, buffer);
        buffer.put_u8(ENTRY_VALUE);
        put_length(framed(value.len()), buffer);
        put_text(STRING_VALUE, value, buffer);
    }
}

/// Bytes of a `map<string, Value>` entry.
fn entry_length(key: &str, value: &str) -> usize {
    framed(key.len()) + framed(framed(value.len()))
}

/// Bytes of a field whose content has this length.
fn framed(length: usize) -> usize {
    let bits = usize::BITS - (length | 1).leading_zeros();
    1 + usize::try_from(bits.div_ceil(7)).unwrap_or_default() + length
}

fn put_text(key: u8, text: &str, buffer: &mut impl BufMut) {
    buffer.put_u8(key);
    put_length(text.len(), buffer);
    buffer.put_slice(text.as_bytes());
}

/// Base 128, the lowest seven bits first.
fn put_length(mut length: usize, buffer: &mut impl BufMut) {
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or_default();
        length >>= 7;
        if length == 0 {
            return buffer.put_u8(low);
        }
        buffer.put_u8(low | 0x80);
    }
}

fn hex(Subject(hash): Subject) -> [u8; 32] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' - 10 + half };
    let mut digits = [0_u8; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(hash) {
        if let [high, low] = pair {
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
        }
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
    use envoy_types::pb::google::protobuf::value::Kind;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    /// What prost, and with it Envoy, reads.
    fn read(about: &About, reason: Reason) -> BTreeMap<String, String> {
        let mut bytes = Vec::new();
        encode(about, reason, &mut bytes);
        let response = CheckResponse::decode(&*bytes).unwrap();
        assert_eq!((response.status, response.http_response), (None, None), "nothing else is written");
        let fields = response.dynamic_metadata.unwrap().fields;
        let text = |value: Option<Kind>| match value {
            Some(Kind::StringValue(text)) => text,
            other => panic!("not text: {other:?}"),
        };
        fields.into_iter().map(|(key, value)| (key, text(value.kind))).collect()
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let fields = read(&About::default(), Reason::Malformed);
        let expected = [("decision", "deny"), ("reason", "malformed")];
        assert_eq!(fields, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    proptest! {
        #[test]
        fn protobuf_reads_what_was_written(
            app in proptest::option::of("\\PC{0,300}"),
            session in proptest::option::of("[0-9a-f]{8}"),
            subject in proptest::option::of(any::<[u8; 16]>()),
            reason in 0..Reason::ALL.len(),
        ) {
            let reason = Reason::ALL[reason];
            let about = About { app: app.as_deref().map(Into::into), session, subject: subject.map(Subject) };
            let fields = read(&about, reason);
            prop_assert_eq!(fields.get("app"), app.as_ref());
            prop_assert_eq!(fields.get("session"), about.session.as_ref());
            let hash = subject.map(|hash| hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")));
            prop_assert_eq!(fields.get("subject"), hash.as_ref());
            prop_assert_eq!(fields["decision"].as_str(), reason.decision());
            prop_assert_eq!(fields["reason"].as_str(), reason.as_str());
        }
    }
}
