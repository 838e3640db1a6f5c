//! W3C trace context, in and out (<https://www.w3.org/TR/trace-context/>), and whether anybody traces at all.
//!
//! `tracestate` isn't carried: Ringway's hops are its own, and what a vendor keeps there is about the caller's.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Length of a `traceparent` of version 00.
const LENGTH: usize = 55;

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Whether spans are exported: one relaxed load. A hot path asks before it makes a span, or uses [`crate::span!`],
/// which does.
#[inline]
#[must_use]
pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

pub(crate) fn set_enabled(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// A span that is exported where traces are on, and costs one load where they are off: `span!("join", room = %room)`.
///
/// Takes a name, which has to be a literal, and fields as `tracing`'s macros do; `otel.kind`, `otel.name` and
/// `otel.status_code` mean what they mean to `tracing-opentelemetry`. Never one for each delivery.
#[macro_export]
macro_rules! span {
    ($name:literal $(, $($fields:tt)*)?) => {
        if $crate::enabled() {
            $crate::tracing::info_span!(target: "ringway::trace", $name $(, $($fields)*)?)
        } else {
            $crate::tracing::Span::none()
        }
    };
}

/// The caller's span that a `traceparent` names. None where it isn't one: the standard has it ignored then.
#[must_use]
pub fn context_from_traceparent(traceparent: &str) -> Option<Context> {
    span_context(traceparent).map(|context| Context::new().with_remote_span_context(context))
}

fn span_context(traceparent: &str) -> Option<SpanContext> {
    let text = traceparent.trim();
    if !text.is_ascii() || text.len() < LENGTH {
        return None;
    }
    let (version, rest) = (text.get(..2)?, text.get(2..LENGTH)?);
    let lower_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // A later version may say more after a further dash; 00 may not, and ff is forbidden.
    let more = match text.as_bytes().get(LENGTH) {
        None => false,
        Some(b'-') if version != "00" => true,
        Some(_) => return None,
    };
    let dashes = [0, 33, 50].iter().all(|at| rest.as_bytes()[*at] == b'-');
    let (trace, span, flags) = (rest.get(1..33)?, rest.get(34..50)?, rest.get(51..53)?);
    if !dashes
        || version == "ff"
        || ![version, trace, span, flags].into_iter().all(lower_hex)
        || (more && version == "00")
    {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        flags,
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

/// Makes `span` a child of the caller's span that `traceparent` names, before anything was made a child of `span`.
/// False where traces are off or that isn't a `traceparent`.
pub fn set_parent(span: &Span, traceparent: &str) -> bool {
    enabled() && context_from_traceparent(traceparent).is_some_and(|parent| set_parent_context(span, parent))
}

/// As [`set_parent`], with the context at hand.
pub fn set_parent_context(span: &Span, parent: Context) -> bool {
    enabled() && span.set_parent(parent).is_ok()
}

/// Links `span` to another that `traceparent` names: for work that has several causes. False as in [`set_parent`].
pub fn link(span: &Span, traceparent: &str) -> bool {
    if !enabled() {
        return false;
    }
    match span_context(traceparent) {
        Some(context) => {
            span.add_link(context);
            true
        }
        None => false,
    }
}

/// The current span as a `traceparent`, for what goes on to another process. None where traces are off or no span is
/// entered.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    if enabled() { traceparent_of(&Span::current()) } else { None }
}

/// `span` as a `traceparent`, for what goes on to another process. None where traces are off or it is none.
#[must_use]
pub fn traceparent_of(span: &Span) -> Option<String> {
    if !enabled() || span.is_none() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| {
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), flags)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let context = span_context(GOOD).unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled() && context.is_remote());
        assert!(!span_context(&GOOD.replace("-01", "-00")).unwrap().is_sampled());
        // Other flags are ignored, a later version may say more.
        assert!(span_context(&GOOD.replace("-01", "-ff")).unwrap().is_sampled());
        assert!(span_context(&format!("{}-more", GOOD.replace("00-0a", "cc-0a"))).is_some());
        assert!(span_context(&format!(" {GOOD} ")).is_some());
    }

    #[test]
    fn what_isnt_a_traceparent_is_ignored() {
        let all = [
            String::new(),
            "00".into(),
            GOOD.to_ascii_uppercase(),
            format!("{GOOD}-more"),
            format!("{GOOD}0"),
            GOOD.replace("00-0a", "ff-0a"),
            GOOD.replace("00-0a", "0x-0a"),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
            GOOD.replace("-01", "_01"),
            GOOD.replace("0af7", "é7"),
            format!("{}é", &GOOD[..54]),
        ];
        for text in all {
            assert_eq!(span_context(&text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_made_where_traces_are_off() {
        assert!(!enabled());
        let span = crate::span!("join", room = "lobby");
        assert!(span.is_none());
        assert!(!set_parent(&span, GOOD) && !link(&span, GOOD));
        assert_eq!((current_traceparent(), traceparent_of(&span)), (None, None));
    }
}
