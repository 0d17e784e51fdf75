-- Who reports the result of a deployment, and until when. Empty where no callback is expected.
ALTER TABLE patch.deployments ADD COLUMN callback_receiver uuid, ADD COLUMN callback_deadline timestamptz;
