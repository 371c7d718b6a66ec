-- The first version of a ledger in a file. Amounts are nano-USD, or units where a budget counts units; instants are
-- milliseconds since the epoch. A published version of the schema is never changed: add the next number instead.

-- One row: until when nothing is granted, because the ledger has lost what it knew.
CREATE TABLE state (rebuild_until_ms INTEGER NOT NULL);
INSERT INTO state VALUES (0);

-- The last answer to each process, to be given again.
CREATE TABLE processes (
    process TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    reply TEXT NOT NULL,
    heard_ms INTEGER NOT NULL
);

-- What each process has counted in all, by meter, month and paying periods ("counted": a JSON array of the three).
CREATE TABLE seen (
    process TEXT NOT NULL,
    counted TEXT NOT NULL,
    month TEXT NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (process, counted)
) WITHOUT ROWID;

-- What the organisation has used.
CREATE TABLE used (
    month TEXT NOT NULL,
    meter TEXT NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (month, meter)
) WITHOUT ROWID;

CREATE TABLE periods (
    budget TEXT NOT NULL,
    period TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    definition TEXT NOT NULL,
    meter TEXT,
    configured INTEGER NOT NULL,
    cap_basis_points INTEGER,
    "limit" INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    held INTEGER NOT NULL,
    overdraft INTEGER NOT NULL,
    raised TEXT NOT NULL,
    short TEXT NOT NULL,
    short_until_ms INTEGER NOT NULL,
    PRIMARY KEY (budget, period)
);

CREATE TABLE leases (
    budget TEXT NOT NULL,
    period TEXT NOT NULL,
    process TEXT NOT NULL,
    amount INTEGER NOT NULL,
    held INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (budget, period, process)
) WITHOUT ROWID;
CREATE INDEX leases_by_expiry ON leases (budget, expires_ms) WHERE amount > 0;

CREATE TABLE limits (
    budget TEXT PRIMARY KEY,
    "limit" INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE overrides (
    id TEXT PRIMARY KEY,
    budget TEXT NOT NULL,
    amount INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL
) WITHOUT ROWID;

-- Alerts that are not known to have been delivered ("alert": a JSON array, see the class Alert).
CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    alert TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    period_end_ms INTEGER NOT NULL,
    claimed_by TEXT NOT NULL,
    claimed_until_ms INTEGER NOT NULL
);

CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    budget TEXT,
    period TEXT,
    amount INTEGER NOT NULL,
    note TEXT NOT NULL,
    routine INTEGER NOT NULL
);
CREATE INDEX journal_notable ON journal (number) WHERE routine = 0;
