//! `grpc-timeout` (gRPC over HTTP/2): how long Envoy waits for this check.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The caller's timeout; `None` when it tells none, or nonsense. At most a minute: no check takes longer.
pub(super) fn of(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(amount.saturating_mul(3600)),
        "M" => Duration::from_secs(amount.saturating_mul(60)),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    };
    Some(timeout.min(Duration::from_secs(60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_envoy_sends() {
        for (text, expected) in [
            ("500m", Some(Duration::from_millis(500))),
            ("5S", Some(Duration::from_secs(5))),
            ("200000u", Some(Duration::from_millis(200))),
            ("1H", Some(Duration::from_secs(60))),
            ("", None),
            ("5", None),
            ("-1S", None),
            ("999999999S", None),
            ("5\u{e9}", None),
        ] {
            let mut metadata = MetadataMap::new();
            if let Ok(value) = text.parse() {
                metadata.insert("grpc-timeout", value);
            }
            assert_eq!(of(&metadata), expected, "{text:?}");
        }
    }
}
