-- The store of a device as `tidegate-device` of 2026-11-26 left it, of the phone in
-- the database beside it.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('device_id','6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11');
INSERT INTO meta VALUES('owner','user:ann');
INSERT INTO meta VALUES('registered','0a26c9517201bbc1');
CREATE TABLE cursor (
        stream TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL
    ) WITHOUT ROWID;
INSERT INTO cursor VALUES('news','93k3wmfq',1);
INSERT INTO cursor VALUES('user:ann','3ofppuja',2);
CREATE TABLE command (
        id TEXT PRIMARY KEY,
        stream TEXT NOT NULL,
        arrival INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        data_type TEXT NOT NULL,
        value TEXT NOT NULL,
        rank INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        stage TEXT NOT NULL,
        outcome TEXT,
        error TEXT,
        retryable INTEGER
    , interrupted INTEGER NOT NULL DEFAULT 0);
INSERT INTO command VALUES('01a21879-dc16-743e-83a6-2d0ad7f6dd69','user:ann',1,1,'steps','{"count": 5000}',1,4102444800000,'done','applied',NULL,NULL,0);
CREATE TABLE outbox (
        command_id TEXT PRIMARY KEY,
        attempt INTEGER NOT NULL,
        status TEXT NOT NULL,
        error TEXT,
        retryable INTEGER
    );
CREATE TABLE replica (
        stream TEXT NOT NULL, kind TEXT NOT NULL, collection TEXT NOT NULL, id TEXT NOT NULL,
        version INTEGER NOT NULL, data TEXT,
        PRIMARY KEY (stream, kind, collection, id)
    ) WITHOUT ROWID;
INSERT INTO replica VALUES('news','record','items','a',1,'{"title": "old news"}');
CREATE TABLE snapshot (
        stream TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE staged (
        stream TEXT NOT NULL, kind TEXT NOT NULL, collection TEXT NOT NULL, id TEXT NOT NULL,
        position INTEGER NOT NULL, version INTEGER NOT NULL, data TEXT,
        PRIMARY KEY (stream, kind, collection, id)
    ) WITHOUT ROWID;
CREATE INDEX command_arrival ON command (arrival);
CREATE INDEX command_expiry ON command (expires_at_ms);
CREATE INDEX command_next ON command (interrupted, rank, arrival)
        WHERE stage IN ('waiting', 'started');
PRAGMA user_version = 2;
