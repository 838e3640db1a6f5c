//! Names of fields, and what a row is read from and written to.
//!
//! A frame says its fields once, in the order of its row ([`super::client`], [`super::server`]);
//! [`Take`] and [`Put`] are the two formats' ways to find and to place them. MessagePack goes by
//! that order and JSON by the names, so whoever takes or puts a field says its name, in order.

use std::borrow::Cow;

use crate::code::Code;
use crate::frame::UINT_END;
use crate::name::NameError;
use crate::payload::{Payload, PayloadError};

macro_rules! fields {
    ($($name:ident $text:literal)*) => {
        /// Every name that stands in a frame or an object inside one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Field {
            $($name,)*
        }

        impl Field {
            pub(super) const COUNT: usize = [$($text),*].len();

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            pub(super) fn find(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    T "t" Id "id" Room "room"
    Since "since" Last "last" State "state"
    Data "data" B64 "b64" Event "event" Key "key" Mid "mid" Echo "echo" Store "store" Trace "trace"
    After "after" Before "before" Limit "limit" Epoch "epoch"
    Token "token" Method "method"
    Conn "conn" Session "session" Ping "ping" Expires "expires" Limits "limits" User "user"
    Server "server" Node "node" Frame "frame" Rooms "rooms" PublishPerSecond "publish_per_second"
    Result "result" Code "code" Message "message" Retry "retry"
    Offset "offset" Ts "ts" Prev "prev"
    Joined "joined" Updated "updated" Left "left" Count "count" Users "users" Info "info"
    Reason "reason" Lost "lost"
    Newest "newest" Durable "durable" Resumed "resumed" Oldest "oldest" Members "members"
    Rights "rights" Duplicate "duplicate" Local "local" Next "next" More "more"
}

/// Why a field couldn't be taken.
#[derive(Debug)]
pub(super) enum Fault {
    /// Not JSON, or not MessagePack.
    Unreadable,
    /// Something to answer. Boxed, so that what is nearly always well stays small.
    Frame(Box<(Code, String)>),
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::Frame(Box::new((code, message.into())))
    }

    pub(super) fn frame(message: impl Into<String>) -> Self {
        Self::new(Code::BadFrame, message)
    }

    #[cold]
    pub(super) fn missing(field: Field) -> Self {
        Self::frame(format!("`{}` is missing", field.name()))
    }

    #[cold]
    pub(super) fn kind(field: Field, wanted: &str) -> Self {
        Self::frame(format!("`{}` is to be {wanted}", field.name()))
    }

    /// Text that isn't Unicode. A room's name is UTF-8 by its own rule.
    #[cold]
    pub(super) fn unicode(field: Field) -> Self {
        let code = if field == Field::Room { Code::BadRoom } else { Code::BadFrame };
        Self::new(code, format!("`{}` isn't Unicode text", field.name()))
    }

    #[cold]
    pub(super) fn name(field: Field, error: NameError) -> Self {
        Self::frame(format!("`{}`: {error}", field.name()))
    }

    #[cold]
    pub(super) fn payload(field: Field, error: &PayloadError) -> Self {
        Self::new(Code::BadPayload, format!("`{}`: {error}", field.name()))
    }

    /// The same, with another code.
    pub(super) fn with(self, code: Code) -> Self {
        match self {
            Self::Unreadable => self,
            Self::Frame(mut inner) => {
                inner.0 = code;
                Self::Frame(inner)
            }
        }
    }
}

/// Whether a payload field may be null: null in a required one is a value, elsewhere it is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    IsValue,
    IsAbsent,
}

/// What fields are taken from. Absent fields are `None`; a field that is there but of the wrong
/// kind is a fault.
pub(super) trait Take<'a>: Sized {
    /// An object inside.
    type Inner: Take<'a>;

    /// Passes over a place that the frame doesn't use.
    fn blank(&mut self) -> Result<(), Fault>;
    /// A number below [`UINT_END`].
    fn uint(&mut self, field: Field) -> Result<Option<u64>, Fault>;
    fn flag(&mut self, field: Field) -> Result<Option<bool>, Fault>;
    fn text(&mut self, field: Field) -> Result<Option<Cow<'a, str>>, Fault>;
    /// A value or bytes: [`Field::Data`].
    fn payload(&mut self, field: Field, null: Null) -> Result<Option<Payload>, Fault>;
    /// A value, never bytes.
    fn value(&mut self, field: Field, null: Null) -> Result<Option<Payload>, Fault>;
    fn inner(&mut self, field: Field) -> Result<Option<Self::Inner>, Fault>;
    /// An array of objects.
    fn each<T>(
        &mut self,
        field: Field,
        take: impl FnMut(&mut Self::Inner) -> Result<T, Fault>,
    ) -> Result<Option<Vec<T>>, Fault>;
    /// An array of strings.
    fn texts<T>(
        &mut self,
        field: Field,
        take: impl FnMut(Cow<'a, str>) -> Result<T, Fault>,
    ) -> Result<Option<Vec<T>>, Fault>;
}

/// What fields are put into. `None` is absent.
pub(super) trait Put {
    /// Leaves a place that the frame doesn't use.
    fn blank(&mut self);
    fn uint(&mut self, field: Field, value: Option<u64>);
    fn flag(&mut self, field: Field, value: Option<bool>);
    fn text(&mut self, field: Field, value: Option<&str>);
    /// A value or bytes; null is put as null, so optional ones are cleared of it before.
    fn payload(&mut self, field: Field, value: Option<&Payload>);
    fn inner<R: Row>(&mut self, field: Field, value: Option<&R>);
    fn each<R: Row>(&mut self, field: Field, value: Option<&[R]>);
    fn texts<S: AsRef<str>>(&mut self, field: Field, value: Option<&[S]>);
}

/// Something with fields in an order.
pub(super) trait Row {
    fn put<P: Put>(&self, put: &mut P);
}

/// The field, which has to be there.
pub(super) fn required<T>(field: Field, value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| Fault::missing(field))
}

/// A number that has passed the format, as frames know numbers.
#[inline]
pub(super) fn below_end(field: Field, number: u64) -> Result<Option<u64>, Fault> {
    if number < UINT_END { Ok(Some(number)) } else { Err(Fault::kind(field, UINT)) }
}

pub(super) const UINT: &str = "an unsigned integer below 2^53";
pub(super) const FLAG: &str = "true or false";
pub(super) const TEXT: &str = "a string";
pub(super) const OBJECT: &str = "an object";
pub(super) const LIST: &str = "an array";
