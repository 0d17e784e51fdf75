//! Amounts as a number or a percentage.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A count of hosts: `5`, or `"10%"` of a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostCount {
    Number(u32),
    Percent(u8),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a number of hosts nor a percentage from `1%` to `100%`")]
pub struct InvalidHostCount(String);

impl HostCount {
    /// The number of hosts out of `total`. A percentage is rounded down, but to at least one host: rounding must neither
    /// take down more hosts at once than requested, nor block a small fleet forever.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Number(number) => number as usize,
            Self::Percent(percent) => (total * usize::from(percent) / 100).max(1),
        }
    }
}

#[cfg(feature = "schema")]
mod schema {
    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, schema::Type},
    };

    use super::HostCount;

    impl PartialSchema for HostCount {
        fn schema() -> RefOr<Schema> {
            let percentage =
                ObjectBuilder::new().schema_type(Type::String).pattern(Some("^([1-9]|[1-9][0-9]|100)%$"));
            OneOfBuilder::new()
                .item(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)))
                .item(percentage)
                .description(Some("A number of hosts, or a percentage of a total"))
                .into()
        }
    }

    impl ToSchema for HostCount {}
}

impl FromStr for HostCount {
    type Err = InvalidHostCount;

    fn from_str(text: &str) -> Result<Self, InvalidHostCount> {
        let invalid = || InvalidHostCount(text.chars().take(32).collect());
        match text.trim().strip_suffix('%') {
            Some(digits) => match digits.trim().parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(invalid()),
            },
            None => text.trim().parse().map(Self::Number).map_err(|_| invalid()),
        }
    }
}

impl fmt::Display for HostCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for HostCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u32(*number),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for HostCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = HostCount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of hosts, or a percentage such as \"10%\"")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<HostCount, E> {
                u32::try_from(number)
                    .map(HostCount::Number)
                    .map_err(|_| E::custom("the number of hosts is too large"))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<HostCount, E> {
                u32::try_from(number)
                    .map(HostCount::Number)
                    .map_err(|_| E::custom("a number of hosts cannot be negative"))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HostCount, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
