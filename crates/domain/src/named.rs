//! Types that are written as text: enums whose variants have one name on the wire, in files, in the database and on the
//! command line, and conversions from and to `String`.

/// Makes such an enum: `name`, `ALL`, `Display` and a `FromStr` that lists the known names. The text is a token tree, not a
/// `literal`: derive macros that read attributes token by token do not see into the group around a literal.
macro_rules! named_enum {
    ($(#[$meta:meta])* $name:ident, $what:literal {
        $($(#[$doc:meta])* $variant:ident $(= $rank:literal)? => $text:tt),+ $(,)?
    }) => {
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        $(#[$meta])*
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $variant $(= $rank)?),+
        }

        impl $name {
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let text = text.replace('-', "_");
                let known = Self::ALL.into_iter().find(|one| one.name().replace('-', "_") == text);
                known.ok_or_else(|| {
                    let names = Self::ALL.map(|one| format!("`{one}`"));
                    format!(concat!("is not ", $what, "; known are {}"), names.join(", "))
                })
            }
        }
    };
}

pub(crate) use named_enum;

/// Makes a type with `FromStr` and `Display` convertible from and to `String`, for
/// `#[serde(try_from = "String", into = "String")]`.
#[macro_export]
macro_rules! string_conversions {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = <$name as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
