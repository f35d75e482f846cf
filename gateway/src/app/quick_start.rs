//! What a developer reads when the gateway starts: where it is, tokens that
//! work, and the next command to try. In development only: production never
//! prints a token.

use std::fmt::Write as _;

use tidegate_protocol::id::UserId;

use crate::app::Running;
use crate::auth::Role;
use crate::config::Environment;

/// The user of the examples.
const USER: &str = "demo";

/// Life of the tokens: a day.
const TOKEN_TTL_S: u32 = 86_400;

/// The text; `None` in production, or where tokens cannot be made here.
pub fn text(running: &Running) -> Option<String> {
    let state = running.state();
    if state.config.environment != Environment::Development {
        return None;
    }
    let user = UserId::parse(USER).ok()?;
    let backend = UserId::parse("backend").ok()?;
    let device = state.auth.issue(&user, Role::Device, TOKEN_TTL_S, None).ok()?;
    let service = state.auth.issue(&backend, Role::Service, TOKEN_TTL_S, None).ok()?;
    let scheme = if state.config.tls.cert_file.is_empty() { "http" } else { "https" };
    let url = format!("{scheme}://{}", running.address());
    Some(render(&url, &device, &service, &device_program()))
}

/// The command-line device beside this program, or by its name.
fn device_program() -> String {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name("tidegate-device"));
    let beside = beside.filter(|path| path.is_file());
    beside.map_or_else(|| "tidegate-device".to_owned(), |path| path.display().to_string())
}

fn render(url: &str, device: &str, service: &str, program: &str) -> String {
    let mut text = String::new();
    let command = format!(
        "curl -s -X POST {url}/api/v1/commands \\\n    -H 'Authorization: Bearer '$SERVICE \\\n    -H 'Content-Type: application/json' \\\n    -d '{{\"user_id\": \"{USER}\", \"data_type\": \"steps\", \"value\": {{\"count\": 5000}}}}'"
    );
    let _ = write!(
        text,
        "\nTidegate listens on {url} (development)\n\
         \n\
         Tokens for a day: a device of the user `{USER}`, and a backend.\n\
         \n\
         export TIDEGATE_URL={url}\n\
         export TIDEGATE_TOKEN={device}\n\
         export SERVICE={service}\n\
         \n\
         1. In a second terminal, with these exports, put a device on a socket:\n\
         \n\
         {program} connect\n\
         \n\
         2. In a third one, with these exports, send it a command:\n\
         \n\
         {command}\n\
         \n\
         3. Stop the device with Ctrl-C, send the command again, and let it poll:\n\
         \n\
         {program} poll --once\n\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_can_be_pasted_as_it_is() {
        let text = render("http://127.0.0.1:8080", "d.e.v", "s.v.c", "./tidegate-device");
        assert!(text.contains("export TIDEGATE_TOKEN=d.e.v\n"));
        assert!(text.contains("\n./tidegate-device connect\n"));
        assert!(text.contains("-d '{\"user_id\": \"demo\""));
    }
}
