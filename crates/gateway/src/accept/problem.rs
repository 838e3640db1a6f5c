//! Refusals as HTTP has them: a problem document (RFC 9457) with a code of the registry.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use ringway_protocol::Code;
use serde_json::json;

use crate::Refusal;

/// A refusal. What it says is for people; it never repeats a token, nor what a client sent.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) status: StatusCode,
    pub(crate) detail: Cow<'static, str>,
    /// When asking again may help.
    pub(crate) retry: Option<Duration>,
    /// For 405: the methods that there are.
    allow: Option<&'static str>,
}

/// When to ask again for what can't be had at the moment: a node that died has left every view by then.
pub(crate) const RETRY: Duration = Duration::from_secs(3);

impl Problem {
    /// With the status that belongs to the code.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { code, status, detail: detail.into(), retry: None, allow: None }
    }

    /// `bad_request`.
    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    /// `unavailable`, to be asked again.
    pub(crate) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unavailable, detail).again_after(RETRY)
    }

    /// A method that a path doesn't have.
    pub(crate) fn wrong_method(allow: &'static str) -> Self {
        let problem = Self::bad_request(format!("this path takes {allow}"));
        Self { status: StatusCode::METHOD_NOT_ALLOWED, allow: Some(allow), ..problem }
    }

    /// What a node of the cluster said.
    pub(crate) fn of_node(Refusal { code, retry }: Refusal) -> Self {
        let meaning = code.meaning();
        Self { retry, ..Self::new(code, meaning) }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn again_after(self, retry: Duration) -> Self {
        Self { retry: Some(retry), ..self }
    }

    /// The whole milliseconds of `retry`.
    pub(crate) fn retry_ms(&self) -> Option<u64> {
        self.retry.map(|retry| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let mut document = json!({
            "type": format!("urn:ringway:code:{}", self.code),
            "title": self.code.meaning(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code.as_str(),
        });
        if let Some(retry) = self.retry_ms() {
            document["retry"] = retry.into();
        }
        let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry) = self.retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry.as_millis().div_ceil(1_000) as u64));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ringway\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn document(problem: &Problem) -> (Response<()>, serde_json::Value) {
        let (head, body) = problem.response().into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (Response::from_parts(head, ()), serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn every_code_is_a_document_with_its_status() {
        for code in Code::ALL {
            let (head, document) = document(&Problem::new(code.clone(), "why")).await;
            assert_eq!(head.status().as_u16(), code.http_status());
            assert_eq!(head.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(document["code"], code.as_str());
            assert_eq!(document["status"], code.http_status());
            assert_eq!(document["detail"], "why");
            assert_eq!(document.get("retry"), None);
            assert_eq!(head.headers().contains_key(WWW_AUTHENTICATE), head.status() == 401);
        }
    }

    #[tokio::test]
    async fn when_to_come_back_is_said_twice() {
        let problem = Problem::unavailable("no node").again_after(Duration::from_millis(1_200));
        let (head, document) = document(&problem).await;
        assert_eq!(head.status(), 503);
        assert_eq!(head.headers()[RETRY_AFTER], "2", "whole seconds, never too early");
        assert_eq!(document["retry"], 1_200);
    }

    #[tokio::test]
    async fn a_wrong_method_names_the_right_ones() {
        let (head, document) = document(&Problem::wrong_method("GET, HEAD")).await;
        assert_eq!(head.status(), 405);
        assert_eq!(head.headers()[ALLOW], "GET, HEAD");
        assert_eq!(document["code"], "bad_request");
    }
}
