//! A text column that contains the name of an enum's variant.

use domain::compliance::{Classification, ComplianceStatus, MatchRule, PatchStateOfPackage, Severity};
use serde::de::DeserializeOwned;
use service_kit::text_enum::from_text;
use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueRef},
};

/// The type of such a column in a query: `status AS "status: TextColumn<ComplianceStatus>"`. An unknown name is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextColumn<T>(pub T);

impl<T> Type<Postgres> for TextColumn<T> {
    fn type_info() -> PgTypeInfo {
        <String as Type<Postgres>>::type_info()
    }

    fn compatible(type_info: &PgTypeInfo) -> bool {
        <String as Type<Postgres>>::compatible(type_info)
    }
}

impl<'r, T: DeserializeOwned> Decode<'r, Postgres> for TextColumn<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let text: &str = Decode::<Postgres>::decode(value)?;
        Ok(Self(from_text(text)?))
    }
}

macro_rules! into_enum {
    ($($name:ty),+) => {
        $(impl From<TextColumn<$name>> for $name {
            fn from(column: TextColumn<$name>) -> Self {
                column.0
            }
        })+
    };
}

into_enum!(Classification, ComplianceStatus, MatchRule, PatchStateOfPackage, advisories::Severity);

/// Advisories are stored with the vendor's rating; an unrated one counts as `none`.
impl From<TextColumn<advisories::Severity>> for Severity {
    fn from(column: TextColumn<advisories::Severity>) -> Self {
        column.0.into()
    }
}
