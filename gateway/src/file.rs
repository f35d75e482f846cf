//! Small files that are read again while the gateway runs: certificates, keys.
//!
//! A file system that does not answer holds one thread of its own, and neither
//! who asks, nor a worker of the runtime, nor the end of the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::fs::OFlags;
use tokio::sync::{Semaphore, oneshot};

/// How long a reading may take. Local files take less than a millisecond; a
/// network file system may have to wake up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest file read. Chains and key sets are a few KiB.
const BYTES_MAX: u64 = 1024 * 1024;

/// A file that is read again and again, one reading at a time.
#[derive(Debug)]
pub struct SmallFile {
    path: PathBuf,
    /// Held by the thread that reads, for as long as that takes.
    reading: Arc<Semaphore>,
}

impl SmallFile {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, reading: Arc::new(Semaphore::new(1)) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds. Fails, and names the path, where it is no regular file,
    /// is larger than 1 MiB, cannot be read within 10 s, or is still being
    /// read since an earlier call.
    pub async fn read(&self) -> anyhow::Result<Vec<u8>> {
        let path = self.path.clone();
        let read = self.read_by(move || read(&path)).await;
        read.with_context(|| format!("cannot read {}", self.path.display()))
    }

    async fn read_by(
        &self,
        read: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
    ) -> anyhow::Result<Vec<u8>> {
        // Each call would leave another thread behind.
        let Ok(reading) = Arc::clone(&self.reading).try_acquire_owned() else {
            bail!("the reading before has not ended");
        };
        let (done, result) = oneshot::channel();
        // Not one of the runtime's: it would wait for them when it ends.
        let thread = std::thread::Builder::new().name("read file".to_owned());
        thread.spawn(move || {
            let result = read();
            // First: who hears of the end may ask again at once.
            drop(reading);
            // Whoever asked may have stopped waiting.
            let _ = done.send(result);
        })?;
        let result = tokio::time::timeout(TIMEOUT, result).await;
        Ok(result.context("the file system does not answer")?.context("the reading failed")??)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for somebody who writes.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    ensure_small(&file).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ensure_small(file: &File) -> anyhow::Result<()> {
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "it is not a regular file");
    ensure!(metadata.len() <= BYTES_MAX, "it is larger than 1 MiB");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn said(result: anyhow::Result<Vec<u8>>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    #[tokio::test]
    async fn regular_small_files_are_read_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = SmallFile::new(path.clone());
        assert!(said(file.read().await).contains("cannot read"));
        std::fs::write(&path, "text").unwrap();
        assert_eq!(file.read().await.unwrap(), b"text");
        std::fs::write(&path, vec![0; 1024 * 1024 + 1]).unwrap();
        assert!(said(file.read().await).contains("larger than 1 MiB"));
        let folder = SmallFile::new(dir.path().to_owned());
        assert!(said(folder.read().await).contains("not a regular file"));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        assert!(said(SmallFile::new(pipe).read().await).contains("not a regular file"));
    }

    /// In time that stands still but for the time-out.
    #[tokio::test(start_paused = true)]
    async fn a_file_that_does_not_answer_is_given_up_and_not_asked_twice() {
        let file = SmallFile::new("nowhere".into());
        let (answer, wait) = mpsc::channel::<()>();
        let stuck = file.read_by(move || {
            let _ = wait.recv();
            Ok(Vec::new())
        });
        assert!(said(stuck.await).contains("does not answer"));
        let again = said(file.read_by(|| Ok(Vec::new())).await);
        assert!(again.contains("has not ended"), "{again}");
        drop(answer);
        tokio::time::resume();
        let free = tokio::time::timeout(TIMEOUT, file.reading.acquire()).await;
        drop(free.expect("the reading ends").unwrap());
        assert_eq!(file.read_by(|| Ok(b"text".to_vec())).await.unwrap(), b"text");
    }
}
