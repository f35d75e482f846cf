//! What a killed phone's store holds, compared with what it did and with what
//! the gateway believes that it holds.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, Statement};
use tidegate::config::Config;

use crate::crash::phone::app::App;
use crate::crash::phone::was_acked;
use crate::support::{Gateway, PostgresDatabase};

/// The store of a phone that does not run.
struct Kept {
    /// The stage of each command, by id.
    stages: HashMap<String, String>,
    /// Epoch and position of the user's stream.
    cursor: Option<(String, i64)>,
}

/// Accounts for every execution and every ack, and notes what is done.
pub(super) async fn account(gateway: &Gateway, app: &mut App) {
    let kept = Kept::read(app).await;
    let said = |what: &str| format!("{what}\n{}", app.log());
    for execution in app.executions() {
        let stage = kept.stages.get(&app.made[execution.number]).map(String::as_str);
        let is_stored = matches!(stage, Some("started" | "done" | "closed"));
        assert!(is_stored, "{}", said(&format!("{execution:?}, and the store says {stage:?}")));
    }
    for id in &app.made {
        if was_acked(&gateway.backend().quiet().command(id).await) {
            assert!(kept.stages.contains_key(id), "{}", said(&format!("{id} is acked")));
        }
    }
    if let Some((epoch, acked)) = acked(gateway, &app.user).await {
        let holds = kept.cursor.as_ref().is_some_and(|(own, seq)| *own == epoch && *seq >= acked);
        assert!(holds, "{}", said(&format!("acked up to {acked}, holds {:?}", kept.cursor)));
    }
    let process = app.processes();
    for (number, id) in app.made.iter().enumerate() {
        if kept.stages.get(id).is_some_and(|stage| stage == "done") {
            app.done.entry(number).or_insert(process);
        }
    }
    app.is_carried_out_once();
}

impl Kept {
    async fn read(app: &App) -> Self {
        if !app.file().exists() {
            return Self { stages: HashMap::new(), cursor: None };
        }
        let store = Database::connect(format!("sqlite://{}", app.file().display())).await.unwrap();
        // Killed before it was made.
        let tables = rows(&store, "SELECT name FROM sqlite_master WHERE name = 'command'").await;
        let (mut stages, mut cursor) = (HashMap::new(), None);
        if !tables.is_empty() {
            for row in rows(&store, "SELECT id, stage FROM command").await {
                stages.insert(row.try_get("", "id").unwrap(), row.try_get("", "stage").unwrap());
            }
            let held = rows(&store, "SELECT epoch, seq FROM cursor").await;
            cursor = held
                .first()
                .map(|row| (row.try_get("", "epoch").unwrap(), row.try_get("", "seq").unwrap()));
        }
        store.close().await.unwrap();
        Self { stages, cursor }
    }
}

/// What the gateway counts as acked by the user's only device.
async fn acked(gateway: &Gateway, user: &str) -> Option<(String, i64)> {
    let url = gateway.database().map_or_else(|| file(gateway.config()), PostgresDatabase::url);
    let database = Database::connect(url).await.unwrap();
    let sql = format!("SELECT epoch, seq FROM device_cursor WHERE user_id = '{user}'");
    let found = rows(&database, &sql).await;
    database.close().await.unwrap();
    found.first().map(|row| (row.try_get("", "epoch").unwrap(), row.try_get("", "seq").unwrap()))
}

fn file(config: &Config) -> String {
    format!("sqlite://{}/tidegate.db", config.data_dir.display())
}

async fn rows(database: &DatabaseConnection, sql: &str) -> Vec<sea_orm::QueryResult> {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    database.query_all_raw(statement).await.unwrap()
}
