//! Feeds that the platform fetches itself.

use api_types::patch::{Feed, FeedPreset, PutFeed};

use super::PatchClient;
use crate::{client::ClientError, segment};

impl PatchClient {
    pub async fn put_feed(&self, id: &str, request: &PutFeed) -> Result<Feed, ClientError> {
        self.0.put(&format!("/patch/feeds/{id}", id = segment(id)), request).await
    }

    pub async fn get_feed(&self, id: &str) -> Result<Feed, ClientError> {
        self.0.get(&format!("/patch/feeds/{id}", id = segment(id)), &[]).await
    }

    pub async fn list_feeds(&self, most: usize) -> Result<Vec<Feed>, ClientError> {
        self.0.get_all("/patch/feeds", &[], most).await
    }

    pub async fn list_feed_presets(&self) -> Result<Vec<FeedPreset>, ClientError> {
        self.0.get("/patch/feeds/presets", &[]).await
    }

    pub async fn fetch_feed(&self, id: &str) -> Result<Feed, ClientError> {
        self.0.post(&format!("/patch/feeds/{id}/fetch", id = segment(id)), &()).await
    }

    pub async fn delete_feed(&self, id: &str) -> Result<(), ClientError> {
        self.0.delete(&format!("/patch/feeds/{id}", id = segment(id))).await
    }
}
