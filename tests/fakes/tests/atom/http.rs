//! Each endpoint in each generation, and conditional requests.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::{Generation, skill_id};

use crate::stage::{Stage, ids};

const ALL: [Generation; 3] = [Generation::A, Generation::B, Generation::C];

#[tokio::test]
async fn every_generation_has_its_addresses() {
    let expected =
        [("/api", "/api/ws/satellite/connect"), ("", "/ws"), ("/api/v1/marketplace", "/ws")];
    for (generation, (base, socket)) in ALL.into_iter().zip(expected) {
        let stage = Stage::new(generation).await;
        let host =
            stage.atom.url().trim_start_matches("http://").split('/').next().unwrap().to_owned();
        assert_eq!(stage.atom.url(), format!("http://{host}{base}"));
        assert_eq!(stage.atom.ws_url(), format!("ws://{host}{socket}"));
        assert!(stage.connect().await.is_ok(), "{generation:?}");
    }
}

#[tokio::test]
async fn every_generation_lists_shows_and_rates() {
    for generation in ALL {
        let stage = Stage::new(generation).await;
        stage.atom.fill(5, 2);
        let names = stage.names();
        let page = stage.page("page=2&page_size=2").await;
        assert_eq!(ids(&page), [skill_id(2), skill_id(3)]);
        let counts = ["page", "page_size", "total", "total_pages"].map(|name| page[name].as_u64());
        assert_eq!(counts, [Some(2), Some(2), Some(5), Some(3)]);
        assert_eq!(page["skills"][0], stage.atom.skill(&skill_id(2)).unwrap());

        let (status, skill) = stage.json(&format!("{}/{}", names.skills, skill_id(1))).await;
        assert_eq!((status, &skill["ratings"]), (200, &json!([])));
        let (status, gone) = stage.json(&format!("{}/nobody", names.skills)).await;
        assert_eq!((status, gone), (404, json!({"error": "Skill not found"})));

        let (status, categories) = stage.json(names.categories).await;
        assert_eq!((status, categories["categories"].as_array().unwrap().len()), (200, 2));
        stage.atom.wrap_categories(false);
        let (_, categories) = stage.json(names.categories).await;
        assert_eq!(categories[0], stage.atom.category("automation").unwrap());

        let rating = json!({"skill_id": skill_id(1), "user_id": "u", "rating": 5, "comment": null});
        let (status, rated) = stage.rate(&skill_id(1), &rating).await;
        assert_eq!((status, &rated["success"]), (200, &json!(true)));
    }
}

#[tokio::test]
async fn health_needs_no_token_and_generation_a_has_none() {
    for (generation, expected) in ALL.into_iter().zip([404, 200, 200]) {
        let stage = Stage::new(generation).await;
        let answer = stage.bare("GET", "/health").send().await.unwrap();
        assert_eq!(answer.status(), expected, "{generation:?}");
        if expected == 200 {
            let body: Value = answer.json().await.unwrap();
            let now = "2026-11-18T11:06:40Z";
            assert_eq!(body, json!({"status": "healthy", "timestamp": now, "version": "1.0.0"}));
        }
    }
}

