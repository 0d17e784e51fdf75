//! Feeds that the platform fetches itself.

use api_types::patch::{FeedState, PutFeed};

use crate::arguments::{AddFeed, FeedCommand};
use crate::connect::Connection;
use terminal::{Columns, Printer, done};
use terminal::{CommandResult, ExitStatus};

const FEEDS: Columns = "id state fetched=fetched_at next=next_at failures problem url";
const PRESETS: Columns = "name covers url";

pub async fn run(connection: &Connection, command: FeedCommand, printer: Printer) -> CommandResult {
    let client = connection.patch();
    match command {
        FeedCommand::List(most) => {
            let feeds = client.list_feeds(most.limit).await?;
            let printed = printer.list(&feeds, FEEDS)?;
            let is_late = feeds.iter().any(|feed| feed.state == FeedState::Late);
            Ok(if is_late { ExitStatus::Partial } else { printed })
        }
        FeedCommand::Show { id } => printer.item(&client.get_feed(&id).await?),
        FeedCommand::Presets => printer.list(&client.list_feed_presets().await?, PRESETS),
        FeedCommand::Add(AddFeed { id, preset, url, checksum_url, every_minutes, late_after_hours }) => {
            let preset = if url.is_some() { None } else { preset.or_else(|| Some(id.clone())) };
            let request = PutFeed { preset, url, checksum_url, every_minutes, late_after_hours };
            printer.item(&client.put_feed(&id, &request).await?)
        }
        FeedCommand::Fetch { id } => printer.item(&client.fetch_feed(&id).await?),
        FeedCommand::Remove { id } => {
            client.delete_feed(&id).await?;
            done(&format!("the feed {id} is no longer fetched"))
        }
    }
}
