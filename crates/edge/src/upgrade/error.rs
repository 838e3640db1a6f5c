//! Why a request head isn't an upgrade that we take.

use http::StatusCode;
use http::header::{ALLOW, CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_VERSION, UPGRADE};

/// Why a request head isn't an upgrade that we take, for a plain HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {detail}")]
pub struct UpgradeError {
    /// 400, 405, 426 or 505.
    pub status: StatusCode,
    /// One sentence for people, without anything the client sent.
    pub detail: &'static str,
}

impl UpgradeError {
    pub(super) const fn new(status: StatusCode, detail: &'static str) -> UpgradeError {
        UpgradeError { status, detail }
    }

    pub(super) const fn bad(detail: &'static str) -> UpgradeError {
        UpgradeError::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) const fn upgrade_required(detail: &'static str) -> UpgradeError {
        UpgradeError::new(StatusCode::UPGRADE_REQUIRED, detail)
    }

    /// Adds the headers that belong to the status. The connection isn't used again: who upgrades
    /// wrongly may mean something else by the bytes that follow.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(CONNECTION, HeaderValue::from_static("close, Upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
    }
}
