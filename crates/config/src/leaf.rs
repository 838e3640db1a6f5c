//! Single values: text, numbers, names, and words out of a few; and what is said of one that is written wrong.

use ringway_protocol::{GroupId, Pattern, PoolId, StoreName, TenantId};

use crate::range;
use crate::read::{Leaf, Reader, Refusal};
use crate::value::{Kind, Node};

/// The text of a string. What the environment holds is text as it is, unless it is a TOML string in quotes.
pub(crate) fn text(node: &Node) -> Result<String, Refusal> {
    match &node.kind {
        Kind::String(text) => Ok(text.clone()),
        Kind::Text(text) => match Node::parse_value(text, &node.place) {
            Some(Node { kind: Kind::String(quoted), .. }) => Ok(quoted),
            _ => Ok(text.clone()),
        },
        _ => Err(Refusal::Kind),
    }
}

/// The value of something that isn't a string.
pub(crate) fn scalar(node: &Node) -> Kind {
    match &node.kind {
        Kind::Text(text) => match Node::parse_value(text, &node.place) {
            Some(parsed) => parsed.kind,
            None => Kind::String(text.clone()),
        },
        other => other.clone(),
    }
}

impl Leaf for String {
    fn wants() -> String {
        "a string".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        text(node)
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl Leaf for bool {
    fn wants() -> String {
        "true or false".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        match scalar(node) {
            Kind::Boolean(value) => Ok(value),
            _ => Err(Refusal::Kind),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($kind:ty, $most:literal;)*) => {$(
        impl Leaf for $kind {
            fn wants() -> String {
                concat!("a whole number from 0 to ", $most).into()
            }

            fn wants_at(path: &str) -> String {
                match range::of(path) {
                    Some((least, most)) => format!("a whole number from {least} to {most}"),
                    None => Self::wants(),
                }
            }

            fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
                match scalar(node) {
                    Kind::Integer(number) => <$kind>::try_from(number).map_err(|_| Refusal::Kind),
                    _ => Err(Refusal::Kind),
                }
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_numbers! {
    u8, "255";
    u32, "4294967295";
    u64, "2⁶⁴−1";
}

impl Leaf for f64 {
    fn wants() -> String {
        "a number".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        match scalar(node) {
            Kind::Float(number) => Ok(number),
            // Whole numbers up to 2⁵³ are exact; a share or a factor is never beyond.
            Kind::Integer(number) => i32::try_from(number).map(f64::from).map_err(|_| Refusal::Kind),
            _ => Err(Refusal::Kind),
        }
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

macro_rules! names {
    ($($kind:ty, $wants:literal;)*) => {$(
        impl Leaf for $kind {
            fn wants() -> String {
                $wants.into()
            }

            fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
                Ok(text(node)?.parse::<$kind>()?)
            }

            fn show(&self) -> String {
                format!("{:?}", self.as_str())
            }
        }
    )*};
}

names! {
    TenantId, "a tenant's name";
    PoolId, "a pool's name";
    GroupId, "a group's name";
    StoreName, "the name of a store";
}

impl Leaf for Pattern {
    fn wants() -> String {
        "a pattern of rooms such as \"board.**\"".into()
    }

    fn parse(node: &Node, _: &mut Reader<'_>) -> Result<Self, Refusal> {
        Ok(Pattern::parse(&text(node)?)?)
    }

    fn show(&self) -> String {
        format!("{:?}", self.as_str())
    }
}

/// A word out of a few. Those in `later` are known and will come, and are refused in so many words.
macro_rules! choice {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* } later { $($later:literal: $why:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// As it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::read::Leaf for $name {
            fn wants() -> String {
                $crate::leaf::one_of(&[$($word),*])
            }

            fn parse(node: &$crate::value::Node, _: &mut $crate::read::Reader<'_>) -> Result<Self, $crate::read::Refusal> {
                let text = $crate::leaf::text(node)?;
                match text.as_str() {
                    $($word => Ok($name::$variant),)*
                    $($later => Err($crate::read::Refusal::Whole(format!("not built yet: {}", $why))),)*
                    other => Err($crate::read::Refusal::Value(
                        format!("{other:?} isn't one of them{}", $crate::nearest::word(&[$($word),*], other)))),
                }
            }

            fn show(&self) -> String {
                format!("{:?}", self.as_str())
            }
        }
    };
}

pub(crate) use choice;

pub(crate) fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("{only:?}"),
        [most @ .., last] => {
            let most = most.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
            format!("{most} or {last:?}")
        }
    }
}
