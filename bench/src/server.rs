//! Servers under test: the real gateway, or what it is compared with, in a
//! process of its own, with a data folder of its own, on the first core.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::clock;
use crate::machine::{self, CoreTime};
use crate::token::SECRET;

/// The core of the server and of its database; the load has the next one.
pub(crate) const CORE: usize = 0;

/// The shared stream of every gateway started here.
pub(crate) const SHARED: &str = "news";

/// How long it may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to end once asked to.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// A server that runs.
pub(crate) struct Server {
    program: Program,
    data: TempDir,
    address: SocketAddr,
    process: Child,
    /// The main process of a database that works for it.
    database: Option<u32>,
}

/// What is run.
enum Program {
    /// The gateway, with settings beside those of every run.
    Gateway(Vec<(String, String)>),
    /// The hand-made outbox on this database; SQLite in its folder without one.
    Outbox(Option<String>),
}

/// What the server has used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    at: Instant,
    cpu_s: f64,
    database_cpu_s: f64,
    written_bytes: usize,
    core: Option<CoreTime>,
}

/// What it used between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Wall time, seconds.
    pub(crate) wall_s: f64,
    /// Its own CPU time, seconds.
    pub(crate) cpu_s: f64,
    /// CPU time of its database's processes, where it has one.
    pub(crate) database_cpu_s: f64,
    /// What it itself had written to files.
    pub(crate) written_bytes: usize,
    /// Share of its core that went to something else, 0 to 1.
    pub(crate) foreign: f64,
}

impl Server {
    /// Starts the gateway that lies beside this program, and waits until it
    /// answers.
    pub(crate) fn gateway(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::start(Program::Gateway(settings.iter().map(own).collect()))
    }

    /// Starts the hand-made outbox, on SQLite or a new database.
    pub(crate) fn outbox(database: Option<&str>) -> anyhow::Result<Self> {
        Self::start(Program::Outbox(database.map(str::to_owned)))
    }

    /// Counts what this process and its children use as its database's.
    pub(crate) fn with_database(mut self, process: Option<u32>) -> Self {
        self.database = process;
        self
    }

    fn start(program: Program) -> anyhow::Result<Self> {
        // Not in /tmp, which may be memory: commits must reach a disk.
        let data = TempDir::with_prefix_in("tidegate-bench-", folder()?)?;
        let (process, address) = launch(&program, data.path())?;
        Ok(Self { program, data, address, process, database: None })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it as a power cut would, and starts it again on the same data.
    /// Returns when the new process was started; the time before it answered
    /// counts.
    pub(crate) fn kill_and_restart(&mut self) -> anyhow::Result<Instant> {
        self.process.kill()?;
        self.process.wait()?;
        let started = clock::now();
        (self.process, self.address) = launch(&self.program, self.data.path())?;
        Ok(started)
    }

    /// Has it end in order, measures its SQLite database, which then has no log
    /// beside it, and starts it again.
    pub(crate) fn stored_bytes(&mut self) -> anyhow::Result<usize> {
        let process = Pid::from_child(&self.process);
        kill_process(process, Signal::TERM)?;
        let deadline = clock::now() + STOP_TIMEOUT;
        while self.process.try_wait()?.is_none() {
            ensure!(clock::now() < deadline, "the server did not end in time");
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut bytes = 0;
        for file in std::fs::read_dir(self.data.path())? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("tidegate.db") {
                bytes += usize::try_from(file.metadata()?.len())?;
            }
        }
        (self.process, self.address) = launch(&self.program, self.data.path())?;
        Ok(bytes)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<usize> {
        machine::resident_bytes(self.process.id())
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let process = self.process.id();
        Ok(Usage {
            at: clock::now(),
            cpu_s: machine::cpu_seconds(process)?,
            database_cpu_s: self.database.map_or(Ok(0.0), machine::family_cpu_seconds)?,
            written_bytes: machine::written_bytes(process)?,
            core: machine::core_time(CORE).ok(),
        })
    }

    /// What it used since then.
    pub(crate) fn used_since(&self, before: &Usage) -> anyhow::Result<Used> {
        let after = self.usage()?;
        let cpu_s = after.cpu_s - before.cpu_s;
        let database_cpu_s = after.database_cpu_s - before.database_cpu_s;
        let foreign = match (before.core, after.core) {
            (Some(before), Some(after)) => after.foreign_share(&before, cpu_s + database_cpu_s),
            _ => 0.0,
        };
        Ok(Used {
            wall_s: (after.at - before.at).as_secs_f64(),
            cpu_s,
            database_cpu_s,
            written_bytes: after.written_bytes - before.written_bytes,
            foreign,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where this program lies.
fn folder() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    Ok(here.parent().context("this program lies in no folder")?.to_owned())
}

/// The program with its arguments and settings, not yet started.
fn command(program: &Program, address: SocketAddr, data: &Path) -> anyhow::Result<Command> {
    match program {
        Program::Gateway(settings) => {
            let binary = folder()?.join("tidegate");
            ensure!(binary.exists(), "{} is missing: build it first", binary.display());
            let mut command = machine::pinned(&binary, CORE);
            command
                .arg("serve")
                .env("TIDEGATE_LISTEN", address.to_string())
                .env("TIDEGATE_DATA_DIR", data)
                .env("TIDEGATE_AUTH__HS256_SECRET", SECRET)
                .env("TIDEGATE_STREAMS__SHARED", format!("[\"{SHARED}\"]"))
                .env("TIDEGATE_ENVIRONMENT", "production")
                .envs(settings.iter().map(|(name, value)| (name, value)));
            Ok(command)
        }
        Program::Outbox(database) => {
            let own = format!("sqlite://{}", data.join("outbox.db").display());
            let mut command = machine::pinned(&std::env::current_exe()?, CORE);
            command.args(["outbox", "--listen", &address.to_string()]);
            command.args(["--database", database.as_deref().unwrap_or(&own)]);
            Ok(command)
        }
    }
}

fn launch(program: &Program, data: &Path) -> anyhow::Result<(Child, SocketAddr)> {
    let address = free_address()?;
    let errors = data.join("errors.txt");
    let mut command = command(program, address, data)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors)?);
    let mut process = command.spawn().context("cannot start the server")?;
    let deadline = clock::now() + START_TIMEOUT;
    while !is_healthy(address) {
        if let Some(status) = process.try_wait()? {
            let said = std::fs::read_to_string(&errors).unwrap_or_default();
            bail!("the server ended at its start: {status}: {}", said.trim());
        }
        ensure!(clock::now() < deadline, "the server did not answer in time");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok((process, address))
}

/// A free address of this machine.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(&head == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