#[tokio::test]
async fn who_calls_is_checked_as_each_generation_has_it() {
    for generation in ALL {
        let stage = Stage::new(generation).await;
        let other = if generation == Generation::C { Generation::B } else { Generation::C };
        let others = Stage::new(other).await;
        let skills = stage.names().skills;
        let foreign = others.request("GET", "").build().unwrap();
        let refused = [
            stage.bare("GET", skills),
            stage.bare("GET", skills).bearer_auth("at_saas_of_somebody_else"),
            stage.bare("GET", skills).headers(foreign.headers().clone()),
        ];
        for (number, request) in refused.into_iter().enumerate() {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{generation:?} {number}");
            assert!(answer.headers().contains_key("www-authenticate"));
        }
        assert_eq!(stage.atom.requests()[0].answer, "unauthorized");
    }
    let stage = Stage::new(Generation::C).await;
    let token = stage.atom.token();
    let without_instance = stage
        .bare("GET", stage.names().skills)
        .header("X-API-Token", token)
        .header("X-Federation-Key", token);
    assert_eq!(without_instance.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn bad_parameters_are_refused_and_filters_filter() {
    let stage = Stage::filled(30).await;
    for bad in ["page=0", "page=x", "page_size=1001"] {
        assert_eq!(stage.get(&format!("/api/v1/skills?{bad}")).await.status(), 400, "{bad}");
    }
    let page = stage.page("category=data&page_size=1000").await;
    assert_eq!(page["total"], 0, "three categories are automation, integration, communication");
    let page = stage.page("category=communication&query=archive").await;
    let skills = page["skills"].as_array().unwrap();
    assert!(!skills.is_empty());
    for skill in skills {
        assert_eq!(skill["category"], "communication");
        assert!(skill["name"].as_str().unwrap().starts_with("Archive"));
    }
}

#[tokio::test]
async fn the_catalogue_changes_under_the_listing() {
    let stage = Stage::filled(4).await;
    stage.atom.before_page(2, |atom| atom.remove_skill(&skill_id(0)));
    assert_eq!(ids(&stage.page("page=1&page_size=2").await), [skill_id(0), skill_id(1)]);
    let second = stage.page("page=2&page_size=2").await;
    assert_eq!(ids(&second), [skill_id(3)], "the third skill moved to the first page");
    assert_eq!(second["total"], 3);
    stage.atom.put_skill(json!({"skill_id": "new", "name": "New", "updated_at": "as given"}));
    assert_eq!(ids(&stage.page("page=2&page_size=2").await), [&skill_id(3), "new"]);
    assert_eq!(stage.atom.skill("new").unwrap()["updated_at"], "as given");
    stage.hands.advance(Duration::from_mins(1));
    stage.atom.skew_clock(-5500);
    stage.atom.edit_skill("new", |skill| skill["name"] = "Newer".into());
    assert_eq!(stage.atom.skill("new").unwrap()["updated_at"], "2026-11-18T11:07:34.500Z");
    assert_eq!(stage.atom.len(), 4);
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let stage = Stage::filled(4).await;
    let skills = "/api/v1/skills?page=1&page_size=2";
    assert!(stage.get(skills).await.headers().get("etag").is_none(), "off at first");
    stage.atom.offer_etags(true);
    for (path, category) in [(skills, "data"), ("/api/v1/categories", "automation")] {
        let etag = stage.get(path).await.headers()["etag"].to_str().unwrap().to_owned();
        let ask = || stage.request("GET", path).header("if-none-match", &etag);
        let answer = ask().send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap()),
            (304, &*etag)
        );
        assert_eq!(answer.bytes().await.unwrap(), "");
        stage.atom.edit_skill(&skill_id(1), |_| {});
        stage.atom.remove_category(category);
        assert_eq!(ask().send().await.unwrap().status(), 200, "{path}");
    }
    let seen: Vec<_> = stage
        .atom
        .requests()
        .iter()
        .map(|request| (request.is_conditional, request.answer))
        .collect();
    let round = [(false, "ok"), (true, "not_modified"), (true, "ok")];
    assert_eq!(seen, [&[(false, "ok")], &round[..], &round[..]].concat());
}

#[tokio::test]
async fn requests_are_counted_by_what_they_are_for() {
    let stage = Stage::filled(4).await;
    let (atom, names) = (&stage.atom, stage.names());
    stage.page("page=1").await;
    stage.page("page=2").await;
    stage.get(&format!("{}/{}", names.skills, skill_id(2))).await;
    let counts =
        ["skills", "skills?page=2", "skill", "skill/x", "categories"].map(|name| atom.count(name));
    assert_eq!(counts, [2, 1, 1, 0, 0]);
    let categories = stage.request("GET", names.categories).send();
    let (seen, _) = tokio::join!(atom.request_seen("categories", 1), categories);
    assert_eq!((seen.len(), seen[0].status, seen[0].uri.path()), (1, Some(200), names.categories));
}

#[tokio::test]
async fn an_instance_may_be_limited() {
    let stage = Stage::filled(1).await;
    stage.atom.limit_requests(true);
    for _ in 0..100 {
        assert_eq!(stage.get("/api/v1/categories").await.status(), 200);
    }
    let answer = stage.get("/api/v1/categories").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"60".parse().unwrap())
    );
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body, json!({"error": "Rate limit exceeded", "retry_after": 60}));
    stage.hands.advance(Duration::from_mins(1));
    assert_eq!(stage.get("/api/v1/categories").await.status(), 200);
}
