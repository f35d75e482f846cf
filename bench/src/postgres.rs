//! A PostgreSQL of the run's own, on the core of the server that it works for.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::machine;
use crate::server::{self, CORE};

/// Where packages put its programs, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Not in /tmp, which may be memory, nor beside this program, where its user
/// may not come through: commits must reach a disk.
const DISK: &str = "/var/tmp";

/// A running server. Stopped when it is dropped.
pub(crate) struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    databases: usize,
}

impl Postgres {
    /// Starts one; `None` where PostgreSQL is not installed.
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        let Some(programs) = find() else { return Ok(None) };
        let folder = TempDir::with_prefix_in("tidegate-bench-", DISK)?;
        // Its user must come through.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let port = server::free_address()?.port();
        let postgres = Self { programs, folder, port, databases: 0 };
        std::fs::create_dir(postgres.data())?;
        if geteuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(postgres.data()))?;
        }
        let options = ["-U", "tidegate", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"];
        run(postgres.program("initdb").arg("-D").arg(postgres.data()).args(options))?;
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
             -c max_connections=50"
        );
        run(postgres
            .control()
            .args(["-w", "-o", &options, "-l"])
            .arg(postgres.log())
            .arg("start"))?;
        Ok(Some(postgres))
    }

    /// Makes a database; its address.
    pub(crate) fn create(&mut self) -> anyhow::Result<String> {
        self.databases += 1;
        let (name, port) = (format!("bench{}", self.databases), self.port);
        let mut create = self.program("createdb");
        run(create.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "tidegate", &name]))?;
        Ok(format!("postgres://tidegate@127.0.0.1:{port}/{name}"))
    }

    /// Its main process.
    pub(crate) fn process(&self) -> anyhow::Result<u32> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid"))?;
        let first = text.lines().next().context("PostgreSQL has no process")?;
        Ok(first.trim().parse()?)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.data().join("log")
    }

    fn control(&self) -> Command {
        let mut command = self.program("pg_ctl");
        command.arg("-D").arg(self.data());
        command
    }

    /// A program of it; it refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if geteuid().is_root() {
            let mut other = machine::pinned("runuser".as_ref(), CORE);
            other.args(["-u", "postgres", "--"]).arg(program);
            other
        } else {
            machine::pinned(&program, CORE)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = run(self.control().args(["-m", "immediate", "stop"]));
    }
}

/// The newest version's programs.
fn find() -> Option<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).ok()?.flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = versions.filter_map(|entry| Some((number(&entry.path())?, entry.path())));
    let (_, newest) = versions.max()?;
    let programs = newest.join("bin");
    programs.join("initdb").is_file().then_some(programs)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    // Its children would keep a pipe open.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
