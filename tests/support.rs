//! The harness: a gateway for each test, raw clients, and a transcript of
//! everything they say to each other.

mod calls;
mod contract;
mod database;
mod failing_disk;
mod gateway;
mod http;
mod proxy;
mod redact;
mod second_node;
mod server;
mod skipped;
mod socket;
mod token;
mod transcript;
mod wait;

pub(crate) use calls::{cursor, put};
pub(crate) use contract::{Operation, check as is_documented};
pub(crate) use database::{PostgresDatabase, fill, named_server, needed_server};
pub(crate) use failing_disk::{FailingDisk, Fault, Files};
pub(crate) use gateway::{Gateway, Setup};
pub(crate) use http::{Answer, Caller};
pub(crate) use redact::NO_EPOCH;
pub(crate) use second_node::SecondNode;
pub(crate) use server::Server;
pub(crate) use skipped::skip;
pub(crate) use socket::{Device, Socket};
pub(crate) use token::{SECRET, Token};
pub(crate) use transcript::Transcript;
pub(crate) use wait::{bounded, eventually};

/// Compares a text with the snapshot of this name, in the folder named after
/// the test's file.
macro_rules! check {
    ($name:expr, $text:expr) => {{
        let folder = module_path!().split("::").nth(1).expect("tests live in a module");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(format!("{}/snapshots/{folder}", env!("CARGO_MANIFEST_DIR")));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!($name, $text));
    }};
}
pub(crate) use check;
