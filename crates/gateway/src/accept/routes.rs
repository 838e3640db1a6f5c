//! The paths of the public HTTP API, and what each takes.

use http::{Method, StatusCode};
use ringway_protocol::Code;

use super::Problem;

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route {
    /// `/v1/ws`.
    Upgrade,
    /// Another path of the API.
    Api(&'static Calls),
    /// No path of ours; perhaps a page.
    Other,
}

/// A call that is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Locate,
    Message,
    Publish,
    Members,
    History,
    Forget,
}

/// A path's calls by method.
#[derive(Debug)]
pub(crate) struct Calls {
    path: &'static str,
    /// For `Allow` and for preflights: what the path takes now.
    pub(crate) allow: &'static str,
    built: &'static [(Method, Call)],
    /// What it will take.
    later: &'static [Method],
}

static CALLS: [Calls; 8] = [
    Calls { path: "/v1/locate", allow: "GET, OPTIONS", built: &[(Method::GET, Call::Locate)], later: &[] },
    Calls {
        path: "/v1/messages",
        allow: "GET, POST, DELETE, OPTIONS",
        built: &[(Method::GET, Call::History), (Method::POST, Call::Message), (Method::DELETE, Call::Forget)],
        later: &[],
    },
    Calls {
        path: "/v1/publish",
        allow: "POST, OPTIONS",
        built: &[(Method::POST, Call::Publish)],
        later: &[],
    },
    Calls {
        path: "/v1/members",
        allow: "GET, OPTIONS",
        built: &[(Method::GET, Call::Members)],
        later: &[Method::PUT, Method::DELETE],
    },
    Calls { path: "/v1/rooms", allow: "OPTIONS", built: &[], later: &[Method::GET] },
    Calls { path: "/v1/connections", allow: "OPTIONS", built: &[], later: &[Method::GET, Method::DELETE] },
    Calls { path: "/v1/revocations", allow: "OPTIONS", built: &[], later: &[Method::POST] },
    Calls { path: "/v1/events", allow: "OPTIONS", built: &[], later: &[Method::GET] },
];

impl Route {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/ws" => Self::Upgrade,
            _ => CALLS.iter().find(|calls| calls.path == path).map_or(Self::Other, Self::Api),
        }
    }

    /// For metrics; what others invent as paths is one.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Upgrade => "/v1/ws",
            Self::Api(calls) => calls.path,
            Self::Other => "other",
        }
    }
}

impl Calls {
    /// The call that a method is.
    pub(crate) fn find(&self, method: &Method) -> Result<Call, Problem> {
        if let Some((_, call)) = self.built.iter().find(|(built, _)| built == method) {
            return Ok(*call);
        }
        if self.later.contains(method) {
            let problem = Problem::new(Code::NotFound, format!("{method} {} is not built yet", self.path));
            return Err(problem.with_status(StatusCode::NOT_IMPLEMENTED));
        }
        Err(Problem::wrong_method(self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, path: &str) -> u16 {
        match Route::of(path) {
            Route::Upgrade => 101,
            Route::Api(calls) => calls.find(method).map_or_else(|problem| problem.status.as_u16(), |_| 200),
            Route::Other => 404,
        }
    }

    #[test]
    fn every_path_of_the_documentation_is_known() {
        for (method, path, expected) in [
            (Method::GET, "/v1/ws", 101),
            (Method::GET, "/v1/locate", 200),
            (Method::POST, "/v1/messages", 200),
            (Method::GET, "/v1/messages", 200),
            (Method::DELETE, "/v1/messages", 200),
            (Method::PUT, "/v1/messages", 405),
            (Method::POST, "/v1/publish", 200),
            (Method::GET, "/v1/publish", 405),
            (Method::GET, "/v1/members", 200),
            (Method::PUT, "/v1/members", 501),
            (Method::DELETE, "/v1/members", 501),
            (Method::GET, "/v1/rooms", 501),
            (Method::GET, "/v1/connections", 501),
            (Method::DELETE, "/v1/connections", 501),
            (Method::POST, "/v1/revocations", 501),
            (Method::GET, "/v1/events", 501),
            (Method::GET, "/v1/ws/", 404),
            (Method::GET, "/v1", 404),
            (Method::GET, "/", 404),
            (Method::GET, "/v1/Messages", 404),
        ] {
            assert_eq!(status(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_is_allowed_is_what_is_built() {
        for calls in &CALLS {
            let built = calls.built.iter().map(|(method, _)| method.as_str());
            let wanted: Vec<_> = built.chain(["OPTIONS"]).collect();
            assert_eq!(calls.allow, wanted.join(", "), "{}", calls.path);
        }
    }
}
