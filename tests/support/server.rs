//! PostgreSQL servers of the harness's own: one that tests share, and those
//! that a test may restart and stop.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Where packages put its programs, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The server of all tests that need one and do not hurt it, started by the
/// first of them. Statics are not dropped: its keeper stops it.
static SHARED: OnceCell<Option<Server>> = OnceCell::const_new();

/// A running server and its folder. Both are gone when it is dropped, or when
/// this process ends in whatever way.
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    keeper: Option<Child>,
}

impl Server {
    /// Whether one can be started.
    pub(crate) fn is_installed() -> bool {
        find().is_some()
    }

    /// The one that tests share; `None` where PostgreSQL is not installed.
    pub(crate) async fn shared() -> Option<&'static Self> {
        let start = async || Self::start().await.expect("a PostgreSQL that starts");
        SHARED.get_or_init(start).await.as_ref()
    }

    /// Starts one; `None` where PostgreSQL is not installed.
    pub(crate) async fn start() -> Result<Option<Self>, String> {
        let Some(programs) = find() else { return Ok(None) };
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        // Its user must come through.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).map_err(|error| error.to_string())?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data).map_err(|error| error.to_string())?;
        if geteuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(&data)).await?;
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.map_err(|error| error.to_string())?.port();
        let mut server = Self { programs, folder: folder.keep(), port, keeper: None };
        server.keeper = Some(server.keep().map_err(|error| error.to_string())?);
        let options = ["-U", "tidegate", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"];
        run(server.program("initdb").arg("-N").args(options)).await?;
        server.control(&["start"]).await?;
        Ok(Some(server))
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://tidegate@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again, and waits until it serves.
    pub(crate) async fn restart(&self, is_crash: bool) -> Result<(), String> {
        self.control(&["-m", if is_crash { "immediate" } else { "fast" }, "restart"]).await
    }

    /// Nothing of it moves for so long.
    pub(crate) async fn freeze(&self, lasts: Duration) -> Result<(), String> {
        let file = self.data().join("postmaster.pid");
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        let main = pid.and_then(Pid::from_raw).ok_or("no process id")?;
        // First who starts others.
        let mut frozen = Frozen(Vec::new());
        frozen.stop(main);
        for child in children(main) {
            frozen.stop(child);
        }
        tokio::time::sleep(lasts).await;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts who stops the server and removes its folder once this process
    /// lets go of a pipe, which it does however it ends. In a group of its own:
    /// what interrupts the tests at a terminal does not interrupt this.
    fn keep(&self) -> std::io::Result<Child> {
        let mut keeper = std::process::Command::new("sh");
        keeper.args(["-c", r#"cat; "$@"; rm -rf -- "$0""#]).arg(&self.folder);
        let stop = self.program("pg_ctl");
        keeper.arg(stop.as_std().get_program()).args(stop.as_std().get_args());
        keeper.args(["-m", "immediate", "stop"]).process_group(0);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    async fn control(&self, action: &[&str]) -> Result<(), String> {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
             -c max_connections=300 -c fsync=off",
            self.port
        );
        let log = self.data().join("log");
        run(self.program("pg_ctl").args(["-w", "-o", &options, "-l"]).arg(log).args(action)).await
    }

    /// A program of it on its data; it refuses to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if geteuid().is_root() {
            let mut other = Command::new("runuser");
            other.args(["-u", "postgres", "--"]).arg(program);
            other
        } else {
            Command::new(program)
        };
        command.arg("-D").arg(self.data()).current_dir(&self.folder);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        drop(keeper.stdin.take());
        // One that cannot be waited for does its work all the same.
        let _ = keeper.wait();
    }
}

/// Processes that stand still as long as this lives.
struct Frozen(Vec<Pid>);

impl Frozen {
    fn stop(&mut self, pid: Pid) {
        if kill_process(pid, Signal::STOP).is_ok() {
            self.0.push(pid);
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that is gone does not need it.
            let _ = kill_process(*pid, Signal::CONT);
        }
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

/// Processes that this one started.
fn children(parent: Pid) -> Vec<Pid> {
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1).and_then(|field| field.parse().ok())
            == Some(parent.as_raw_nonzero().get())
    };
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

async fn run(command: &mut Command) -> Result<(), String> {
    // Its children would keep a pipe open.
    let quiet = Stdio::null;
    let status = command.stdin(quiet()).stdout(quiet()).stderr(quiet()).status().await;
    let status = status.map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
