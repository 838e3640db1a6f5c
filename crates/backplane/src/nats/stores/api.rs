//! Questions to JetStream about streams: one request, one answer in JSON, kept as it came so that settings this release
//! doesn't know survive a change.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Stores;
use crate::RequestError;

/// How long JetStream may take for an answer. Making a stream on three servers takes it some tenths of a second.
const LIMIT: Duration = Duration::from_secs(5);

/// Between two tries of a change.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// How often a change is tried whose outcome isn't known.
const TRIES: usize = 5;

/// What JetStream says by number.
pub(super) mod code {
    /// No such message.
    pub(in super::super) const NO_MESSAGE: u64 = 10037;
    /// JetStream isn't on for this account.
    pub(in super::super) const NOT_FOR_ACCOUNT: u64 = 10039;
    /// JetStream isn't on.
    pub(in super::super) const NOT_ENABLED: u64 = 10076;
    /// The servers have no quorum, for now.
    pub(in super::super) const UNAVAILABLE: u64 = 10008;
    /// A stream of that name is there, with other settings.
    pub(in super::super) const NAME_IN_USE: u64 = 10058;
    /// No such stream.
    pub(in super::super) const NO_STREAM: u64 = 10059;
    /// Another stream has some of these subjects.
    pub(in super::super) const OVERLAP: u64 = 10065;
}

/// Why JetStream didn't do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// The link is away.
    #[error("the link to NATS is away")]
    Away,
    /// No answer in time. What was asked may have been done.
    #[error("it doesn't answer")]
    Silent,
    /// Nobody answers such questions.
    #[error("there is no JetStream")]
    NoJetStream,
    /// It says no.
    #[error("{text} ({code})")]
    Refused {
        /// Its number for the reason.
        code: u64,
        /// The reason in its own words.
        text: String,
    },
    /// It answers what isn't an answer.
    #[error("its answer can't be read")]
    Garbage,
}

impl ApiError {
    pub(super) fn is(&self, wanted: u64) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }

    /// What is the matter with JetStream as a whole, for people; none: the error is about what was asked.
    pub(super) fn in_general(&self) -> Option<&'static str> {
        match self {
            Self::Away => Some("NATS is away"),
            Self::Silent => Some(
                "JetStream doesn't answer: most of its servers are away, or overloaded (publishing may go on meanwhile)",
            ),
            Self::NoJetStream => {
                Some("the NATS server has no JetStream: start it with a `jetstream {}` section, or with -js")
            }
            Self::Refused { code: code::NOT_ENABLED | code::NOT_FOR_ACCOUNT, .. } => Some(
                "JetStream isn't on for this account: give it `jetstream: enabled` in the NATS server's accounts",
            ),
            Self::Refused { code: code::UNAVAILABLE, .. } => {
                Some("JetStream has no quorum: most of its servers are away")
            }
            Self::Refused { .. } => None,
            Self::Garbage => Some("JetStream answers what this release can't read"),
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NoResponders => Self::NoJetStream,
            RequestError::Away => Self::Away,
            RequestError::Timeout => Self::Silent,
            RequestError::TooLarge | RequestError::BadAnswer => Self::Garbage,
        }
    }
}

impl Stores {
    /// Asks JetStream's API, as `STREAM.INFO.name`.
    pub(super) async fn api(&self, what: &str, body: &Value) -> Result<Value, ApiError> {
        let payload = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let subject = format!("$JS.API.{what}");
        let message = self.questions.ask(&self.client, subject, None, payload, LIMIT).await?;
        let answer: Value = serde_json::from_slice(&message.payload).map_err(|_| ApiError::Garbage)?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(ApiError::Refused {
                code: error["err_code"].as_u64().unwrap_or(0),
                text: error["description"].as_str().unwrap_or("no reason given").to_owned(),
            }),
        }
    }

    /// The names of all streams that take anything under a subject.
    pub(super) async fn streams_under(&self, subject: &str) -> Result<Vec<String>, ApiError> {
        let mut names = Vec::new();
        loop {
            let page =
                self.api("STREAM.NAMES", &json!({ "subject": subject, "offset": names.len() })).await?;
            let total = page["total"].as_u64().unwrap_or(0);
            let Some(streams) = page["streams"].as_array().filter(|streams| !streams.is_empty()) else {
                return Ok(names);
            };
            names.extend(streams.iter().filter_map(|name| name.as_str().map(str::to_owned)));
            if names.len() as u64 >= total {
                return Ok(names);
            }
        }
    }

    /// A stream; none: there is none of that name.
    pub(super) async fn info(&self, name: &str) -> Result<Option<Value>, ApiError> {
        match self.api(&format!("STREAM.INFO.{name}"), &Value::Null).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.is(code::NO_STREAM) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a stream, and says how it came out.
    pub(super) async fn create(&self, config: &Value) -> Result<Value, ApiError> {
        let name = config["name"].as_str().unwrap_or_default();
        self.api(&format!("STREAM.CREATE.{name}"), config).await
    }

    /// Gives a stream these settings, all of them, and says how it came out.
    pub(super) async fn update(&self, config: &Value) -> Result<Value, ApiError> {
        let name = config["name"].as_str().unwrap_or_default();
        self.api(&format!("STREAM.UPDATE.{name}"), config).await
    }

    /// When the message was stored that a stream's leader has at a number, as it writes it; none: nothing is there.
    pub(super) async fn stored_at(&self, name: &str, seq: u64) -> Result<Option<String>, ApiError> {
        match self.api(&format!("STREAM.MSG.GET.{name}"), &json!({ "seq": seq })).await {
            Ok(answer) => match answer["message"]["time"].as_str() {
                Some(time) => Ok(Some(time.to_owned())),
                None => Err(ApiError::Garbage),
            },
            Err(error) if error.is(code::NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes a stream's settings; where it isn't known whether that was done, until it is.
    pub(super) async fn change(&self, name: &str, change: impl Fn(&mut Value)) -> Result<Value, ApiError> {
        let mut tries = 0;
        loop {
            let changed = self.change_once(name, &change).await;
            tries += 1;
            match changed {
                Err(ApiError::Silent | ApiError::Away) if tries < TRIES => {
                    tokio::time::sleep(TRY_EVERY).await;
                }
                changed => return changed,
            }
        }
    }

    async fn change_once(&self, name: &str, change: &impl Fn(&mut Value)) -> Result<Value, ApiError> {
        let info = self.info(name).await?.ok_or_else(|| ApiError::Refused {
            code: code::NO_STREAM,
            text: format!("stream {name} is gone"),
        })?;
        let mut config = info["config"].clone();
        change(&mut config);
        if config != info["config"] {
            config = self.update(&config).await?["config"].clone();
        }
        Ok(config)
    }
}
