//! The gateway under test: the real binary in a process of its own, with a
//! data folder of its own, on the first core.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::clock;
use crate::machine::{self, CoreTime};
use crate::token::SECRET;

/// The core of the gateway; the load has the next one.
pub(crate) const CORE: usize = 0;

/// The shared stream of every gateway started here.
pub(crate) const SHARED: &str = "news";

/// How long it may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A gateway that runs.
pub(crate) struct Gateway {
    binary: PathBuf,
    settings: Vec<(String, String)>,
    data: TempDir,
    address: SocketAddr,
    process: Child,
}

/// What the gateway has used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    at: Instant,
    cpu_s: f64,
    core: Option<CoreTime>,
}

/// What it used between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Wall time, seconds.
    pub(crate) wall_s: f64,
    /// Its own CPU time, seconds.
    pub(crate) cpu_s: f64,
    /// Share of its core that went to something else, 0 to 1.
    pub(crate) foreign: f64,
}

impl Gateway {
    /// Starts the binary that lies beside this one, and waits until it answers.
    pub(crate) fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let here = std::env::current_exe()?;
        let folder = here.parent().context("this program lies in no folder")?;
        let binary = folder.join("tidegate");
        ensure!(binary.exists(), "{} is missing: build it first", binary.display());
        // Not in /tmp, which may be memory: commits must reach a disk.
        let data = TempDir::with_prefix_in("tidegate-bench-", folder)?;
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings: Vec<_> = settings.iter().map(own).collect();
        let (process, address) = launch(&binary, &data, &settings)?;
        Ok(Self { binary, settings, data, address, process })
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
        (self.process, self.address) = launch(&self.binary, &self.data, &self.settings)?;
        Ok(started)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<usize> {
        machine::resident_bytes(self.process.id())
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let cpu_s = machine::cpu_seconds(self.process.id())?;
        Ok(Usage { at: clock::now(), cpu_s, core: machine::core_time(CORE).ok() })
    }

    /// What it used since then.
    pub(crate) fn used_since(&self, before: &Usage) -> anyhow::Result<Used> {
        let after = self.usage()?;
        let cpu_s = after.cpu_s - before.cpu_s;
        let foreign = match (before.core, after.core) {
            (Some(before), Some(after)) => after.foreign_share(&before, cpu_s),
            _ => 0.0,
        };
        Ok(Used { wall_s: (after.at - before.at).as_secs_f64(), cpu_s, foreign })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(
    binary: &PathBuf,
    data: &TempDir,
    settings: &[(String, String)],
) -> anyhow::Result<(Child, SocketAddr)> {
    let address = free_address()?;
    let errors = data.path().join("errors.txt");
    let mut command = if machine::can_pin() {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(CORE.to_string()).arg(binary);
        command
    } else {
        Command::new(binary)
    };
    command
        .arg("serve")
        .env("TIDEGATE_LISTEN", address.to_string())
        .env("TIDEGATE_DATA_DIR", data.path())
        .env("TIDEGATE_AUTH__HS256_SECRET", SECRET)
        .env("TIDEGATE_STREAMS__SHARED", format!("[\"{SHARED}\"]"))
        .env("TIDEGATE_ENVIRONMENT", "production")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&errors)?);
    let mut process = command.spawn().context("cannot start the gateway")?;
    let deadline = clock::now() + START_TIMEOUT;
    while !is_healthy(address) {
        if let Some(status) = process.try_wait()? {
            let said = std::fs::read_to_string(&errors).unwrap_or_default();
            bail!("the gateway ended at its start: {status}: {}", said.trim());
        }
        ensure!(clock::now() < deadline, "the gateway did not answer in time");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok((process, address))
}

fn free_address() -> anyhow::Result<SocketAddr> {
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
