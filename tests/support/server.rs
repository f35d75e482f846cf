//! A PostgreSQL of the harness's own, which it may restart and stop.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::process::Command;

/// Where packages put its programs, a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// A running server. Stopped when it is dropped.
pub(super) struct Server {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// Whether one can be started.
    pub(super) fn is_installed() -> bool {
        find().is_some()
    }

    /// Starts one; `None` where PostgreSQL is not installed.
    pub(super) async fn start() -> Result<Option<Self>, String> {
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
        let server = Self { programs, folder, port };
        let options = ["-U", "tidegate", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"];
        run(server.program("initdb").arg("-N").args(options)).await?;
        server.control(&["start"]).await?;
        Ok(Some(server))
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://tidegate@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again, and waits until it serves.
    pub(super) async fn restart(&self, is_crash: bool) -> Result<(), String> {
        self.control(&["-m", if is_crash { "immediate" } else { "fast" }, "restart"]).await
    }

    /// Nothing of it moves for so long.
    pub(super) async fn freeze(&self, lasts: Duration) -> Result<(), String> {
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
        self.folder.path().join("data")
    }

    async fn control(&self, action: &[&str]) -> Result<(), String> {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
             -c max_connections=100 -c fsync=off",
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
        command.arg("-D").arg(self.data()).current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        stop.args(["-m", "immediate", "stop"]);
        // Nobody waits for this one's runtime.
        let _ = stop.as_std_mut().output();
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
    let quiet = std::process::Stdio::null;
    let status = command.stdin(quiet()).stdout(quiet()).stderr(quiet()).status().await;
    let status = status.map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
