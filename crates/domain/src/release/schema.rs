//! Schemas of types that are written as text.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, schema::Type},
};

use super::{Delay, Version};

fn text(pattern: &str, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .description(Some(description))
        .into()
}

/// [`crate::time::Opening`].
pub(super) fn opening() -> RefOr<Schema> {
    let string = || ObjectBuilder::new().schema_type(Type::String);
    let weekly = ObjectBuilder::new()
        .property("days", ArrayBuilder::new().items(string()))
        .required("days")
        .property("at", string())
        .required("at");
    OneOfBuilder::new()
        .item(string().description(Some("A crontab pattern, such as `0 2 * * 6`")))
        .item(weekly.description(Some(
            "Weekdays and a time of day, such as `{\"days\": [\"Sat\"], \"at\": \"02:00\"}`",
        )))
        .into()
}

impl PartialSchema for Version {
    fn schema() -> RefOr<Schema> {
        text(
            "^v(0|[1-9][0-9]{0,5})(\\.(0|[1-9][0-9]{0,5})){2}$",
            "A version of the product, such as `v1.0.1`",
        )
    }
}

impl ToSchema for Version {}

impl PartialSchema for Delay {
    fn schema() -> RefOr<Schema> {
        text("^([0-9]+[mhd]|next_window)$", "A delay such as `15m`, `2h`, `3d`, or `next_window`")
    }
}

impl ToSchema for Delay {}
