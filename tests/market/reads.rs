//! Reading: searching, pages, unchanged answers, who may, and what is refused.

use serde_json::{Value, json};

use crate::market::world::{World, skill};
use crate::support::{Token, check};

const SKILLS: &str = "/api/v1/marketplace/skills";

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

/// A query is a part of the name or the description, in any case, and its
/// signs mean themselves.
#[tokio::test]
async fn skills_are_searched_by_their_words() {
    let with = |id: &str, name: &str, description: &str| {
        let mut skill = skill(id, name);
        skill["description"] = description.into();
        skill
    };
    let skills = [
        with("a", "Send Email", "Writes to people"),
        with("b", "Save 100% of it", "A snake_case name"),
        with("c", "Größe messen", "ÉCOLE in capitals, back\\slash"),
        with("d", "Save 100 of it", "A snakeXcase name"),
        with("e", "日本語", "Übersetzt und email"),
    ];
    let world = World::filled(&skills, |setup, _| setup).await;
    for (query, expected) in [
        ("", &["a", "b", "c", "d", "e"][..]),
        ("SEND", &["a"]),
        ("  send email ", &["a"]),
        ("email", &["a", "e"]),
        ("TO PEOPLE", &["a"]),
        ("100%25", &["b"]),
        ("%25", &["b"]),
        ("snake_case", &["b"]),
        ("_", &["b"]),
        ("%5C", &["c"]),
        ("GR%C3%96%C3%9FE", &["c"]),
        ("%C3%A9cole", &["c"]),
        ("%C3%BCBERSETZT", &["e"]),
        ("%E6%9C%AC", &["e"]),
        ("nobody", &[]),
    ] {
        let page = world.admin.get(&format!("{SKILLS}?query={query}")).await.expect(200);
        assert_eq!(ids(&page), expected, "{query}");
        assert_eq!(page["total"], expected.len(), "{query}");
    }
}

/// What is searched follows an edit, and the category is told apart exactly.
#[tokio::test]
async fn skills_are_filtered_by_category_and_by_what_they_are_now() {
    let in_category = |id: &str, category: Value| {
        let mut skill = skill(id, &format!("Skill {id}"));
        skill["category"] = category;
        skill
    };
    let skills = [
        in_category("a", json!("data")),
        in_category("b", json!("Data")),
        in_category("c", json!("data & more")),
        in_category("d", json!(null)),
    ];
    let world = World::filled(&skills, |setup, _| setup).await;
    for (query, expected) in [
        ("category=data", &["a"][..]),
        ("category=Data", &["b"]),
        ("category=data%20%26%20more", &["c"]),
        ("category=", &["a", "b", "c", "d"]),
        ("category=nothing", &[]),
        ("category=data&query=skill%20b", &[]),
        ("category=data&query=skill%20a", &["a"]),
    ] {
        let page = world.admin.get(&format!("{SKILLS}?{query}")).await.expect(200);
        assert_eq!(ids(&page), expected, "{query}");
    }
    let named = json!({ "category": "data", "name": "Quite New", "description": "" });
    world.edit("d", named).await;
    let page = world.admin.get(&format!("{SKILLS}?category=data&query=quite")).await.expect(200);
    assert_eq!(ids(&page), ["d"]);
    let page = world.admin.get(&format!("{SKILLS}?query=skill%20d")).await.expect(200);
    assert_eq!(ids(&page), [""; 0]);
}

