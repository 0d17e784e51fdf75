use api_types::cmdb::CreateRelationship;

use super::OK;
use crate::arguments::RelationshipCommand;
use crate::connect::Connection;
use crate::failure::Outcome;
use crate::output::{Column, Printer, note};

const RELATIONSHIPS: &[Column] = &[
    ("id", "/id"),
    ("source", "/source"),
    ("type", "/type"),
    ("target", "/target"),
    ("compatibility", "/compatibility"),
];

pub async fn run(connection: &Connection, command: RelationshipCommand, printer: Printer) -> Outcome {
    let client = connection.cmdb();
    match command {
        RelationshipCommand::List { ci, most } => {
            printer.list(&client.list_relationships(&ci, most.limit).await?, RELATIONSHIPS)?;
        }
        RelationshipCommand::Create { source, relationship_type, target, compatibility } => {
            let request = CreateRelationship { source, target, relationship_type, compatibility };
            printer.item(&client.create_relationship(&request).await?)?;
        }
        RelationshipCommand::Delete { id } => {
            client.delete_relationship(id).await?;
            note(&format!("relationship {id} is deleted"));
        }
    }
    OK
}
