//! The database's password is in nothing that the program says, at any level.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::crash::data::Data;
use crate::crash::process::{Process, program};
use crate::support::{PostgresDatabase, bounded, needed_server};

const PASSWORD: &str = "open-sesame-7";

/// All that there is to log.
const EVERYTHING: [(&str, &str); 2] = [("RUST_LOG", "trace"), ("TIDEGATE_LOG__FILTER", "trace")];

/// Runs the program to its end with this database; whether it succeeded, and
/// all that it said.
async fn run(subcommand: &str, url: &str, format: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let running = Command::new(program())
        .arg(subcommand)
        .env_clear()
        .envs(EVERYTHING)
        .env("TIDEGATE_LOG__FORMAT", format)
        .env("TIDEGATE_LISTEN", "127.0.0.1:0")
        .env("TIDEGATE_DATA_DIR", folder.path())
        .env("TIDEGATE_DATABASE__URL", url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = bounded(subcommand, running).await.unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    (output.status.success(), said.concat())
}

/// Takes the password of one client as PostgreSQL would, and refuses it; what
/// came.
async fn refuse(mut client: TcpStream) -> std::io::Result<Vec<u8>> {
    // What it wants is a length and a text; first it asks for TLS.
    let mut message = Vec::new();
    for is_first in [true, false] {
        let length = client.read_u32().await?;
        message.resize(usize::try_from(length).unwrap() - 4, 0);
        client.read_exact(&mut message).await?;
        let asks_for_tls = message == 80_877_103_u32.to_be_bytes();
        if is_first && asks_for_tls {
            client.write_all(b"N").await?;
        } else {
            break;
        }
    }
    // Asks for the password in clear.
    client.write_all(b"R\0\0\0\x08\0\0\0\x03").await?;
    client.read_u8().await?;
    let length = client.read_u32().await?;
    message.resize(usize::try_from(length).unwrap() - 4, 0);
    client.read_exact(&mut message).await?;
    let fields = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0";
    client.write_all(b"E").await?;
    client.write_u32(u32::try_from(fields.len() + 4).unwrap()).await?;
    client.write_all(fields).await?;
    Ok(message)
}

/// Where every password is refused, the program ends with an error that says
/// so, and the server has seen the password that the settings hold.
#[tokio::test]
async fn a_refused_password_is_not_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let url = format!("postgres://keeper:{PASSWORD}@{address}/d");
    for (subcommand, format) in
        [("serve", "human"), ("serve", "json"), ("migrate", "human"), ("renew-epochs", "human")]
    {
        let running = run(subcommand, &url, format);
        let refusing = async {
            let mut seen = Vec::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                seen.extend(refuse(client).await);
                if !seen.is_empty() {
                    return seen;
                }
            }
        };
        let ((succeeded, said), seen) = tokio::join!(running, refusing);
        assert_eq!(seen, [format!("{PASSWORD}\0").into_bytes()]);
        assert!(!succeeded && said.contains("password authentication failed"), "{said}");
        assert!(!said.contains(PASSWORD), "{subcommand}: {said}");
    }
}

/// Where it is written so that it cannot be told apart from the rest of the
/// address, none of it is shown. What is no address at all is refused.
#[tokio::test]
async fn a_password_in_any_spelling_is_not_shown() {
    for spelled in [
        "open-sesame-7",
        "open%2Dsesame-7",
        "open@sesame-7",
        "open/sesame-7",
        "open?sesame-7",
        "open#sesame-7",
        "7/open?sesame-7",
        "77?open@sesame-7",
        "77/open@sesame-7",
        "77#open-sesame-7",
    ] {
        for url in [
            format!("postgres://keeper:{spelled}@127.0.0.1:1/d"),
            format!("postgres://keeper@127.0.0.1:1/d?password={spelled}"),
            format!("postgresql://127.0.0.1:1/d?user=keeper&password={spelled}#x"),
        ] {
            let (succeeded, said) = run("check-config", &url, "human").await;
            let shown = if reqwest::Url::parse(&url).is_ok() {
                assert!(succeeded, "{url}: {said}");
                said.lines().find(|line| line.starts_with("url = \"postgres"))
            } else {
                assert!(!succeeded && said.contains("database.url"), "{url}: {said}");
                Some(&*said)
            };
            let shown = shown.unwrap_or_else(|| panic!("{said}"));
            for part in ["open", "sesame", "77", "7/", ":7"] {
                assert!(!shown.contains(part), "{url}: {shown}");
            }
        }
    }
}

/// Nor is it told where the address is used: by the driver that cannot read it,
/// or does not know one of its parameters.
#[tokio::test]
async fn a_password_in_the_wrong_place_is_not_told() {
    for url in [
        "postgres://keeper:open/sesame-7@127.0.0.1:1/d",
        "postgres://keeper:open?sesame-7@127.0.0.1:1/d",
        "postgres://keeper:open#sesame-7@127.0.0.1:1/d",
        "postgres://keeper@127.0.0.1:1/d?passwrod=open-sesame-7",
    ] {
        for subcommand in ["serve", "migrate", "renew-epochs"] {
            let (succeeded, said) = run(subcommand, url, "human").await;
            assert!(!succeeded && said.contains("database"), "{url}: {said}");
            assert!(!said.contains("sesame"), "{subcommand} {url}: {said}");
        }
    }
    let url = "postgres://keeper@127.0.0.1:1/d?passwrod=open-sesame-7";
    let (_, said) = run("check-config", url, "human").await;
    assert!(said.contains("a parameter that is not known"), "{said}");
}

/// A settings file with another mistake tells nothing of the address.
#[tokio::test]
async fn a_mistake_elsewhere_does_not_show_it() {
    let (succeeded, said) =
        run("check-config", &format!("mysql://k:{PASSWORD}@h/d"), "human").await;
    assert!(!succeeded && said.contains("database.url"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

/// A gateway that works, with everything logged. Needs a server.
#[tokio::test]
async fn a_password_that_is_good_is_not_told() {
    let Some(server) = needed_server().await else { return };
    let database = PostgresDatabase::create_on(server).await;
    let url = reqwest::Url::parse(&database.url()).unwrap();
    // A server that trusts its clients takes any.
    let password = url.password().filter(|word| word.len() > 3).unwrap_or(PASSWORD).to_owned();
    let mut url = url;
    url.set_password(Some(&password)).unwrap();
    let data = Data::fresh().await;
    let mut variables = EVERYTHING.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
    variables.push(("TIDEGATE_DATABASE__URL".to_owned(), url.to_string()));
    let mut process = Process::start_with(&data, &variables).await.unwrap();
    let ready = format!("http://{}/readyz", process.address());
    assert_eq!(reqwest::get(ready).await.unwrap().status(), 200);
    process.kill().await;
    let log = process.log();
    assert!(log.contains("listening"), "{log}");
    assert!(!log.contains(&password), "{log}");
}
