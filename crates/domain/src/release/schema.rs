//! Schemas of types that are written as text.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use super::{Delay, Version};

fn text(pattern: &str, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .description(Some(description))
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
