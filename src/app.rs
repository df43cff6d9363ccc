//! The one place where parts meet.

use crate::config::{Config, Warnings};

/// Serves until the process is told to stop.
pub fn serve(config: Config, warnings: Warnings) -> anyhow::Result<()> {
    drop((config, warnings));
    anyhow::bail!("the parts are not wired yet")
}
