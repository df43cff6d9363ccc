//! A Secret as the kubelet mounts it: each file a link into `..data`, which is itself a link to a directory of one
//! version. An update makes a new directory and swaps that one link, so that all files change at once.

use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

/// The mounted files.
pub struct Mount {
    directory: TempDir,
    version: u32,
}

impl Mount {
    /// Mounts a first version.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let mut mount = Self { directory: TempDir::new().unwrap(), version: 0 };
        mount.swap(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), mount.at(name)).unwrap();
        }
        mount
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> String {
        self.at(name).to_str().expect("a path").to_owned()
    }

    /// Replaces all files, and removes the version before.
    pub fn swap(&mut self, files: &[(&str, &str)]) {
        let former = format!("..version-{}", self.version);
        self.version += 1;
        let version = format!("..version-{}", self.version);
        std::fs::create_dir(self.at(&version)).unwrap();
        for (name, content) in files {
            std::fs::write(self.at(&version).join(name), content).unwrap();
        }
        symlink(&version, self.at("..data_tmp")).unwrap();
        std::fs::rename(self.at("..data_tmp"), self.at("..data")).unwrap();
        // There is none before the first.
        let _ = std::fs::remove_dir_all(self.at(&former));
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}
