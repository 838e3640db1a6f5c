//! `ringway sub`: joins rooms and prints what comes, one JSON object a line.

use std::io::IsTerminal;

use anyhow::anyhow;
use ringway_client::{
    Client, ClientOptions, ConnectOptions, Event, JoinOptions, RequestError, State, TokenSource,
};
use ringway_protocol::codec::{Format, encode_server};
use ringway_protocol::frame::{Joined, Left, ServerFrame};
use ringway_protocol::{Code, RoomName};

use crate::args::{Server, Sub};
use crate::exit::Failure;

/// How the command line connects.
pub(crate) fn options(server: &Server) -> Result<ClientOptions, Failure> {
    let name = |what: &str, error: &dyn std::fmt::Display| Failure::Use(format!("{what}: {error}"));
    let mut connect = ConnectOptions::to(&server.url).map_err(|error| name(&server.url, &error))?;
    connect.tenant =
        server.tenant.as_ref().map(|t| t.parse()).transpose().map_err(|error| name("--tenant", &error))?;
    connect.user =
        server.user.as_ref().map(|u| u.parse()).transpose().map_err(|error| name("--user", &error))?;
    connect.client = Some(concat!("ringway-cli/", env!("CARGO_PKG_VERSION")).to_owned());
    let mut options = ClientOptions::new(connect);
    if let Some(token) = &server.token {
        options.token = TokenSource::Fixed(token.clone());
    }
    Ok(options)
}

/// A room of the command line.
pub(crate) fn room_name(text: &str) -> Result<RoomName, Failure> {
    text.parse().map_err(|error| Failure::Use(format!("room {text:?}: {error}")))
}

pub(crate) fn run(args: &Sub) -> Result<(), Failure> {
    let rooms: Vec<RoomName> = args.rooms.iter().map(|room| room_name(room)).collect::<Result<_, _>>()?;
    if args.since.is_some() && rooms.len() > 1 {
        return Err(Failure::Use("--since: a position is one room's: name one".into()));
    }
    let mut options = options(&args.server)?;
    options.connect.room = rooms.first().cloned();
    crate::block_on(Box::pin(async {
        let (client, mut events) = Client::start(options);
        let joining = async {
            for room in &rooms {
                let join =
                    JoinOptions { last: args.last, since: args.since.clone(), ..JoinOptions::default() };
                match client.join(room, join).await {
                    // The client's last event says why.
                    Err(RequestError::Closed) => std::future::pending().await,
                    joined => joined.map_err(|error| anyhow!("{room}: {error}"))?,
                };
            }
            std::future::pending::<Result<(), Failure>>().await
        };
        let printing = async {
            while let Some(event) = events.next().await {
                show(event)?;
            }
            Err(Failure::Other(anyhow!("the connection has ended")))
        };
        let ended = tokio::select! {
            ended = joining => ended,
            ended = printing => ended,
            stopped = stop_signal() => stopped,
        };
        client.close().await;
        ended
    }))
}

async fn stop_signal() -> Result<(), Failure> {
    Ok(tokio::signal::ctrl_c().await?)
}

fn show(event: Event) -> Result<(), Failure> {
    match event {
        Event::State(state) => return told(&state),
        Event::Hello(_) | Event::Presence(_) => {}
        Event::Msg(msg) => line(&ServerFrame::Msg(*msg))?,
        Event::Gap(gap) => line(&ServerFrame::Gap(gap))?,
        Event::Joined { room, result } => line(&ServerFrame::Joined(Joined { room, result: *result }))?,
        Event::Left { room, code, message } => {
            line(&ServerFrame::Left(Left { room, code: code.clone(), message, retry: None }))?;
            if code == Code::Forbidden {
                return Err(Failure::Other(anyhow!("forbidden: the token doesn't allow this room")));
            }
        }
        Event::Refused(refusal) => line(&ServerFrame::Err(refusal))?,
    }
    Ok(())
}

/// The frame, in its JSON form.
fn line(frame: &ServerFrame) -> Result<(), Failure> {
    let mut json = Vec::new();
    encode_server(Format::Json, frame, &mut json);
    crate::print(&String::from_utf8_lossy(&json))
}

/// A status line, where a person waits.
fn told(state: &State) -> Result<(), Failure> {
    if let State::Closed(closed) = state {
        return Err(Failure::Other(anyhow!("closed: {} {}", closed.code, closed.reason)));
    }
    if !std::io::stderr().is_terminal() {
        return Ok(());
    }
    match state {
        State::Connecting => crate::say("connecting …"),
        State::Open { node, .. } => {
            let node = node.as_deref().unwrap_or("a node");
            crate::say(&format!("connected to {node}; Ctrl-C ends"));
        }
        State::Reconnecting { after, closed } => crate::say(&format!(
            "lost: {} {}; again in {:.1} s",
            closed.code,
            closed.reason,
            after.as_secs_f64()
        )),
        State::Closed(_) => {}
    }
    Ok(())
}
