//! A disk that fails and a wall clock that jumps, for a real program in a
//! process of its own: `failing_disk.c`, loaded before it. Needs Linux and the
//! C compiler that building needs; no root, no mount.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// What the disk does to the files of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `ENOSPC`. Files grow by so many bytes more; `None`: no write is taken
    /// at all, also where no file would grow.
    Full { room: Option<u32> },
    /// `EIO` on writing.
    WriteError,
    /// `EIO` on syncing.
    SyncError,
    /// `EROFS` on opening to write, on writing and on removing.
    ReadOnly,
    /// `EIO` on reading.
    ReadError,
    /// Writing and syncing do not come back until the fault is over; then they
    /// work.
    Hang,
    /// Writing and syncing take so many milliseconds each.
    Slow { ms: u16 },
}

/// Which files of a SQLite database are meant, as bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files(i64);

impl Files {
    pub(crate) const DATABASE: Self = Self(1);
    pub(crate) const LOG: Self = Self(2);
    /// With the index of the log and the rollback journal.
    pub(crate) const ALL: Self = Self(15);
}

/// Places in the control file, in numbers of eight bytes: the order of `struct
/// control` in `failing_disk.c`.
#[derive(Clone, Copy)]
enum Place {
    Fault,
    Files,
    Skip,
    Room,
    DelayMs,
    ClockMs,
    Struck,
}

/// How many there are.
const PLACES: usize = 7;

/// The disk of one program.
#[derive(Debug)]
pub(crate) struct FailingDisk {
    control: File,
    name: String,
    folder: TempDir,
}

impl FailingDisk {
    /// One that works, for files whose path contains this name.
    pub(crate) fn of(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("control");
        std::fs::write(&path, [0; PLACES * 8]).unwrap();
        let control = File::options().read(true).write(true).open(path).unwrap();
        Self { control, name: name.to_owned(), folder }
    }

    /// What the program must have in its environment.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let control = self.folder.path().join("control");
        [
            ("LD_PRELOAD", library().to_str().unwrap()),
            ("FAILING_DISK_CONTROL", control.to_str().unwrap()),
            ("FAILING_DISK_NAME", &self.name),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// All files fail from now on.
    pub(crate) fn fail(&self, fault: Fault) {
        self.fail_after(fault, Files::ALL, 0);
    }

    /// Some files fail, after so many calls that would have.
    pub(crate) fn fail_after(&self, fault: Fault, files: Files, skip: u32) {
        let (number, room, delay_ms) = match fault {
            Fault::Full { room } => (1, room.map_or(-1, i64::from), 0),
            Fault::WriteError => (2, 0, 0),
            Fault::SyncError => (3, 0, 0),
            Fault::ReadOnly => (4, 0, 0),
            Fault::ReadError => (5, 0, 0),
            Fault::Hang => (6, 0, 0),
            Fault::Slow { ms } => (7, 0, i64::from(ms)),
        };
        self.heal();
        self.set(Place::Struck, 0);
        self.set(Place::Files, files.0);
        self.set(Place::Skip, i64::from(skip));
        self.set(Place::Room, room);
        self.set(Place::DelayMs, delay_ms);
        // Last: from here on it holds.
        self.set(Place::Fault, number);
    }

    /// The disk works again; what hangs goes on.
    pub(crate) fn heal(&self) {
        self.set(Place::Fault, 0);
    }

    /// How often the last fault struck.
    pub(crate) fn struck(&self) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at(Place::Struck)).unwrap();
        i64::from_le_bytes(bytes)
    }

    /// The program's wall clock is ahead of the machine's by so much.
    pub(crate) fn set_clock_ms(&self, ahead_ms: i64) {
        self.set(Place::ClockMs, ahead_ms);
    }

    fn set(&self, place: Place, value: i64) {
        self.control.write_all_at(&value.to_le_bytes(), at(place)).unwrap();
    }
}

fn at(place: Place) -> u64 {
    place as u64 * 8
}

/// The compiled library: once for each run of the tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/failing_disk.c");
        let library = folder.join("failing_disk.so");
        // Another run may be loading the last one: it is replaced, not changed.
        let made = folder.join(format!("failing_disk.{}.so", std::process::id()));
        let compiled = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&made)
            .arg(&source)
            .arg("-ldl")
            .status();
        assert!(compiled.unwrap().success(), "{} does not compile", source.display());
        std::fs::rename(made, &library).unwrap();
        library
    })
}
