//! A secret that is given either as a value or as a file.

use secrecy::{ExposeSecret, SecretString};

use super::Reported;
use crate::config::report::Scope;
use crate::config::source::Files;

/// A secret as written: the two keys it may stand under, and what stands there.
pub(super) struct Secret {
    pub(super) names: (&'static str, &'static str),
    pub(super) value: Option<SecretString>,
    pub(super) file: Option<String>,
}

impl Secret {
    /// The secret, or `None` when neither key is there.
    pub(super) fn read(self, at: &Scope<'_>, files: &Files) -> Result<Option<SecretString>, Reported> {
        let (value_at, file_at) = (at.key(self.names.0), at.key(self.names.1));
        if value_at.is_written() && file_at.is_written() {
            file_at.mistake(format!("`{}` is there too: keep one of them", self.names.0));
            return Err(Reported);
        }
        if let Some(file) = self.file {
            return file_at.check(files.secret(&file)).map(Some).ok_or(Reported);
        }
        let Some(value) = self.value else {
            return if value_at.is_written() || file_at.is_written() { Err(Reported) } else { Ok(None) };
        };
        if value.expose_secret().trim().is_empty() {
            value_at.mistake("is empty: give the secret");
            return Err(Reported);
        }
        if !value_at.is_from_environment() {
            value_at.warn(format!("a secret in plain text: write ${{NAME}}, or use `{}`", self.names.1));
        }
        Ok(Some(value))
    }

    /// The secret; one of the keys must be there.
    pub(super) fn require(self, at: &Scope<'_>, files: &Files) -> Option<SecretString> {
        let (value, file) = self.names;
        match self.read(at, files) {
            Ok(Some(secret)) => Some(secret),
            // A whole entry of a wrong type was reported as such.
            Ok(None) if at.is_mistaken() => None,
            Ok(None) => {
                at.mistake(format!("needs a secret: give `{file}`, or `{value}: ${{NAME}}`"));
                None
            }
            Err(Reported) => None,
        }
    }
}
