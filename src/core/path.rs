//! Request targets and path patterns.
/// A request target, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every upstream reads it the same way.
    Plain(String),
    /// Upstreams may read it differently: all the readings we know of.
    Ambiguous(Vec<String>),
}
/// A path pattern of a rule: `/exact`, `/one/*`, `/all/**`.
#[derive(Debug, Clone)]
pub struct Pattern(String);
impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
    /// Whether a path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0 == path
    }
}
