//! Why an ID token is refused: the crate's many errors as the three reactions we have. Fixed texts, so that
//! nothing of a token gets into an error.

use openidconnect::{ClaimsVerificationError, SignatureVerificationError};

/// Why an ID token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// The key set holds no key for it: it may not have been published yet.
    NoKey(&'static str),
    /// No key of the key set made its signature: one may have been replaced under its id.
    Signature(&'static str),
    /// It is not valid, whatever the keys.
    Token(&'static str),
}

impl Invalid {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::NoKey(text) | Self::Signature(text) | Self::Token(text) => text,
        }
    }
}

/// What one try with the crate's verifier came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ambiguous,
    Invalid(Invalid),
}

impl Outcome {
    pub(super) fn into_invalid(self) -> Invalid {
        match self {
            Self::Ambiguous => Invalid::NoKey("several of the provider's keys fit the ID token"),
            Self::Invalid(invalid) => invalid,
        }
    }
}

impl From<ClaimsVerificationError> for Outcome {
    fn from(error: ClaimsVerificationError) -> Self {
        let text = match error {
            ClaimsVerificationError::SignatureVerification(error) => return Self::from(error),
            ClaimsVerificationError::Expired(_) => "the ID token has expired",
            ClaimsVerificationError::InvalidAudience(_) => "the ID token's aud is not ours, or names others too",
            ClaimsVerificationError::InvalidIssuer(_) => "the ID token's iss is not the configured issuer",
            ClaimsVerificationError::InvalidNonce(_) => "the ID token's nonce is not the attempt's",
            ClaimsVerificationError::Unsupported(_) => {
                "the ID token is encrypted, of another type, or has critical headers"
            }
            ClaimsVerificationError::InvalidAuthContext(_)
            | ClaimsVerificationError::InvalidAuthTime(_)
            | ClaimsVerificationError::InvalidSubject(_)
            | ClaimsVerificationError::Other(_)
            | _ => "the ID token's claims are not valid",
        };
        Self::Invalid(Invalid::Token(text))
    }
}

impl From<SignatureVerificationError> for Outcome {
    fn from(error: SignatureVerificationError) -> Self {
        Self::Invalid(match error {
            SignatureVerificationError::AmbiguousKeyId(_) => return Self::Ambiguous,
            SignatureVerificationError::NoMatchingKey => {
                Invalid::NoKey("the provider has no key that fits the ID token")
            }
            SignatureVerificationError::CryptoError(_) => Invalid::Signature("the ID token's signature is wrong"),
            SignatureVerificationError::DisallowedAlg(_)
            | SignatureVerificationError::NoSignature
            | SignatureVerificationError::UnsupportedAlg(_) => {
                Invalid::Token("the ID token's algorithm is not allowed")
            }
            SignatureVerificationError::InvalidKey(_) => Invalid::NoKey("the provider's key does not fit the ID token"),
            SignatureVerificationError::Other(_) | _ => Invalid::Token("the ID token's signature cannot be checked"),
        })
    }
}