/// Pages by number and by cursor are the same, hold everything once, and say
/// how much there is.
#[tokio::test]
async fn skills_come_in_pages() {
    let skills: Vec<Value> = (0..7).map(|n| skill(&format!("s{n}"), "Skill")).collect();
    let world = World::filled(&skills, |setup, _| setup).await;
    let get = async |query: &str| world.admin.get(&format!("{SKILLS}?{query}")).await.expect(200);
    let first = get("page_size=3").await;
    let counted = ["page", "page_size", "total", "total_pages", "next_cursor"];
    let figures = |page: &Value| counted.map(|name| page[name].clone());
    assert_eq!(figures(&first), [json!(1), json!(3), json!(7), json!(3), json!("2")]);
    assert_eq!(ids(&first), ["s0", "s1", "s2"]);
    let mut seen = Vec::new();
    let mut cursor = Some("1".to_owned());
    let mut page = 0;
    while let Some(next) = cursor {
        page += 1;
        let by_cursor = get(&format!("limit=3&cursor={next}")).await;
        let by_number = get(&format!("page_size=3&page={page}")).await;
        assert_eq!(ids(&by_cursor), ids(&by_number));
        seen.extend(ids(&by_cursor).into_iter().map(str::to_owned));
        cursor = by_cursor["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, ["s0", "s1", "s2", "s3", "s4", "s5", "s6"]);
    let last = get("page_size=3&page=3").await;
    assert_eq!(figures(&last), [json!(3), json!(3), json!(7), json!(3), json!(null)]);
    let beyond = get("page_size=3&page=4").await;
    assert_eq!(figures(&beyond), [json!(4), json!(3), json!(7), json!(3), json!(null)]);
    assert_eq!(ids(&beyond), [""; 0]);
    let none = get("query=nobody").await;
    assert_eq!(figures(&none), [json!(1), json!(100), json!(0), json!(0), json!(null)]);
    assert_eq!(ids(&get("page_size=500").await).len(), 7);
}

/// Parameters that mean nothing are refused, by name.
#[tokio::test]
async fn wrong_parameters_are_refused() {
    let world = World::start().await;
    let long = "x".repeat(300);
    for (query, field) in [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=two", "page"),
        ("page=1000000001", "page"),
        ("page_size=0", "page_size"),
        ("page_size=501", "page_size"),
        ("page_size=1.5", "page_size"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("cursor=what", "cursor"),
        ("cursor=", "cursor"),
        ("query=a%00b", "query"),
        ("category=%00", "category"),
        (&format!("query={long}"), "query"),
        (&format!("category={long}"), "category"),
    ] {
        let answer = world.admin.get(&format!("{SKILLS}?{query}")).await;
        let error = answer.expect_error(422, "invalid");
        assert_eq!(error["details"][0]["field"], field, "{query}: {error}");
    }
}

/// Who holds an answer gets 304 until it is another.
#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let world = World::start().await;
    let paths = [
        SKILLS.to_owned(),
        format!("{SKILLS}?category=data&page_size=2"),
        format!("{SKILLS}/s1"),
        "/api/v1/marketplace/categories".to_owned(),
    ];
    for path in &paths {
        let first = world.admin.get(path).await;
        let tag = first.header("etag").unwrap().to_owned();
        first.expect(200);
        let strong = tag.trim_start_matches("W/").to_owned();
        for known in [tag.clone(), strong, format!("\"other\", {tag}"), "*".to_owned()] {
            let again = world.admin.clone().with_header("if-none-match", &known).get(path).await;
            assert_eq!(again.header("etag"), Some(&*tag), "{path}");
            assert!(again.bytes.is_empty());
            again.expect(304);
        }
        let other = world.admin.clone().with_header("if-none-match", "W/\"other\"");
        other.get(path).await.expect(200);
    }
    let held = |path: &str, tag: &str| {
        let caller = world.admin.clone().with_header("if-none-match", tag);
        let path = path.to_owned();
        async move { caller.get(&path).await.status.as_u16() }
    };
    let mut tags = Vec::new();
    for path in &paths {
        tags.push(world.admin.get(path).await.header("etag").unwrap().to_owned());
    }
    world.edit("s1", json!({ "description": "another" })).await;
    world.atom.put_category(json!({ "name": "data", "description": "Other words" }));
    world.sync().await;
    for (path, tag) in paths.iter().zip(&tags) {
        assert_eq!(held(path, tag).await, 200, "{path}");
    }
}

/// A conflict that ends with upstream's value changes no version, and yet the
/// answer: the skill takes edits again.
#[tokio::test]
async fn the_end_of_a_conflict_is_another_answer() {
    let world = World::start().await;
    let conflict = world.open_conflict("s1").await;
    let paths = [SKILLS, "/api/v1/marketplace/skills/s1"];
    let mut tags = Vec::new();
    for path in paths {
        tags.push(world.admin.get(path).await.header("etag").unwrap().to_owned());
    }
    let remote = json!({ "choice": "remote", "expected_remote_version": 3 });
    world.resolve(&conflict, &remote).await.expect(200);
    assert_eq!(world.skill("s1").await["version"], 3);
    for (path, tag) in paths.iter().zip(&tags) {
        world.admin.clone().with_header("if-none-match", tag).get(path).await.expect(200);
    }
}

/// Ids are upstream's: what a URL cannot hold is escaped in it.
#[tokio::test]
async fn ids_of_any_writing_are_found() {
    let ids = ["a/b", "Ünïcode id", "50%:x?y#z", "s1"];
    let world = World::filled(&ids.map(|id| skill(id, "Skill")), |setup, _| setup).await;
    let escaped = ["a%2Fb", "%C3%9Cn%C3%AFcode%20id", "50%25%3Ax%3Fy%23z", "s1"];
    for (id, escaped) in ids.iter().zip(escaped) {
        assert_eq!(world.skill(escaped).await["id"], *id);
        world.edit(escaped, json!({ "description": "ours" })).await;
        world.remote(id, &json!({ "description": "theirs" }));
        world.rate("u1", escaped, &json!({ "rating": 4 })).await.expect(202);
    }
    world.sync().await;
    let page = world.admin.get("/api/v1/conflicts").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
    let conflict = world.conflict("50%25%3Ax%3Fy%23z").await;
    assert_eq!(conflict["subject"], "skill:50%:x?y#z");
    world.restore(&conflict, "local", 3).await.expect(200);
    assert_eq!(world.data("50%25%3Ax%3Fy%23z").await["description"], "ours");
    world.upload_all().await;
    assert_eq!(world.atom.ratings().len(), 4);
    assert!(world.failed().await.is_empty());
}

/// Every role reads; nobody else does.
#[tokio::test]
async fn every_role_reads_and_no_stranger_does() {
    let world = World::start().await;
    let list = [SKILLS, "/api/v1/marketplace/skills/s1", "/api/v1/marketplace/categories"];
    for token in [Token::device("u1"), Token::service("backend"), Token::admin("root")] {
        for path in list {
            world.caller(&token).get(path).await.expect(200);
        }
    }
    for path in list {
        let stranger = world.admin.clone().without_token();
        stranger.get(path).await.expect_error(401, "unauthenticated");
    }
    let unknown = world.admin.get("/api/v1/marketplace/skills/nobody").await;
    unknown.expect_error(404, "not_found");
}

/// How skills, a skill and categories look.
#[tokio::test]
async fn items_are_shown_with_their_age() {
    let world = World::start().await;
    world.shown();
    let page = world.admin.get("/api/v1/marketplace/skills?page_size=1").await.expect(200);
    world.show("a page", &page);
    world.edit("s1", json!({ "description": "edited" })).await;
    world.show("an edited skill", &world.skill("s1").await);
    let categories = world.admin.get("/api/v1/marketplace/categories").await.expect(200);
    world.show("categories", &categories);
    let unknown = world.admin.get("/api/v1/marketplace/skills/nobody").await;
    world.show("an unknown skill", &unknown.body);
    let wrong = world.admin.get("/api/v1/marketplace/skills?page=0").await;
    world.show("a wrong parameter", &wrong.body);
    check!("items", world.shown());
}
