//! How a table of the configuration is written in code: a struct with each default beside its field.

/// A table of the configuration: its struct with each default beside its field, `Default`, and how it is read.
macro_rules! section {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $kind:ty = $default:expr,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $($(#[$doc])* pub $field: $kind,)* }

        impl Default for $name {
            fn default() -> Self { $name { $($field: $default,)* } }
        }

        impl $crate::read::Field for $name {
            fn read(node: &$crate::value::Node, reader: &mut $crate::read::Reader<'_>) -> Option<Self> {
                let table = reader.table(node, &[$(stringify!($field)),*])?;
                Some($name { $($field: table.or(reader, stringify!($field), $default),)* })
            }

            fn lay_out(&self, path: &str, out: &mut $crate::exact::Exact) {
                $($crate::read::Field::lay_out(&self.$field, &$crate::section::join(path, stringify!($field)), out);)*
            }

            fn keys(path: &str, default: Option<&Self>, out: &mut Vec<$crate::read::Key>) {
                let own = $name::default();
                let default = default.unwrap_or(&own);
                $(<$kind as $crate::read::Field>::keys(&$crate::section::join(path, stringify!($field)), Some(&default.$field), out);)*
            }
        }
    };
}

/// An item of a list or of a table of names: like `section`, but a field without a default has to be there.
macro_rules! item {
    ($(#[$about:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $kind:ty $(= $default:expr)?,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $($(#[$doc])* pub $field: $kind,)* }

        impl $crate::read::Field for $name {
            fn read(node: &$crate::value::Node, reader: &mut $crate::read::Reader<'_>) -> Option<Self> {
                let table = reader.table(node, &[$(stringify!($field)),*])?;
                $(let $field = item!(@read table, reader, $field, $kind $(, $default)?);)*
                Some($name { $($field: $field?,)* })
            }

            fn lay_out(&self, path: &str, out: &mut $crate::exact::Exact) {
                $($crate::read::Field::lay_out(&self.$field, &$crate::section::join(path, stringify!($field)), out);)*
            }

            fn keys(path: &str, _: Option<&Self>, out: &mut Vec<$crate::read::Key>) {
                $(<$kind as $crate::read::Field>::keys(
                    &$crate::section::join(path, stringify!($field)), item!(@default $($default)?), out);)*
            }
        }
    };
    (@read $table:ident, $reader:ident, $field:ident, $kind:ty) => {
        $table.required::<$kind>($reader, stringify!($field))
    };
    (@read $table:ident, $reader:ident, $field:ident, $kind:ty, $default:expr) => {
        Some($table.or::<$kind>($reader, stringify!($field), $default))
    };
    (@default) => { None };
    (@default $default:expr) => { Some(&$default) };
}

pub(crate) use {item, section};

/// The path of a table's key.
pub(crate) fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}
