//! `GET /v1/messages` and `DELETE /v1/messages`: a page of what a durable room keeps, and all of it forgotten.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringway_auth::Right;
use ringway_backplane::message::{Answer, Ask, HistoryPage, PageOf, Publication};
use ringway_protocol::{Code, EpochName};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Call;
use crate::accept::{Problem, Query, number, room};

/// A page, in the order that was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    epoch: String,
    messages: Vec<Line>,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<u64>,
}

/// A publication, as a `msg` frame has it.
#[derive(Debug, Serialize)]
struct Line {
    offset: u64,
    /// When it was stored.
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64: Option<String>,
}

/// Nothing else to say.
#[derive(Debug, Serialize)]
pub(super) struct Forgotten {}

pub(super) async fn get(call: &Call<'_>) -> Result<Page, Problem> {
    let room = room(&call.query)?.ok_or_else(|| Problem::bad_request("give `room`"))?;
    let page = page_of(&call.query)?;
    call.caller.require(Right::History, &room)?;
    match call.ask(&room, Ask::History { page }).await.map_err(nothing_was_done)? {
        Answer::History(page) => read(page),
        _ => Err(Problem::new(Code::Internal, "the room's node gave another answer than a page")),
    }
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Forgotten, Problem> {
    let room = room(&call.query)?.ok_or_else(|| Problem::bad_request("give `room`"))?;
    call.caller.require(Right::Manage, &room)?;
    match call.ask(&room, Ask::Forget).await? {
        Answer::Done => Ok(Forgotten {}),
        _ => Err(Problem::new(Code::Internal, "the room's node gave another answer than that it is done")),
    }
}

fn page_of(query: &Query) -> Result<PageOf, Problem> {
    let epoch = query.get("epoch").map(str::parse::<EpochName>).transpose();
    let epoch = epoch.map_err(|error| Problem::bad_request(format!("epoch: {error}")))?;
    let page = PageOf::asked(
        number(query, "after")?,
        number(query, "before")?,
        number(query, "limit")?,
        epoch.as_ref().map(EpochName::as_str),
    );
    page.map_err(|error| Problem::bad_request(error.meaning()))
}

/// Who only asked needn't wonder what became of it.
fn nothing_was_done(problem: Problem) -> Problem {
    match problem.code {
        Code::OutcomeUnknown => Problem::unavailable("the room's node did not answer in time"),
        _ => problem,
    }
}

fn read(page: HistoryPage) -> Result<Page, Problem> {
    let HistoryPage { epoch, entries, more, oldest, newest } = page;
    let messages = entries.iter().map(|(offset, ts, publication)| line(*offset, *ts, publication));
    let messages = messages.collect::<Option<_>>();
    let messages =
        messages.ok_or_else(|| Problem::new(Code::Internal, "a publication could not be written"))?;
    Ok(Page { epoch: epoch.to_string(), messages, more, oldest, newest })
}

fn line(offset: u64, ts: u64, publication: &Publication) -> Option<Line> {
    let (data, b64) = match publication.data.bytes() {
        Some(bytes) => (None, Some(STANDARD.encode(bytes))),
        None => {
            let mut json = Vec::new();
            publication.data.write_json(&mut json);
            (Some(RawValue::from_string(String::from_utf8(json).ok()?).ok()?), None)
        }
    };
    Some(Line {
        offset,
        ts,
        user: publication.user.as_ref().map(|user| user.as_str().to_owned()),
        event: publication.event.as_deref().map(str::to_owned),
        key: publication.key.as_ref().map(|key| key.as_str().to_owned()),
        mid: publication.mid.as_deref().map(str::to_owned),
        trace: publication.trace.as_deref().map(str::to_owned),
        data,
        b64,
    })
}

#[cfg(test)]
mod tests {
    use super::super::publication::Details;
    use super::*;
    use ringway_backplane::message::Epoch;
    use ringway_protocol::Payload;
    use std::sync::Arc;

    fn asked(query: &str) -> Result<PageOf, Code> {
        let query = Query::parse(Some(query)).map_err(|_| Code::BadRequest)?;
        page_of(&query).map_err(|problem| problem.code)
    }

    #[test]
    fn a_page_is_asked_for_by_numbers_and_nothing_else() {
        let page = PageOf { after: None, before: None, limit: 100, epoch: None };
        assert_eq!(asked(""), Ok(page));
        assert_eq!(asked("after=0&limit=7"), Ok(PageOf { after: Some(0), limit: 7, ..page }));
        assert_eq!(asked("before=9007199254740991").map(|page| page.before), Ok(Some((1 << 53) - 1)));
        let epoch = Epoch { ms: 1, node: 2, random: 3 };
        assert_eq!(asked(&format!("epoch={epoch}")), Ok(PageOf { epoch: Some(epoch), ..page }));
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=1000000000",
            "limit=-1",
            "limit=",
            "limit=1.5",
            "limit=1e3",
            "after=-1",
            "after=9007199254740992",
            "after=+1",
            "before=x",
            "after=1&before=2",
            "after=1&after=1",
            "epoch=",
            "epoch=a%3Ab",
        ] {
            assert_eq!(asked(bad), Err(Code::BadRequest), "{bad}");
        }
    }

    #[test]
    fn a_page_is_written_as_frames_have_it() {
        let plain = |data| Arc::new(Details::default().with(data, None, 5));
        let full = Publication {
            key: Some("k".parse().expect("a key")),
            mid: Some("m".into()),
            ..(*plain(Payload::from_json(br#"{"b":1.0,"a":null}"#).expect("JSON"))).clone()
        };
        let entries = vec![
            (9, 99, Arc::new(full)),
            (4, 44, plain(Payload::from_bytes(vec![0, 255]))),
            (1, 11, plain(Payload::null())),
        ];
        let epoch = Epoch { ms: 1, node: 2, random: 3 };
        let page = HistoryPage { epoch, entries, more: true, oldest: Some(1), newest: Some(9) };
        let text = serde_json::to_string(&read(page).expect("a page")).expect("JSON");
        assert_eq!(
            text,
            format!(
                r#"{{"epoch":"{epoch}","messages":[{{"offset":9,"ts":99,"key":"k","mid":"m","data":{{"b":1.0,"a":null}}}},{{"offset":4,"ts":44,"b64":"AP8="}},{{"offset":1,"ts":11,"data":null}}],"more":true,"oldest":1,"newest":9}}"#
            )
        );
    }
}
