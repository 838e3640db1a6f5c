//! What is over a limit: a node's, a user's, the tenant's.

use super::*;

/// As [`OPEN`], with limits for everybody.
fn limited(limits: &str) -> String {
    format!("{OPEN}[tenant_defaults.limits]\n{limits}\n")
}

#[tokio::test]
async fn a_publication_over_a_limit_is_told_when_to_come_again() {
    let mut world = World::start(OPEN).await;
    let a = world.node("a", closed_port());
    let mut at_a = Inbound::of(&world, &a).await;
    for (retry_ms, seconds) in [(Some(1_200), Some("2")), (None, None)] {
        let (answer, _) = tokio::join!(
            post(&world, "/v1/messages?room=r", &[JSON], "1"),
            at_a.next(|_, _| Told::Limited { published: Vec::new(), retry_ms })
        );
        assert_eq!((answer.status, answer.code().as_str()), (429, "limit_rate"));
        assert_eq!(answer.header("retry-after"), seconds);
        assert_eq!(answer.json()["retry"].as_u64(), retry_ms);
    }
    // A node that says more than was asked says nothing.
    let (answer, _) = tokio::join!(
        post(&world, "/v1/messages?room=r", &[JSON], "1"),
        at_a.next(|_, _| Told::Limited { published: vec![published(1)], retry_ms: None })
    );
    assert_eq!(answer.code(), "internal");
}

#[tokio::test]
async fn of_a_list_so_many_go_as_a_limit_lets_through() {
    let mut world = World::start(OPEN).await;
    let a = world.node("a", closed_port());
    let mut at_a = Inbound::of(&world, &a).await;
    let items: Vec<_> = (0..450).map(|n| json!({ "room": "r", "data": n })).collect();
    let body = json!(items).to_string();
    let (answer, _) = tokio::join!(post(&world, "/v1/publish", &[JSON], &body), async {
        at_a.next(|_, ask| {
            let Ask::Publish { publications } = ask else { panic!("not a publication") };
            Told::Published((1..=publications.len() as u64).map(published).collect())
        })
        .await;
        let published = vec![published(201), published(202)];
        at_a.next(|_, _| Told::Limited { published, retry_ms: Some(250) }).await;
    });
    assert_eq!(answer.status, 200);
    let outcomes = answer.json();
    for (index, outcome) in outcomes.as_array().expect("a list").iter().enumerate() {
        if index < 202 {
            assert_eq!(outcome["offset"], index + 1, "{outcome}");
        } else {
            assert_eq!((&outcome["code"], &outcome["retry"]), (&json!("limit_rate"), &json!(250)), "{index}");
        }
    }
    assert!(at_a.requests.try_recv().is_err(), "nothing later of that room is sent");
    assert!(
        world.metrics().contains("ringway_gateway_limited_total{code=\"limit_rate\",tenant=\"default\"} 1\n")
    );
}

#[tokio::test]
async fn what_a_user_publishes_by_http_counts_for_the_user() {
    let config = format!("{JWT}limits.user = {{ publish_per_second = 1, publish_burst = 3 }}\n");
    let mut world = World::start(&config).await;
    let a = world.node("a", closed_port());
    let answering = number(Inbound::of(&world, &a).await);
    let of = |user: &str| format!("Authorization: Bearer {}", token(user, &[Right::Publish]));
    let items: Vec<_> = (0..5).map(|n| json!({ "room": "r", "data": n })).collect();
    let listed = post(&world, "/v1/publish", &[JSON, &of("ann")], &json!(items).to_string()).await.json();
    let codes: Vec<_> =
        listed.as_array().expect("a list").iter().map(|outcome| outcome["code"].as_str()).collect();
    assert_eq!(codes, [None, None, None, Some("limit_rate"), Some("limit_rate")]);
    let over = post(&world, "/v1/messages?room=other", &[JSON, &of("ann")], "1").await;
    assert_eq!((over.status, over.code().as_str()), (429, "limit_rate"));
    assert!(over.json()["retry"].as_u64().expect("a time") <= 1_000);
    let other = post(&world, "/v1/messages?room=r", &[JSON, &of("bob")], "1").await;
    assert_eq!(other.status, 200);
    answering.abort();
}

#[tokio::test]
async fn what_goes_to_connections_counts_for_the_tenant() {
    let mut world = World::start(&limited("publish_per_second = 1\npublish_burst = 2")).await;
    world.node("a", closed_port());
    let mut statuses = Vec::new();
    for target in ["/v1/messages?user=ann", "/v1/messages?all=true", "/v1/messages?user=ann"] {
        statuses.push(post(&world, target, &[JSON], "1").await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    let world = World::start(&limited("publish_per_second = 0")).await;
    let never = post(&world, "/v1/messages?all=true", &[JSON], "1").await;
    assert_eq!((never.status, never.header("retry-after")), (429, None));
}
