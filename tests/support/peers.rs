//! Where `tests/install.sh` put the pinned peers. A missing one fails the test; it never skips.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An installed program.
pub fn program(name: &str) -> PathBuf {
    let path = root().join(".peers/bin").join(name);
    assert!(path.exists(), "{} is missing: run tests/install.sh", path.display());
    path
}
