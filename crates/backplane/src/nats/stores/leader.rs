//! Questions to a stream's leader, in JSON: what it says of the stream, and of single messages.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Stores;
use super::api::code as says;
use super::standing::Standing;
use crate::RequestError;
use crate::store::{ReadError, StoreKey};

/// How long a leader has for an answer.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(3);

/// What a stream is like.
#[derive(Deserialize)]
pub(super) struct Info {
    #[serde(default)]
    pub(super) config: serde_json::Value,
    pub(super) state: State,
    #[serde(default)]
    pub(super) cluster: Standing,
}

#[derive(Deserialize)]
pub(super) struct State {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) last_ts: String,
    /// How many messages of each subject, where it was asked for some.
    #[serde(default)]
    pub(super) subjects: std::collections::HashMap<String, u64>,
}

/// A message, but for what is in it.
#[derive(Deserialize)]
pub(super) struct Got {
    pub(super) message: Head,
}

#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) subject: String,
    pub(super) seq: u64,
    pub(super) time: String,
}

/// Something was done.
#[derive(Deserialize)]
pub(super) struct Done {}

#[derive(Deserialize)]
#[serde(untagged)]
enum Said<T> {
    // First: an error stands beside fields of what was asked for.
    Error { error: Refusal },
    Well(T),
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Stores {
    /// Asks a stream's leader. None: it has no such message.
    pub(super) async fn ask_leader<T: DeserializeOwned>(
        &self,
        key: &StoreKey,
        (what, stream): (&str, &str),
        question: Bytes,
    ) -> Result<Option<T>, ReadError> {
        let subject = format!("$JS.API.STREAM.{what}.{stream}");
        let asked = self.questions.ask(&self.client, subject, None, question, ASK_LIMIT).await;
        let answer = asked.map_err(|error| match error {
            RequestError::Timeout => ReadError::Timeout,
            RequestError::BadAnswer | RequestError::TooLarge => ReadError::BadAnswer,
            RequestError::Away | RequestError::NoResponders => ReadError::Away,
        })?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Said::Well(well)) => Ok(Some(well)),
            Ok(Said::Error { error }) if error.err_code == says::NO_MESSAGE => Ok(None),
            Ok(Said::Error { error }) => {
                let Refusal { code, err_code, description } = error;
                tracing::debug!(what, stream, code, err_code, description, "a stream's leader refused");
                if err_code == says::NO_STREAM {
                    self.look_again(key);
                }
                Err(match code {
                    429 => ReadError::Busy,
                    404 | 503 => ReadError::Away,
                    _ => ReadError::BadAnswer,
                })
            }
            Err(error) => {
                tracing::warn!(%error, what, stream, "an answer that can't be read");
                Err(ReadError::BadAnswer)
            }
        }
    }
}
