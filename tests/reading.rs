//! What catching up costs: rows and bytes read from the database for what is
//! delivered, counted and not timed.

use serde_json::{Value, json};
use tidegate::store;
use tidegate::store::portion::Portion;

use crate::support::{Caller, Device, Gateway};

/// Bytes of a page, about, and of the largest text here.
const PAGE: usize = 64 * 1024;
const LARGE: usize = 100 * 1024;

/// Publishes so many records with texts of so many bytes.
async fn publish(backend: &Caller, count: usize, bytes: usize) {
    let text = "x".repeat(bytes);
    let per_call = (1_900_000 / (bytes + 200)).clamp(1, 100);
    for ids in (0..count).collect::<Vec<_>>().chunks(per_call) {
        let put = |id: &usize| json!({ "collection": "c", "id": format!("{id:05}"), "op": "put", "data": { "t": text } });
        let records: Vec<Value> = ids.iter().map(put).collect();
        let body = json!({ "records": records });
        backend.post("/api/v1/streams/news/records", &body).await.expect(202);
    }
}

/// Rows and bytes read for delivery so far.
async fn read(gateway: &Gateway) -> (usize, usize) {
    let figures = gateway.backend().quiet().get("/metrics").await;
    let of = |name: &str| {
        let line = figures.text().lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse::<usize>().unwrap()
    };
    (of("tidegate_delivery_rows_read_total "), of("tidegate_delivery_bytes_read_total "))
}

/// Polls until there is nothing more; how many entries and items came, and how
/// many bytes the answers had.
async fn poll_all(calls: &Caller, device: &Device, limit: usize) -> (usize, usize) {
    let path = format!("/api/v1/sync/poll?device_id={}&subscribe=news&limit={limit}", device.id);
    let (mut count, mut bytes, mut cursor) = (0, 0, String::new());
    loop {
        let answer = calls.get(&format!("{path}{cursor}")).await;
        bytes += answer.bytes.len();
        let answer = answer.expect(200);
        for frame in answer["frames"].as_array().unwrap() {
            let list = frame["entries"].as_array().or(frame["items"].as_array());
            count += list.unwrap().len();
        }
        cursor = format!("&cursor={}", answer["cursor"].as_str().unwrap());
        if answer["more"] == false {
            return (count, bytes);
        }
    }
}

/// A gateway, a device that follows `news` from its beginning, and its cursor
/// there.
async fn at_the_beginning() -> (Gateway, Device, Value) {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    let path = format!("/api/v1/sync/poll?device_id={}&subscribe=news", phone.id);
    let first = calls.get(&path).await.expect(200);
    let epoch = &first["streams"]["news"]["epoch"];
    let cursors = json!({ "news": { "epoch": epoch, "seq": 0 } });
    (gateway, phone, cursors)
}

/// What was read for what was delivered: each row once, or again where a page
/// ended before it.
fn expect_little(read: (usize, usize), delivered: usize, bytes: usize, pages: usize) {
    assert!(read.0 >= delivered, "{read:?}");
    assert!(read.0 <= delivered + 3 * pages, "{} rows for {delivered} in {pages}", read.0);
    assert!(read.1 <= bytes * 11 / 10 + 8 * PAGE, "{} bytes for {bytes}", read.1);
}

/// Entries of 100 KB, by socket and by poll.
#[tokio::test]
async fn large_entries_are_read_once() {
    const COUNT: usize = 60;
    let (gateway, phone, cursors) = at_the_beginning().await;
    publish(&gateway.backend().quiet(), COUNT, LARGE).await;
    let before = read(&gateway).await;
    let mut hello = phone.hello();
    hello["subscribe"] = json!(["news"]);
    hello["cursors"] = cursors.clone();
    let mut socket = phone.connect().await;
    socket.quiet(true);
    socket.begin(&hello).await;
    socket.snapshot().await;
    let (mut entries, mut bytes, mut pages) = (0, 0, 0);
    while entries < COUNT {
        let events = socket.expect("events").await;
        entries += events["entries"].as_array().unwrap().len();
        bytes += socket.last_text.len();
        pages += 1;
        socket.ack(&events).await;
    }
    socket.close().await;
    let after = read(&gateway).await;
    expect_little((after.0 - before.0, after.1 - before.1), entries, bytes, pages);

    let epoch = cursors["news"]["epoch"].as_str().unwrap();
    let path = format!(
        "/api/v1/sync/poll?device_id={}&subscribe=news\
         &cursors=%7B%22news%22:%7B%22epoch%22:%22{epoch}%22,%22seq%22:0%7D%7D",
        phone.id
    );
    let calls = gateway.calls_of(&phone).quiet();
    let before = read(&gateway).await;
    let answer = calls.get(&path).await;
    let bytes = answer.bytes.len();
    let answer = answer.expect(200);
    let frames = answer["frames"].as_array().unwrap();
    let entries = frames.iter().filter_map(|frame| frame["entries"].as_array()).map(Vec::len).sum();
    let after = read(&gateway).await;
    expect_little((after.0 - before.0, after.1 - before.1), entries, bytes, frames.len());
}

