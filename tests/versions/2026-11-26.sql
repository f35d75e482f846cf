-- A database as `tidegate serve` of 2026-11-26 left it, before health data. Its
-- times were moved to the year 2100, so that nothing in it expires or is trimmed.
CREATE TABLE IF NOT EXISTS "seaql_migrations" ( "version" varchar NOT NULL PRIMARY KEY, "applied_at" integer NOT NULL );
INSERT INTO seaql_migrations VALUES('m20261121_000001_live_path',1795706965);
INSERT INTO seaql_migrations VALUES('m20261121_000002_push_tier',1795706965);
INSERT INTO seaql_migrations VALUES('m20261121_000003_marketplace',1795706965);
INSERT INTO seaql_migrations VALUES('m20261126_000001_write_probe',1795706965);
INSERT INTO seaql_migrations VALUES('m20261126_000002_push_refusals',1795706965);
INSERT INTO seaql_migrations VALUES('m20261126_000003_marketplace_care',1795706965);
INSERT INTO seaql_migrations VALUES('m20261126_000004_command_delivery',1795706965);
CREATE TABLE IF NOT EXISTS "journal_entry" ( "stream" text NOT NULL, "seq" integer NOT NULL, "kind" text NOT NULL, "at" integer NOT NULL, "body" text NOT NULL, "device_id" text NULL, "requires" text NULL, "command_id" text NULL, PRIMARY KEY ("stream", "seq") );
INSERT INTO journal_entry VALUES('news',1,'record',4102444800000,'{"collection":"items","id":"a","version":1,"op":"put","data":{"title": "old news"}}',NULL,NULL,NULL);
INSERT INTO journal_entry VALUES('user:ann',2,'command_closed',4102444800000,'{"command_id":"01a21879-dc16-743e-83a6-2d0ad7f6dd69","status":"applied"}',NULL,NULL,'01a21879-dc16-743e-83a6-2d0ad7f6dd69');
CREATE TABLE IF NOT EXISTS "command" ( "id" text NOT NULL PRIMARY KEY, "user_id" text NOT NULL, "device_id" text NULL, "data_type" text NOT NULL, "value" text NOT NULL, "priority" text NOT NULL, "requires" text NULL, "status" text NOT NULL, "open" boolean NOT NULL, "attempt" integer NOT NULL, "seq" integer NOT NULL, "last_seq" integer NOT NULL, "created_at" integer NOT NULL, "expires_at" integer NOT NULL, "closed_at" integer NULL, "due_at" integer NOT NULL, "decided_by" text NULL, "decided_attempt" integer NULL, "decided_error" text NULL , "pushed_by" text NULL);
INSERT INTO command VALUES('01a21879-dc16-743e-83a6-2d0ad7f6dd69','ann',NULL,'steps','{"count": 5000}','normal',NULL,'applied',0,1,1,1,4102444800000,4102444800000,4102444800000,4102444800000,'6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11',1,NULL,NULL);
INSERT INTO command VALUES('01a21879-ebf2-72a5-990c-31ef10ce7573','ann',NULL,'weight','{"kg": 61.5}','normal',NULL,'pending',1,1,3,3,4102444800000,4102444800000,NULL,4102444800000,NULL,NULL,NULL,NULL);
CREATE TABLE IF NOT EXISTS "command_event" ( "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "command_id" text NOT NULL, "at" integer NOT NULL, "event" text NOT NULL, "channel" text NULL, "device_id" text NULL, "detail" text NULL, "once" text NULL );
CREATE TABLE IF NOT EXISTS "device" ( "user_id" text NOT NULL, "device_id" text NOT NULL, "platform" text NOT NULL, "name" text NULL, "app_version" text NULL, "capabilities" text NOT NULL, "push_provider" text NULL, "push_token" text NULL, "push_token_hash" text NULL, "push_state" text NOT NULL, "push_refreshed_at" integer NULL, "wants_delta_push" boolean NOT NULL, "created_at" integer NOT NULL, "last_seen_at" integer NOT NULL, "push_error" text NULL, PRIMARY KEY ("user_id", "device_id") );
INSERT INTO device VALUES('ann','6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11','other','tidegate-device','0.1.0','[]',NULL,NULL,NULL,'none',NULL,0,4102444800000,4102444800000,NULL);
CREATE TABLE IF NOT EXISTS "idempotency_key" ( "caller" text NOT NULL, "key" text NOT NULL, "request_hash" text NOT NULL, "command_id" text NULL, "answer" text NULL, "expires_at" integer NOT NULL, PRIMARY KEY ("caller", "key") );
CREATE TABLE IF NOT EXISTS "shared_record" ( "stream" text NOT NULL, "collection" text NOT NULL, "id" text NOT NULL, "version" integer NOT NULL, "data" text NULL, "updated_at" integer NOT NULL, PRIMARY KEY ("stream", "collection", "id") );
INSERT INTO shared_record VALUES('news','items','a',1,'{"title": "old news"}',4102444800000);
CREATE TABLE IF NOT EXISTS "push_wake" ( "user_id" text NOT NULL, "device_id" text NOT NULL, "due_at" integer NOT NULL, "not_before" integer NOT NULL, "wanted" integer NOT NULL, "failures" integer NOT NULL, "repeats" integer NOT NULL, "delta_sent_at" integer NULL, "bucket_milli" integer NOT NULL, "bucket_at" integer NOT NULL, "claimed_by" text NULL, "claimed_until" integer NOT NULL, "claim" integer NOT NULL, "refusals" integer NOT NULL DEFAULT 0, PRIMARY KEY ("user_id", "device_id") );
CREATE TABLE IF NOT EXISTS "market_item" ( "kind" text NOT NULL, "id" text NOT NULL, "version" integer NOT NULL, "data" text NULL, "search" text NOT NULL, "category" text NULL, "remote_data" text NULL, "remote_updated_at" integer NOT NULL, "rating_updated_at" integer NOT NULL, "confirmed_at" integer NOT NULL, "base_version" integer NULL, "base_data" text NULL, "edited_by" text NULL, "edited_at" integer NULL, "conflict_id" text NULL, "updated_at" integer NOT NULL, "listed_at" integer NOT NULL DEFAULT 0, "fault" text NULL, "fault_at" integer NULL, "withdrawn_at" integer NULL, "rated" text NULL, "editors" text NULL, PRIMARY KEY ("kind", "id") );
CREATE TABLE IF NOT EXISTS "sync_state" ( "id" text NOT NULL PRIMARY KEY, "status" text NOT NULL, "run_id" text NULL, "requested_at" integer NULL, "last_sync_at" integer NULL, "last_successful_sync_at" integer NULL, "total_syncs" integer NOT NULL, "successful_syncs" integer NOT NULL, "failed_syncs" integer NOT NULL, "error_count" integer NOT NULL, "last_error" text NULL, "cursor" text NULL, "listed_at" integer NOT NULL, "interval_s" integer NULL, "strategy" text NULL, "socket_enabled" boolean NOT NULL, "socket_connected" boolean NOT NULL, "socket_connected_at" integer NULL, "socket_message_at" integer NULL, "socket_attempts" integer NOT NULL, "socket_failures" integer NOT NULL, "socket_reason" text NULL, "fallback_to_polling" boolean NOT NULL, "next_attempt_at" integer NULL, "reconnect_requested_at" integer NULL, "ratings_requested_at" integer NULL , "asked_until" integer NULL, "unnamed_faults" integer NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS "lease" ( "name" text NOT NULL PRIMARY KEY, "holder" text NOT NULL, "generation" integer NOT NULL, "held_until" integer NOT NULL );
CREATE TABLE IF NOT EXISTS "conflict" ( "id" text NOT NULL PRIMARY KEY, "subject" text NOT NULL, "user_id" text NULL, "status" text NOT NULL, "severity" text NOT NULL, "verdict" text NOT NULL, "created_at" integer NOT NULL, "resolved_at" integer NULL, "restored_at" integer NULL , "editors" text NULL);
CREATE TABLE IF NOT EXISTS "skill_rating" ( "skill_id" text NOT NULL, "user_id" text NOT NULL, "id" text NOT NULL, "rating" integer NOT NULL, "comment" text NULL, "rated_at" integer NOT NULL, "state" text NOT NULL, "remote_id" text NULL, "retry_count" integer NOT NULL, "last_error" text NULL, "last_try_at" integer NULL, "due_at" integer NOT NULL, "asked_until" integer NULL, PRIMARY KEY ("skill_id", "user_id") );
CREATE TABLE IF NOT EXISTS "audit_log" ( "id" text NOT NULL PRIMARY KEY, "at" integer NOT NULL, "actor" text NOT NULL, "action" text NOT NULL, "subject" text NOT NULL, "detail" text NULL );
CREATE TABLE IF NOT EXISTS "write_probe" ( "node" text NOT NULL, "at" integer NOT NULL, "history" text NULL, PRIMARY KEY ("node") );
INSERT INTO write_probe VALUES('c9af8123-cd75-4bba-b6b4-9faa2ac62f9e',4102444800000,NULL);
CREATE TABLE IF NOT EXISTS "conflict_editor" ( "user_id" text NOT NULL, "conflict_id" text NOT NULL, PRIMARY KEY ("user_id", "conflict_id") );
CREATE TABLE IF NOT EXISTS "command_delivery" ( "command_id" text NOT NULL, "device_id" text NOT NULL, "attempt" integer NOT NULL, "socket_at" integer NULL, "poll_at" integer NULL, "acked_at" integer NULL, PRIMARY KEY ("command_id", "device_id", "attempt") ) WITHOUT ROWID;
INSERT INTO command_delivery VALUES('01a21879-dc16-743e-83a6-2d0ad7f6dd69','6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11',1,4102444800000,NULL,4102444800000);
CREATE TABLE IF NOT EXISTS "stream_head" (
        "stream" text NOT NULL PRIMARY KEY, "epoch" text NOT NULL, "seq" bigint NOT NULL,
        "trimmed" bigint NOT NULL, "pending" bigint NOT NULL
    ) WITHOUT ROWID;
INSERT INTO stream_head VALUES('news','93k3wmfq',1,0,0);
INSERT INTO stream_head VALUES('user:ann','3ofppuja',1,0,1);
CREATE TABLE IF NOT EXISTS "device_cursor" (
        "user_id" text NOT NULL, "device_id" text NOT NULL, "stream" text NOT NULL,
        "epoch" text NOT NULL, "seq" bigint NOT NULL, "at" bigint NOT NULL,
        PRIMARY KEY ("user_id", "device_id", "stream")
    ) WITHOUT ROWID;
INSERT INTO device_cursor VALUES('ann','6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11','news','93k3wmfq',1,4102444800000);
INSERT INTO device_cursor VALUES('ann','6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11','user:ann','3ofppuja',2,4102444800000);
CREATE TABLE IF NOT EXISTS "command_outcome" (
        "command_id" text NOT NULL, "device_id" text NOT NULL, "attempt" integer NOT NULL,
        "status" text NOT NULL, "error" text NULL, "settles" boolean NOT NULL,
        "late" boolean NOT NULL, "channel" text NOT NULL, "at" bigint NOT NULL,
        PRIMARY KEY ("command_id", "device_id", "attempt", "status")
    ) WITHOUT ROWID;
INSERT INTO command_outcome VALUES('01a21879-dc16-743e-83a6-2d0ad7f6dd69','6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11',1,'applied',NULL,0,0,'socket',4102444800000);
DELETE FROM sqlite_sequence;
CREATE INDEX "command_user" ON "command" ("user_id", "open", "last_seq");
CREATE INDEX "command_due" ON "command" ("open", "due_at");
CREATE UNIQUE INDEX "device_push_token" ON "device" ("push_provider", "push_token_hash");
CREATE UNIQUE INDEX "command_event_once" ON "command_event" ("command_id", "once");
CREATE INDEX "device_last_seen" ON "device" ("last_seen_at");
CREATE INDEX "idempotency_key_expiry" ON "idempotency_key" ("expires_at");
CREATE INDEX "push_wake_due" ON "push_wake" ("due_at");
CREATE INDEX "market_item_category" ON "market_item" ("kind", "category", "id");
CREATE INDEX "conflict_status" ON "conflict" ("status", "id");
CREATE INDEX "conflict_user" ON "conflict" ("user_id", "status", "id");
CREATE INDEX "conflict_subject" ON "conflict" ("subject", "id");
CREATE INDEX "conflict_resolved" ON "conflict" ("resolved_at");
CREATE UNIQUE INDEX "skill_rating_id" ON "skill_rating" ("id");
CREATE INDEX "skill_rating_upload" ON "skill_rating" ("state", "due_at");
CREATE INDEX "audit_log_at" ON "audit_log" ("at");
CREATE INDEX "conflict_editor_conflict" ON "conflict_editor" ("conflict_id");
CREATE INDEX "market_item_fault" ON "market_item" ("fault", "kind", "id");
