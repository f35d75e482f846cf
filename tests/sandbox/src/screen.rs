//! The transcript on standard output: who did what, and when.

use std::fmt::Arguments;
use std::io::Write as _;

use tokio::time::Instant;

/// Where the transcript is written. Clones tell the same time.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    start: Instant,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// A new part begins.
    pub(crate) fn title(&self, text: &str) {
        self.write(format_args!("\n{text}"));
    }

    /// Somebody did something.
    pub(crate) fn say(&self, who: &str, what: &str) {
        let elapsed_s = self.start.elapsed().as_secs_f64();
        self.write(format_args!("{elapsed_s:9.3} s  {who:<9} {what}"));
    }

    /// A line as it is.
    pub(crate) fn line(&self, text: &str) {
        self.write(format_args!("{text}"));
    }

    #[expect(clippy::unused_self, reason = "who writes has a screen")]
    fn write(&self, line: Arguments<'_>) {
        // Whoever closed standard output does not want to read it.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}
