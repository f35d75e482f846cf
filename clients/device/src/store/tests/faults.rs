//! What durability stands on; what the store says of a disk without room, a
//! file in use, and a file that is no store; and what it goes on with.

use super::*;

/// Lets the file have so many pages; fewer than it has: no more than those.
async fn allow_pages(store: &Store, pages: i64) {
    let pragma = format!("PRAGMA max_page_count = {pages}");
    store.connection.execute_unprepared(&pragma).await.unwrap();
}

/// The page with a command of this size at this position.
async fn plan(store: &Store, seq: i64, id: &str, bytes: usize) -> apply::Plan {
    let mut body = command(id, 1, "normal", 2_000_000);
    body["value"] = json!("x".repeat(bytes));
    let entry = Entry { seq: Seq::new(seq), kind: "command".to_owned(), at: NOW, body: raw(&body) };
    let page = EventsPage { stream: own(), cursor: cursor(seq), entries: vec![entry] };
    match store.plan(page).await.unwrap() {
        Planned::Ready(plan) => plan,
        Planned::Mismatch => panic!("there is no patch"),
    }
}

/// Settings that durability stands on are really in force.
#[tokio::test]
async fn the_file_is_in_wal_mode_and_fully_synchronous() {
    let (_disk, store) = Disk::with_store().await;
    for (pragma, value) in [("journal_mode", "wal"), ("locking_mode", "exclusive")] {
        let row = store.connection.query_one_raw(statement(&format!("PRAGMA {pragma}"), [])).await;
        assert_eq!(text(&row.unwrap().unwrap(), pragma).unwrap(), value);
    }
    let row = store.connection.query_one_raw(statement("PRAGMA synchronous", [])).await;
    assert_eq!(row.unwrap().unwrap().try_get::<i64>("", "synchronous").unwrap(), 2);
}

/// Nothing of a page that finds no room is there, and with room again the
/// same store takes it, durably.
#[tokio::test]
async fn a_full_disk_is_told_and_passes() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    for _ in 0..3 {
        // Each time: a connection whose transaction failed may be replaced.
        allow_pages(&store, 1).await;
        let refused = store.commit(&plan(&store, 2, B, 200_000).await).await.unwrap_err();
        assert!(matches!(refused, StoreError::Full), "{refused:?}");
        assert_eq!(refused.stops(), None);
        allow_pages(&store, 1).await;
        let refused = store.set_poll_cursor(&"x".repeat(200_000)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Full), "{refused:?}");
        assert_eq!(store.cursors().await.unwrap()[&own()], cursor(1));
    }
    allow_pages(&store, 1_000_000).await;
    store.commit(&plan(&store, 2, B, 200_000).await).await.unwrap();
    assert_eq!(next(&store).await, Some((id(A), false)));
    store.finish(&id(A), &Outcome::Applied).await.unwrap();
    // As after SIGKILL: what is there now is all that will be.
    let copy = Disk::new();
    for ending in ["", "-wal"] {
        let name = format!("device.db{ending}");
        let (from, to) = (disk.folder.path().join(&name), copy.folder.path().join(&name));
        std::fs::copy(from, to).unwrap();
    }
    let survived = copy.open().await;
    assert_eq!(survived.cursors().await.unwrap()[&own()], cursor(2));
    assert_eq!(survived.outbox().await.unwrap().len(), 1);
    assert_eq!(next(&survived).await, Some((id(B), false)));
}

/// A phone with nothing else to write sees that there is room again, once.
#[tokio::test]
async fn a_disk_with_room_again_is_seen_by_what_is_read() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[]).await;
    allow_pages(&store, 1).await;
    store.set_poll_cursor(&"x".repeat(200_000)).await.unwrap_err();
    assert_eq!(store.connection.health(), Health::Failing(Fault::Full));
    allow_pages(&store, 1_000_000).await;
    assert_eq!(store.cursors().await.unwrap()[&own()], cursor(1));
    assert_eq!(store.connection.health(), Health::Writing);
}

#[tokio::test]
async fn a_file_in_use_is_told() {
    let disk = Disk::new();
    let store = disk.open().await;
    let refused = Store::open(&disk.folder.path().join("device.db")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Locked), "{refused:?}");
    assert_eq!(refused.stops(), None);
    store.close().await.unwrap();
    disk.open().await;
}

/// Whatever is wrong with the file, it is called damaged, and not touched.
#[tokio::test]
async fn a_file_that_is_no_store_is_told() {
    let disk = Disk::new();
    let store = disk.open().await;
    events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
    store.close().await.unwrap();
    let path = disk.folder.path().join("device.db");
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    damaged[4_096..].fill(0xa5);
    let rubbish = vec![0xa5; 8_192];
    let text = b"My shopping list: milk, bread, and some apples if they are cheap.".to_vec();
    for content in [damaged, rubbish, text, sound[..4_096].to_vec()] {
        std::fs::write(&path, &content).unwrap();
        let refused = Store::open(&path).await.unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_)), "{refused:?}");
        assert!(refused.stops().is_some());
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    std::fs::write(&path, sound).unwrap();
    assert_eq!(next(&disk.open().await).await, Some((id(A), false)));
}

/// What is there and cannot be read as what was written is damage too.
#[tokio::test]
async fn values_that_nobody_wrote_are_damage() {
    for change in ["value = '{'", "attempt = 'first'", "rank = 'high'"] {
        let (_disk, store) = Disk::with_store().await;
        events(&store, 1, &[("command", command(A, 1, "normal", 2_000_000))]).await;
        let sql = format!("UPDATE command SET {change}");
        store.connection.execute_unprepared(&sql).await.unwrap();
        let refused = store.take_next(NOW).await.unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_)), "{change}: {refused:?}");
    }
}