/// Items of 100 KB in snapshots: records, and commands.
#[tokio::test]
async fn large_items_are_read_once() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    let backend = gateway.backend().quiet();
    publish(&backend, 40, LARGE).await;
    backend.make_many("u1", 40, LARGE).await;
    let before = read(&gateway).await;
    let (items, bytes) = poll_all(&calls, &phone, 500).await;
    let after = read(&gateway).await;
    assert_eq!(items, 80);
    expect_little((after.0 - before.0, after.1 - before.1), items, bytes, items);
}

/// Small ones are read in whole pages, and a poll that takes few reads few.
#[tokio::test]
async fn small_entries_are_read_by_pages() {
    const COUNT: usize = 1_000;
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    publish(&gateway.backend().quiet(), COUNT, 50).await;
    for limit in [7, 200, 500] {
        let before = read(&gateway).await;
        let (items, bytes) = poll_all(&calls, &phone, limit).await;
        let after = read(&gateway).await;
        assert_eq!(items, COUNT);
        let pages = COUNT.div_ceil(limit.min(200));
        expect_little((after.0 - before.0, after.1 - before.1), items, bytes, pages);
    }
}

/// Each size of rows comes in portions that end with the row that reaches the
/// bytes asked for, and whole, whatever the portion.
#[tokio::test]
async fn a_portion_ends_where_it_has_enough() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().quiet();
    for bytes in [10, 1_000, 30_000, 10, LARGE, 10] {
        publish(&backend, 3, bytes).await;
    }
    let readers = gateway.running().state().store.readers();
    for (rows, bytes) in [(1, 1), (1, 1 << 40), (4, 2_000), (5, 40_000), (100, 1), (100, 250_000)] {
        let portion = Portion { rows, bytes };
        let mut at = 0;
        while at < 18 {
            let page = store::journal::page(readers, "news", at, portion).await.unwrap().unwrap();
            let sizes: Vec<usize> = page.rows.iter().map(|row| row.entry.body.len() + 64).collect();
            assert!((1..=rows).contains(&sizes.len()), "{portion:?} {sizes:?}");
            let before_last: usize = sizes[..sizes.len() - 1].iter().sum();
            assert!(before_last < bytes, "{portion:?} {sizes:?}");
            let is_full = sizes.len() == rows || before_last + sizes[sizes.len() - 1] >= bytes;
            for (next, row) in (at + 1..).zip(&page.rows) {
                assert_eq!(row.entry.seq, next);
                at = next;
            }
            assert!(is_full || at == page.head, "{portion:?} {sizes:?}");
        }
        let nothing = store::journal::page(readers, "news", at, portion).await.unwrap().unwrap();
        assert!(nothing.rows.is_empty() && nothing.head == 18);

        // Records, of which three are left, by two columns.
        let (mut after, mut found) = ((String::new(), String::new()), Vec::new());
        loop {
            let key = (after.0.as_str(), after.1.as_str());
            let page = store::record::page(readers, "news", key, portion).await.unwrap();
            assert!(page.rows.len() <= rows, "{portion:?}");
            found.extend(page.rows.iter().map(|row| row.id.clone()));
            if let Some(last) = page.rows.last() {
                after = (last.collection.clone(), last.id.clone());
            }
            if page.is_last {
                break;
            }
        }
        assert_eq!(found, ["00000", "00001", "00002"]);
    }
}
