//! One of everything, for tests of the codec.

use std::sync::Arc;

use ringway_protocol::code::Code;
use ringway_protocol::payload::Payload;
use ringway_ring::{Announcement, Hottest, KeyHash, Load, NodeState, Spread, TenantUse};

use crate::message::{
    Answer, Ask, ClusterEvent, Direct, Epoch, Fate, HistoryPage, Known, LiveBody, LiveMessage, PageOf,
    Publication, Published, Question, Request, RoomTally,
};

const SPAN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const EPOCH: Epoch = Epoch { ms: 1_795_625_000_123, node: u64::MAX, random: 7 };

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a good name")
}

pub(crate) fn publications() -> Vec<Publication> {
    let bare = Publication::new(
        1_795_625_000_456,
        Payload::from_json(br#"{"text":"hello","n":[1,-2,3.5,null,true]}"#).expect("good JSON"),
    );
    let full = Publication {
        user: Some(name("Zoë")),
        event: Some("typing".into()),
        key: Some(name("cell/7")),
        mid: Some("m-1".into()),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        data: Payload::from_bytes(vec![0, 1, 255]),
        conn: Some(name("c_1")),
        session: Some(name("s_1")),
        echo: false,
        ..bare.clone()
    };
    vec![bare.clone(), full, Publication { data: Payload::null(), ts: u64::MAX, ..bare }]
}

pub(crate) fn live() -> Vec<LiveMessage> {
    let message = |count, body| LiveMessage {
        from: name("node-a.example"),
        count,
        tenant: name("acme"),
        room: name("board.{7}"),
        body,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };
    let keys = vec![(Some(name("cell/7")), 9), (None, 1 << 40)];
    let mut all = vec![
        message(u64::MAX, LiveBody::Mark { epoch: EPOCH, offset: 12 }),
        message(8, LiveBody::MarkKeys { epoch: EPOCH, keys }),
        message(9, LiveBody::MarkKeys { epoch: EPOCH, keys: Vec::new() }),
    ];
    all.splice(
        0..0,
        publications().into_iter().map(Arc::new).enumerate().map(|(count, publication)| {
            message(count as u64 + 1, LiveBody::Publication { epoch: EPOCH, offset: 1 << 40, publication })
        }),
    );
    all
}

pub(crate) fn direct() -> Vec<Direct> {
    let direct = |user, publication| Direct {
        tenant: name("acme"),
        user,
        publication: Arc::new(publication),
        traceparent: None,
    };
    let [bare, full, _] = &publications()[..] else { panic!("three publications") };
    vec![direct(None, bare.clone()), direct(Some(name("u1")), full.clone())]
}

pub(crate) fn requests() -> Vec<Request> {
    let known = Known { epoch: EPOCH, holder: Some(name("node-b")), offset: 3 };
    let asks = vec![
        Ask::Publish { publications: publications() },
        Ask::Publish {
            publications: publications()
                .into_iter()
                .map(|publication| Publication { span: Some(SPAN.into()), ..publication })
                .collect(),
        },
        Ask::Publish { publications: Vec::new() },
        Ask::Sync { known: None },
        Ask::Sync { known: Some(Known { holder: None, ..known.clone() }) },
        Ask::Take { known: Some(known) },
        Ask::Greater { epoch: EPOCH, holder: Some(name("node-c")), offset: 0 },
        Ask::Greater { epoch: EPOCH, holder: None, offset: 9 },
        Ask::Members,
        Ask::History { page: PageOf { limit: 1, ..PageOf::default() } },
        Ask::History { page: PageOf { after: Some(0), before: None, limit: 1_000, epoch: Some(EPOCH) } },
        Ask::History { page: PageOf { after: None, before: Some(u64::MAX), limit: 7, epoch: None } },
        Ask::Forget,
    ];
    let room = |ask| Question::Room { tenant: name("acme"), room: name("a.b é *"), ask };
    let others = [
        Question::Tally(vec![
            RoomTally { tenant: name("acme"), room: name("lobby"), count: 3, users: Some(vec![1, u64::MAX]) },
            RoomTally { tenant: name("acme"), room: name("big"), count: 50_000, users: None },
        ]),
        Question::Probe,
    ];
    let bodies = asks.into_iter().map(room).chain(others);
    bodies.map(|body| Request { from: name("gateway-1"), body, traceparent: None }).collect()
}

pub(crate) fn answers() -> Vec<Answer> {
    let entries: Vec<_> = (8..).zip(publications().into_iter().map(Arc::new)).collect();
    vec![
        Answer::Published(vec![
            Published { epoch: EPOCH, offset: 4, duplicate: false },
            Published { epoch: EPOCH, offset: 2, duplicate: true },
        ]),
        Answer::Limited {
            published: vec![Published { epoch: EPOCH, offset: 5, duplicate: false }],
            retry_ms: Some(250),
        },
        Answer::Limited { published: Vec::new(), retry_ms: None },
        Answer::State { epoch: EPOCH, offset: 10, base: 7, entries },
        Answer::State { epoch: EPOCH, offset: 0, base: 0, entries: Vec::new() },
        Answer::NotHeld { known: None, holder: None },
        Answer::NotHeld { known: Some(EPOCH), holder: Some(name("node-d")) },
        Answer::Redirect { to: None },
        Answer::Redirect { to: Some(name("node-e")) },
        Answer::Members { count: 3, users: Some(2) },
        Answer::Members { count: 50_000, users: None },
        Answer::Fates(vec![
            Fate::Stored(Published { epoch: EPOCH, offset: 1 << 40, duplicate: false }),
            Fate::Stored(Published { epoch: EPOCH, offset: 1, duplicate: true }),
            Fate::Passed,
            Fate::Full,
            Fate::TooBig,
            Fate::Unavailable,
            Fate::Unknown,
            Fate::Limited { retry_ms: Some(250) },
            Fate::Limited { retry_ms: None },
        ]),
        Answer::Fates(Vec::new()),
        Answer::History(HistoryPage {
            epoch: EPOCH,
            entries: publications()
                .into_iter()
                .map(|publication| (7, 1_795_625_000_123, Arc::new(publication)))
                .collect(),
            more: true,
            oldest: Some(3),
            newest: Some(u64::MAX),
        }),
        Answer::History(HistoryPage {
            epoch: EPOCH,
            entries: Vec::new(),
            more: false,
            oldest: None,
            newest: None,
        }),
        Answer::Done,
        Answer::Refused { code: Code::Unavailable },
    ]
}

pub(crate) fn cluster() -> Vec<ClusterEvent> {
    let announcement = Announcement {
        id: name("node-a"),
        incarnation: 1_795_625_000_000,
        pool: name("shared"),
        advertise: "10.0.0.5:7001".into(),
        public_url: Some("wss://a.example.net".into()),
        weight: 4,
        state: NodeState::Draining,
        connections: 12,
        rooms: 3,
        tenants: vec![TenantUse { tenant: name("acme"), connections: 7, publications: u64::MAX }],
        version: "0.1.0".into(),
        spreads: vec![Spread { key: KeyHash::of(&name("acme"), "team7"), over: 3 }],
        load: Load {
            deliveries: u64::MAX,
            unwanted: 1,
            hottest: vec![Hottest {
                tenant: name("acme"),
                room: name("{team7}.chat"),
                members: 12_000,
                deliveries: 90_000,
            }],
            ..Load::default()
        },
    };
    let plain = Announcement {
        public_url: None,
        tenants: Vec::new(),
        spreads: Vec::new(),
        load: Load::default(),
        state: NodeState::Serving,
        ..announcement.clone()
    };
    vec![
        ClusterEvent::Announced(Box::new(announcement)),
        ClusterEvent::Announced(Box::new(plain)),
        ClusterEvent::Departed { id: name("node-a"), incarnation: 5 },
        ClusterEvent::Hello,
    ]
}
