//! What a stream's leader holds of a room, and of all: in one answer, since what is dropped between two can't be seen.

use serde_json::json;

use super::Stores;
use crate::store::{Holding, ReadError, RoomAt};

impl Stores {
    /// How much of a room the leader of its stream holds, and what it may.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn holding(&self, at: &RoomAt) -> Result<Holding, ReadError> {
        let subject = self.subjects.stored_room(at).map_err(|_| ReadError::BadAnswer)?;
        let question = json!({ "subjects_filter": subject }).to_string().into();
        let info = self.state_of(at, question).await?;
        // -1, or not there: no limit.
        let most = info.config["max_msgs_per_subject"].as_i64().unwrap_or(-1);
        let state = info.state;
        Ok(Holding {
            first: if state.messages == 0 { state.last_seq + 1 } else { state.first_seq },
            last: state.last_seq,
            count: state.subjects.values().sum(),
            most: u64::try_from(most).ok().filter(|most| *most > 0),
        })
    }
}
