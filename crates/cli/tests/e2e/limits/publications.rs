//! How many publications and bytes, of a connection, a user and a tenant.

use super::*;

/// More than any burst here.
const MANY: u64 = 6;

#[test]
fn what_a_connection_publishes_over_its_limit_is_refused_with_a_time() {
    let tenants = [("acme", "connection = { publish_per_second = 1, publish_burst = 3 }")];
    let cluster = cluster(&tenants, "");
    let gateway = cluster.gateway();
    for room in rooms(gateway, "acme", "r") {
        let mut bare = Bare::upgraded(gateway, &way("acme", "ann", "home"), &[]);
        let hello = bare.until(|frame| frame["t"] == "hello");
        assert_eq!(hello["limits"]["publish_per_second"], 1);
        let mut listener = enter(gateway, "acme", "bob", &room);
        let answers = publish(&mut bare, &room, MANY, 10);
        let accepted = answers.iter().filter(|answer| answer.is_none()).count();
        let (first, refusal) = until_refused(answers);
        assert!((3..MANY as usize).contains(&first), "{first}");
        assert_eq!(refusal, Refused::with_retry("limit_rate"));
        // Another connection of the same user has limits of its own.
        let mut other = enter(gateway, "acme", "ann", "home");
        assert_eq!(publish(&mut other, &room, 3, 10), [None, None, None]);
        is_let_through(&mut bare, &room);
        // What was accepted was published, and nothing of what wasn't.
        for n in 0..accepted + 3 {
            assert_eq!(listener.hear()["data"], "x".repeat(10), "{n}");
        }
        assert_eq!(listener.hear()["data"], "again");
        listener.is_alive();
        // Whatever else it asks is no publication.
        bare.is_alive();
    }
}

#[test]
fn what_a_user_or_a_tenant_publishes_counts_over_all_its_connections() {
    let tenants = [
        ("users", "user = { publish_per_second = 1, publish_burst = 4 }"),
        ("tenant", "publish_per_second = 2, publish_burst = 8"),
    ];
    let cluster = cluster(&tenants, "");
    let gateway = cluster.gateway();
    let room = rooms(gateway, "users", "r").into_iter().next().unwrap();
    let [mut one, mut two, mut other] =
        ["ann", "ann", "bob"].map(|user| enter(gateway, "users", user, &room));
    assert_eq!(publish(&mut one, &room, 3, 10), [None, None, None]);
    let (first, refusal) = until_refused(publish(&mut two, &room, MANY, 10));
    assert!((1..MANY as usize).contains(&first), "{first}");
    assert_eq!(refusal, Refused::with_retry("limit_rate"));
    assert_eq!(publish(&mut other, &room, 4, 10), [None, None, None, None], "somebody else");
    is_let_through(&mut one, &room);

    // A tenant's: however many users, and over HTTP as well.
    let room = rooms(gateway, "tenant", "r").into_iter().next().unwrap();
    let mut users: Vec<Bare> = (0..8).map(|n| enter(gateway, "tenant", &format!("u{n}"), &room)).collect();
    let answers: Vec<Option<Refused>> =
        users.iter_mut().flat_map(|bare| publish(bare, &room, 3, 10)).collect();
    let accepted = answers.iter().filter(|answer| answer.is_none()).count();
    let (_, refusal) = until_refused(answers);
    assert_eq!(refusal, Refused::with_retry("limit_rate"));
    assert!((2..24).contains(&accepted), "{accepted}");
    let refused = (0..40).map(|_| call(gateway, "tenant", &room, 10)).find(|answer| answer.status != 200);
    assert_eq!(Refused::of(&refused.expect("one is refused")), Refused::with_retry("limit_rate"));
    until("the tenant may again", SOON, || (call(gateway, "tenant", &room, 10).status == 200).then_some(()));
}

