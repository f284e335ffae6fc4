//! The few file operations that the spool's promises rest on. Tests stand in for the disk: they record the order of
//! operations, write short, run full, fail syncs and cut the power.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The disk, as the spool uses it.
pub trait Files {
    /// An open file.
    type File;

    /// Creates a file that must not exist yet.
    ///
    /// # Errors
    /// As the system says, each of the operations.
    fn create(&mut self, path: &Path) -> io::Result<Self::File>;
    /// Writes at an offset; may write less than asked for.
    #[allow(clippy::missing_errors_doc)]
    fn write_at(&mut self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Cuts a file to a length.
    #[allow(clippy::missing_errors_doc)]
    fn truncate(&mut self, file: &Self::File, bytes: u64) -> io::Result<()>;
    /// Returns once the file's content is on the disk.
    #[allow(clippy::missing_errors_doc)]
    fn sync_data(&mut self, file: &Self::File) -> io::Result<()>;
    /// Gives a file another name in its folder.
    #[allow(clippy::missing_errors_doc)]
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    #[allow(clippy::missing_errors_doc)]
    fn unlink(&mut self, path: &Path) -> io::Result<()>;
    /// Returns once the folder's names (created, renamed, removed) are on the disk.
    #[allow(clippy::missing_errors_doc)]
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
}

/// The real disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    type File = File;

    fn create(&mut self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    fn truncate(&mut self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn sync_data(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}
