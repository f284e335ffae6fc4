//! A process's spool folder: whose it is.
//!
//! A folder belongs to the process that holds the exclusive `flock` on its `lock` file; the kernel drops the lock with the
//! process, however it dies. What a dead process left is drained by whoever gets the lock (`server/spool.py`).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::files::{DiskFiles, Files};

/// Name of the lock file.
pub const LOCK_NAME: &str = "lock";

/// A folder that this process owns, for as long as the value lives.
#[derive(Debug)]
pub struct SpoolFolder {
    path: PathBuf,
    _lock: File,
}

impl SpoolFolder {
    /// Creates the folder if need be and takes it. Its name is made durable, so that what is written into it can be found.
    ///
    /// # Errors
    /// When it cannot be created, another living process holds it, or it holds anything but the lock.
    pub fn create(path: &Path) -> io::Result<SpoolFolder> {
        fs::create_dir_all(path)?;
        let lock_path = path.join(LOCK_NAME);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            if error == rustix::io::Errno::WOULDBLOCK {
                let text = format!("{} belongs to a running process", path.display());
                io::Error::new(io::ErrorKind::ResourceBusy, text)
            } else {
                error.into()
            }
        })?;
        let is_ours =
            fs::metadata(&lock_path).is_ok_and(|named| lock.metadata().is_ok_and(|own| own.ino() == named.ino()));
        if !is_ours || fs::read_dir(path)?.count() > 1 {
            // Removed by someone who took it for an orphan, or not new: nobody would drain what an earlier process left.
            let text = format!("{} is not a new folder; each process takes one of its own", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DiskFiles.sync_folder(parent)?;
        }
        Ok(SpoolFolder { path: path.to_path_buf(), _lock: lock })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder if nothing but the lock is left in it. Returns whether it did.
    ///
    /// # Errors
    /// When it is empty and still cannot be removed.
    pub fn remove_if_empty(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            if entry?.file_name() != LOCK_NAME {
                return Ok(false);
            }
        }
        fs::remove_file(self.path.join(LOCK_NAME))?;
        fs::remove_dir(&self.path)?;
        Ok(true)
    }
}