#[test]
fn bytes_are_limited_apart_from_how_many_pieces_they_come_in() {
    let tenants = [
        ("connection", "connection = { bytes_per_second = \"2KiB\" }"),
        ("user", "user = { bytes_per_second = \"2KiB\" }"),
        ("tenant", "bytes_per_second = \"4KiB\""),
    ];
    let classes = "[[classes]]\nrooms = \"narrow.**\"\nlimits = { bytes_per_second = \"2KiB\" }\n";
    let cluster = cluster(&tenants, classes);
    let gateway = cluster.gateway();
    for (tenant, room) in [("connection", "r"), ("user", "r"), ("tenant", "r"), ("connection", "narrow.r")] {
        let mut bare = enter(gateway, tenant, "ann", room);
        // The largest frame is always let through at once; then the next isn't, for some time.
        if room == "r" || tenant != "connection" {
            assert_eq!(publish(&mut bare, room, 1, 60_000), [None], "{tenant}");
            let (first, refusal) = until_refused(publish(&mut bare, room, 3, 30_000));
            assert_eq!((first, refusal), (0, Refused::with_retry("limit_rate")), "{tenant}");
        } else {
            // The room's own: what counts is what is published to it, by whomever.
            let mut other = enter(gateway, tenant, "bob", room);
            assert_eq!(publish(&mut bare, room, 1, 60_000), [None], "{room}");
            let (first, refusal) = until_refused(publish(&mut other, room, 2, 20_000));
            assert_eq!((first, refusal), (0, Refused::with_retry("limit_rate")), "{room}");
            let answer = call(gateway, tenant, room, 50_000);
            assert_eq!(Refused::of(&answer), Refused::with_retry("limit_rate"), "{room}");
        }
    }
}

#[test]
fn an_error_to_who_goes_on_regardless_comes_later_and_nobody_else_waits() {
    let tenants = [("acme", "connection = { publish_per_second = 1, publish_burst = 1 }")];
    let cluster = cluster(&tenants, "");
    let gateway = cluster.gateway();
    let mut hasty = enter(gateway, "acme", "ann", "r");
    let mut calm = enter(gateway, "acme", "bob", "r");
    let began = std::time::Instant::now();
    let frame = |id: u64| text(&json!({"t": "pub", "id": id, "data": id}).to_string());
    hasty.send((0..8).flat_map(frame).collect::<Vec<u8>>());
    let waiting = std::thread::spawn(move || {
        let mut answered = 0;
        while answered < 8 {
            let frame = hasty.hear();
            // What others say comes meanwhile.
            assert!(["ok", "err", "msg"].contains(&frame["t"].as_str().unwrap()), "{frame}");
            answered += u64::from(frame.get("id").is_some());
        }
        hasty
    });
    calm.ask(&json!({"t": "pub", "id": 1, "room": "r", "data": "hello"}));
    let mut hasty = waiting.join().unwrap();
    // At one a second and none ahead: the first at once, one refusal at once, and the others when it has waited.
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    hasty.is_alive();
    calm.is_alive();
}

#[test]
fn each_publication_of_a_list_has_an_answer_of_its_own() {
    let classes = "[[classes]]\nrooms = \"slow\"\nlimits = { publish_per_second = 1, publish_burst = 2 }\n";
    let cluster = cluster(&[("acme", "")], classes);
    let gateway = cluster.gateway();
    let items: Vec<Value> =
        (0..12).map(|n| json!({"room": if n % 2 == 0 { "slow" } else { "free" }, "data": n})).collect();
    let answers = post("/v1/publish?tenant=acme", "application/json", json!(items).to_string()).ok(gateway);
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 12);
    assert!(answers.iter().skip(1).step_by(2).all(|answer| answer.get("offset").is_some()), "{answers:?}");
    let slow: Vec<&Value> = answers.iter().step_by(2).collect();
    let accepted = slow.iter().take_while(|answer| answer.get("offset").is_some()).count();
    assert!((2..6).contains(&accepted), "{slow:?}");
    for refusal in &slow[accepted..] {
        assert_eq!(refusal["code"], "limit_rate", "{slow:?}");
        assert!(refusal["retry"].as_u64().is_some(), "{slow:?}");
    }
}
