//! The machine: its facts, who used a core, and on which core we run.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;
use tidegate_protocol::time::Timestamp;

use crate::clock;
use crate::server::CORE;

/// Set once this process was started again on its own core. The gateway, which
/// inherits it, takes variables that begin with its own name for settings.
const PINNED: &str = "BENCH_PINNED";

/// Linux reports CPU time in these on every platform that matters here.
const TICKS_PER_SECOND: f64 = 100.0;

/// Files that are not sockets of devices.
const FILES_RESERVED: usize = 600;

/// What the figures depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    date: String,
    cores: usize,
    cpu: String,
    kernel: String,
    gateway: String,
    compiler: String,
    pinned: bool,
    command: String,
}

impl Facts {
    pub(crate) fn gather() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let binary = std::env::current_exe().map(|here| here.with_file_name("tidegate"));
        let version =
            |program: &std::path::Path| first_line(Command::new(program).arg("--version"));
        let mut args: Vec<String> = vec!["tidegate-bench".to_owned()];
        args.extend(std::env::args().skip(1));
        Self {
            date: Timestamp::from_millis(clock::wall_ms()).to_string(),
            cores: cores(),
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            gateway: binary.map(|binary| version(&binary)).unwrap_or_default(),
            compiler: version("rustc".as_ref()),
            pinned: can_pin(),
            command: args.join(" "),
        }
    }
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}

/// How many cores the machine has, whatever this process may use.
fn cores() -> usize {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stat.lines().filter(is_core).count()
}

/// Whether gateway and load can have a core each.
pub(crate) fn can_pin() -> bool {
    cores() > 1 && Command::new("taskset").arg("--version").output().is_ok()
}

/// A program on one core, where that is possible.
pub(crate) fn pinned(program: &Path, core: usize) -> Command {
    if !can_pin() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// Starts this program again on the core after the gateway's. Returns where
/// that is not possible or done already.
pub(crate) fn pin_load() -> anyhow::Result<()> {
    if std::env::var_os(PINNED).is_some() || !can_pin() {
        return Ok(());
    }
    let error = Command::new("taskset")
        .arg("-c")
        .arg((CORE + 1).to_string())
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(PINNED, "1")
        .exec();
    Err(error).context("cannot start again on another core")
}

/// How many devices this process and the gateway may have connected.
pub(crate) fn devices_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|word| word.parse::<usize>().ok());
    soft.map_or(usize::MAX, |files| files.saturating_sub(FILES_RESERVED))
}

/// Resident memory of a process in bytes.
pub(crate) fn resident_bytes(process: u32) -> anyhow::Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes: usize = kibibytes.context("the gateway has no memory")?.parse()?;
    Ok(kibibytes * 1024)
}

/// What a process made the kernel write to disks, in bytes: pages of files that
/// it changed and that were clean before. Each counts again once it was written.
pub(crate) fn written_bytes(process: u32) -> anyhow::Result<usize> {
    let counts = std::fs::read_to_string(format!("/proc/{process}/io"))?;
    let bytes = counts.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    Ok(bytes.context("nothing counts what is written")?.trim().parse()?)
}

/// Fields of a process's times in `/proc/PID/stat`, behind its name: its own
/// user and system time, then those of children that have ended.
const OWN_TIMES: std::ops::Range<usize> = 11..13;
const ALL_TIMES: std::ops::Range<usize> = 11..15;

/// User and system time of a process, all threads, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    seconds(&fields(process)?, OWN_TIMES)
}

/// The same of a process and its children, those that have ended included.
pub(crate) fn family_cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let mut sum = seconds(&fields(process)?, ALL_TIMES)?;
    for entry in std::fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ended meanwhile is counted with its parent the next time.
        let Ok(fields) = fields(other) else { continue };
        if fields.get(1).is_some_and(|parent| *parent == process.to_string()) {
            sum += seconds(&fields, OWN_TIMES)?;
        }
    }
    Ok(sum)
}

/// What `/proc` says of a process, behind its name, which may hold anything.
fn fields(process: u32) -> anyhow::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).context("no fields")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn seconds(fields: &[String], which: std::ops::Range<usize>) -> anyhow::Result<f64> {
    let ticks = fields.get(which).context("too few fields")?.iter();
    let ticks: u32 = ticks.map(|ticks| ticks.parse::<u32>()).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / TICKS_PER_SECOND)
}

/// Time of one core so far, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreTime {
    total_s: f64,
    idle_s: f64,
}

impl CoreTime {
    /// The share of the core since `before` that went neither to idling nor to
    /// a process that used `own_s`.
    pub(crate) fn foreign_share(&self, before: &Self, own_s: f64) -> f64 {
        let total_s = (self.total_s - before.total_s).max(1.0 / TICKS_PER_SECOND);
        let busy_s = total_s - (self.idle_s - before.idle_s);
        ((busy_s - own_s) / total_s).clamp(0.0, 1.0)
    }
}

/// Time of a core so far.
pub(crate) fn core_time(core: usize) -> anyhow::Result<CoreTime> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).context("no such core")?;
    let ticks = line.split_whitespace().map(str::parse::<f64>);
    // user nice system idle iowait irq softirq steal; guests are in user.
    let ticks: Vec<f64> = ticks.take(8).collect::<Result<_, _>>()?;
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    let total: f64 = ticks.iter().sum();
    Ok(CoreTime { total_s: total / TICKS_PER_SECOND, idle_s: idle / TICKS_PER_SECOND })
}
