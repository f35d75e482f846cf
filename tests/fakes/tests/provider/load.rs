//! Many users and many requests: what is kept is counts.

use tidegate_fakes::provider::strava::FakeStrava;

use crate::stage::clock;

const USERS: u64 = 1000;

#[tokio::test]
async fn a_thousand_users_are_counted_one_by_one() {
    let fake = FakeStrava::start(clock().0).await.unwrap();
    fake.limit_requests(false);
    fake.count_only(true);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/athlete/activities?after=1&per_page=200", fake.base_url());
    for user in 1..=USERS {
        let user = user.to_string();
        fake.fill(&user, 3, 86_400);
        let token = fake.connect(&user).access_token;
        let answer = client.get(&url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    }
    assert_eq!((fake.calls(), fake.requests().len()), (USERS, 0));
    assert_eq!((fake.calls_of("1", Some("list")), fake.calls_of("1000", None)), (1, 1));
    assert_eq!(fake.windows("")[3].used, USERS);
}
