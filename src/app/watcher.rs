//! Tells when files have changed and come to rest. Asks for their identity every second instead of waiting for events:
//! that sees every way a file can be replaced, on every kind of file system (ADR 10).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Watches files.
pub(super) struct Watcher {
    files: Vec<PathBuf>,
    settling: Settling<Observation>,
    beat: Interval,
}

/// What a look saw.
type Observation = BTreeMap<PathBuf, Result<Stamp, io::ErrorKind>>;

/// The identity of what a path leads to, links followed: a swapped link leads to another inode, a rewritten file has
/// another time of change. Which file it is and when it changed, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Watcher {
    /// The first change it tells is whatever happened before its first look.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let mut beat = interval(LOOK);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { files, settling: Settling::default(), beat }
    }

    /// From now on watches these files. Those that were not watched before count as changed.
    pub(super) fn follow(&mut self, files: Vec<PathBuf>) {
        self.files = files;
    }

    /// Returns when the files have changed and are at rest. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) {
        loop {
            self.beat.tick().await;
            let files = self.files.clone();
            // A file system that hangs keeps a thread for blocking work, and nobody else.
            let seen = spawn_blocking(|| files.into_iter().map(|file| (look(&file), file)).collect::<Vec<_>>()).await;
            let Ok(seen) = seen else { continue };
            if self.settling.is_due(seen.into_iter().map(|(stamp, file)| (file, stamp)).collect()) {
                return;
            }
        }
    }
}

fn look(file: &Path) -> Result<Stamp, io::ErrorKind> {
    let found = std::fs::metadata(file).map_err(|error| error.kind())?;
    Ok(Stamp {
        file: (found.dev(), found.ino()),
        size: found.size(),
        written: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// Waits until two observations in a row are the same: a file that is being written is not read half.
#[derive(Debug)]
struct Settling<T> {
    told: Option<T>,
    last: Option<T>,
}

impl<T> Default for Settling<T> {
    fn default() -> Self {
        Self { told: None, last: None }
    }
}

impl<T: PartialEq + Clone> Settling<T> {
    /// Whether `seen` is news and at rest. Each state is told once, until another was told.
    fn is_due(&mut self, seen: T) -> bool {
        let at_rest = self.last.as_ref() == Some(&seen);
        let news = self.told.as_ref() != Some(&seen);
        if at_rest && news {
            self.told = Some(seen.clone());
        }
        self.last = Some(seen);
        at_rest && news
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What is told of a row of observations.
    fn told(observations: &[u8]) -> Vec<u8> {
        let mut settling = Settling::default();
        observations.iter().copied().filter(|seen| settling.is_due(*seen)).collect()
    }

    #[test]
    fn a_state_is_told_once_it_was_seen_twice_in_a_row() {
        assert!(told(&[1]).is_empty());
        assert_eq!(told(&[1, 1, 1, 1]), [1]);
        assert_eq!(told(&[1, 1, 2, 2, 2]), [1, 2]);
    }

    #[test]
    fn what_still_changes_is_not_told() {
        assert_eq!(told(&[1, 1, 2, 3, 4, 4]), [1, 4]);
    }

    #[test]
    fn what_came_and_went_between_two_looks_is_not_told() {
        assert_eq!(told(&[1, 1, 2, 1, 1]), [1]);
    }

    #[test]
    fn a_state_that_comes_back_is_told_again() {
        assert_eq!(told(&[1, 1, 2, 2, 1, 1]), [1, 2, 1]);
    }

    #[test]
    fn every_way_to_replace_a_file_shows() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("one")).unwrap();
        std::fs::create_dir(at("two")).unwrap();
        std::fs::write(at("one/key"), "a").unwrap();
        std::fs::write(at("two/key"), "b").unwrap();
        // As Kubernetes mounts a Secret: key -> ..data/key, ..data -> a directory of one version.
        symlink("one", at("..data")).unwrap();
        symlink("..data/key", at("key")).unwrap();
        let first = look(&at("key")).unwrap();
        assert_eq!(look(&at("key")).unwrap(), first);
        symlink("two", at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        let second = look(&at("key")).unwrap();
        assert_ne!(second, first);
        std::fs::write(at("draft"), "b").unwrap();
        std::fs::rename(at("draft"), at("two/key")).unwrap();
        let third = look(&at("key")).unwrap();
        assert_ne!(third, second);
        std::fs::write(at("two/key"), "longer").unwrap();
        assert_ne!(look(&at("key")).unwrap(), third);
        std::fs::remove_file(at("two/key")).unwrap();
        assert_eq!(look(&at("key")).unwrap_err(), io::ErrorKind::NotFound);
    }
}
