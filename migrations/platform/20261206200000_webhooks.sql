-- Receivers of webhooks, each with its own secret. A secret is derived from the key of the services and the id of its row, so that the
-- database contains none.
CREATE TABLE platform.webhook_receivers (
    id         uuid PRIMARY KEY,
    url        text NOT NULL,
    -- Empty for messages that belong to no customer.
    customer   text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    UNIQUE (url, customer)
);

CREATE TABLE platform.webhook_secrets (
    id          uuid PRIMARY KEY,
    receiver_id uuid NOT NULL REFERENCES platform.webhook_receivers ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    -- Of a secret that was replaced: until then, it signs next to its successor.
    expires_at  timestamptz
);
CREATE INDEX webhook_secrets_receiver ON platform.webhook_secrets (receiver_id, id);

-- Messages that were accepted from receivers: the same id is not accepted again. An old message is refused by its timestamp.
CREATE TABLE platform.webhook_messages (
    receiver_id uuid NOT NULL REFERENCES platform.webhook_receivers ON DELETE CASCADE,
    message_id  text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (receiver_id, message_id)
);
CREATE INDEX webhook_messages_age ON platform.webhook_messages (received_at);
