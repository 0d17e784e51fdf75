//! Schemas of types that are written as text.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, schema::Type},
};

use super::{Delay, Version};
use crate::time::OffsetDays;

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
    let whole_number = || ObjectBuilder::new().schema_type(Type::Integer);
    let offset = || {
        let days = whole_number().minimum(Some(-OffsetDays::MAX)).maximum(Some(OffsetDays::MAX));
        days.description(Some("Days between the named days and the openings"))
    };
    let weekly = ObjectBuilder::new()
        .property("days", ArrayBuilder::new().items(string()))
        .required("days")
        .property("at", string())
        .required("at")
        .property(
            "nth",
            whole_number()
                .description(Some("Which ones of a month: 1 to 5, -1 for the last; absent: every week")),
        )
        .property("offset_days", offset());
    let moved = ObjectBuilder::new()
        .property("crontab", string())
        .required("crontab")
        .property("offset_days", offset())
        .required("offset_days");
    OneOfBuilder::new()
        .item(string().description(Some("A crontab pattern, such as `0 2 * * 6` or, for the second Tuesday, `0 2 * * TUE#2`")))
        .item(moved.description(Some(
            "Days after those of a crontab pattern, such as `{\"crontab\": \"0 2 * * TUE#2\", \"offset_days\": 2}`",
        )))
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
