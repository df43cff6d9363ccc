//! Which requests are traced: decided before a span exists, so that one which is not costs nothing.
//!
//! The samplers and their names are those of the OpenTelemetry specification (`OTEL_TRACES_SAMPLER`).

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::SpanContext;

use super::{Env, TelemetryError};

/// The sampler of this process.
#[derive(Debug)]
pub struct Sampler {
    /// Whether a parent's decision is followed.
    parent_based: bool,
    /// What is sampled otherwise: a share of `1 << 63`.
    bound: u64,
    /// Where the dice for traces without a parent stand.
    dice: AtomicU64,
}

impl Sampler {
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`; `parentbased_always_on` when not set.
    pub fn from_env(env: Env<'_>) -> Result<Self, TelemetryError> {
        let name = env("OTEL_TRACES_SAMPLER").unwrap_or_default();
        let (parent_based, share) = match name.trim() {
            "" | "parentbased_always_on" => (true, 1.0),
            "parentbased_always_off" => (true, 0.0),
            "parentbased_traceidratio" => (true, ratio(env)?),
            "always_on" => (false, 1.0),
            "always_off" => (false, 0.0),
            "traceidratio" => (false, ratio(env)?),
            other => {
                let why = format!(
                    "`{other}` is not a sampler; use always_on, always_off, traceidratio, \
                     parentbased_always_on, parentbased_always_off or parentbased_traceidratio"
                );
                return Err(TelemetryError::Setting { place: "OTEL_TRACES_SAMPLER", why });
            }
        };
        Ok(Self::new(parent_based, share, u64::from_be_bytes(crate::clock::random())))
    }

    /// A sampler that takes `share` (0 to 1) of what its parent does not decide.
    #[must_use]
    pub fn new(parent_based: bool, share: f64, seed: u64) -> Self {
        Self { parent_based, bound: bound(share), dice: AtomicU64::new(seed) }
    }

    /// Whether a request with this parent is traced.
    #[must_use]
    pub fn samples(&self, parent: Option<&SpanContext>) -> bool {
        match parent {
            Some(parent) if self.parent_based => parent.is_sampled(),
            Some(parent) => self.takes(u128::from_be_bytes(parent.trace_id().to_bytes())),
            None => self.takes(u128::from(self.throw())),
        }
    }

    /// The rule of the OpenTelemetry SDK, so that every service of a trace decides alike: the lower 63 bits count.
    fn takes(&self, trace_id: u128) -> bool {
        let lower = trace_id & u128::from(u64::MAX);
        (lower >> 1) < u128::from(self.bound)
    }

    /// SplitMix64: a few nanoseconds, evenly spread; nothing depends on it being hard to guess.
    fn throw(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.dice.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// `OTEL_TRACES_SAMPLER_ARG`; 1 when not set.
fn ratio(env: Env<'_>) -> Result<f64, TelemetryError> {
    let Some(text) = env("OTEL_TRACES_SAMPLER_ARG").filter(|text| !text.trim().is_empty()) else {
        return Ok(1.0);
    };
    match text.trim().parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err(TelemetryError::Setting {
            place: "OTEL_TRACES_SAMPLER_ARG",
            why: format!("`{text}` is not a number from 0 to 1"),
        }),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of 2^63; the cast saturates"
)]
fn bound(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};
    use opentelemetry_sdk::trace::{Sampler as SdkSampler, ShouldSample};
    use proptest::prelude::*;

    use super::*;

    fn parent(trace_id: u128, flags: TraceFlags) -> SpanContext {
        SpanContext::new(TraceId::from(trace_id), SpanId::from(1), flags, true, TraceState::NONE)
    }

    fn from(pairs: &[(&str, &str)]) -> Result<Sampler, TelemetryError> {
        let map: HashMap<String, String> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Sampler::from_env(&|name| map.get(name).cloned())
    }

    #[test]
    fn the_parent_decides_unless_told_otherwise() {
        let sampler = from(&[]).unwrap();
        assert!(sampler.samples(Some(&parent(7, TraceFlags::SAMPLED))));
        assert!(!sampler.samples(Some(&parent(7, TraceFlags::NOT_SAMPLED))));
        assert!(sampler.samples(None));
        let off = from(&[("OTEL_TRACES_SAMPLER", "always_off")]).unwrap();
        assert!(!off.samples(Some(&parent(7, TraceFlags::SAMPLED))));
        let on = from(&[("OTEL_TRACES_SAMPLER", "always_on")]).unwrap();
        assert!(on.samples(Some(&parent(u128::MAX, TraceFlags::NOT_SAMPLED))));
    }

    #[test]
    fn a_share_of_the_traces_without_parent_is_taken() {
        let sampler =
            from(&[("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")]).unwrap();
        let taken = (0..10_000).filter(|_| sampler.samples(None)).count();
        assert!((2_200..2_800).contains(&taken), "{taken}");
    }

    #[test]
    fn nonsense_is_refused_with_the_name_of_the_variable() {
        let error = from(&[("OTEL_TRACES_SAMPLER", "sometimes")]).unwrap_err();
        assert!(error.to_string().starts_with("OTEL_TRACES_SAMPLER: `sometimes`"), "{error}");
        for arg in ["2", "-1", "NaN", "half"] {
            let error = from(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", arg)]).unwrap_err();
            assert!(error.to_string().contains("is not a number from 0 to 1"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn ratios_agree_with_the_sdk(trace_id in 1_u128.., share in 0.0_f64..=1.0) {
            let sdk = SdkSampler::TraceIdRatioBased(share);
            let kind = opentelemetry::trace::SpanKind::Server;
            let theirs = sdk.should_sample(None, TraceId::from(trace_id), "", &kind, &[], &[]).decision
                == opentelemetry_sdk::trace::SamplingDecision::RecordAndSample;
            let ours = Sampler::new(false, share, 0).samples(Some(&parent(trace_id, TraceFlags::NOT_SAMPLED)));
            prop_assert_eq!(ours, theirs);
        }
    }
}
