-- Times are whole microseconds since 1970-01-01T00:00:00Z, amounts are cents, ids are the 16 bytes of a UUID.
-- A business is kept once under a small number of its own, so that the indexes below stay narrow.

CREATE TABLE businesses (
    id          INTEGER PRIMARY KEY,
    uuid        BLOB    NOT NULL UNIQUE CHECK (length(uuid) = 16),
    created_at  INTEGER NOT NULL
) STRICT;

-- Ledger accounts that requests have named, by stable name or by id alone.
CREATE TABLE accounts (
    business_id INTEGER NOT NULL REFERENCES businesses (id),
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    stable_name TEXT    CHECK (stable_name <> ''),
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, stable_name)
) STRICT, WITHOUT ROWID;

-- Invoices that payments have named. `invented` is 1 while the id is the server's own, since only the external id was
-- ever named; an id that a client gives for the same external id takes its place.
CREATE TABLE invoices (
    business_id INTEGER NOT NULL REFERENCES businesses (id),
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    external_id TEXT    CHECK (external_id <> ''),
    invented    INTEGER NOT NULL CHECK (invented IN (0, 1)),
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, external_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tag_dimensions (
    id           BLOB    PRIMARY KEY CHECK (length(id) = 16),
    business_id  INTEGER NOT NULL REFERENCES businesses (id),
    key          TEXT    NOT NULL,
    display_name TEXT,
    created_at   INTEGER NOT NULL,
    UNIQUE (business_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE tag_values (
    id           BLOB    PRIMARY KEY CHECK (length(id) = 16),
    dimension_id BLOB    NOT NULL REFERENCES tag_dimensions (id),
    value        TEXT    NOT NULL,
    display_name TEXT,
    created_at   INTEGER NOT NULL,
    UNIQUE (dimension_id, value)
) STRICT, WITHOUT ROWID;

-- The columns are the payment; lists are JSON, and NULL when empty. `document` is derived from them: the payment as
-- replies show it, kept so that a list is read and not rebuilt.
CREATE TABLE payments (
    key              INTEGER PRIMARY KEY,
    business_id      INTEGER NOT NULL REFERENCES businesses (id),
    id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    external_id      TEXT    CHECK (external_id <> ''),
    paid_at          INTEGER NOT NULL,
    imported_at      INTEGER NOT NULL,
    method           TEXT    NOT NULL,
    amount           INTEGER NOT NULL CHECK (amount >= 0),
    fee              INTEGER NOT NULL CHECK (fee >= 0),
    processor        TEXT,
    clearing_account BLOB,
    prepayment_account BLOB,
    memo             TEXT,
    reference_number TEXT,
    metadata         TEXT,
    additional_fees  TEXT,
    allocations      TEXT,
    refunds          TEXT,
    tags             TEXT,
    document         TEXT    NOT NULL,
    UNIQUE (business_id, external_id),
    FOREIGN KEY (business_id, clearing_account) REFERENCES accounts (business_id, id),
    FOREIGN KEY (business_id, prepayment_account) REFERENCES accounts (business_id, id)
) STRICT;

-- One index an order, each ending in the id that breaks ties, so that a page starts where the cursor says.
CREATE INDEX payments_by_paid_at ON payments (business_id, paid_at, id);
CREATE INDEX payments_by_imported_at ON payments (business_id, imported_at, id);
CREATE INDEX payments_by_amount ON payments (business_id, amount, id);
-- Filters that may pass few payments of many, in the default order.
CREATE INDEX payments_by_method ON payments (business_id, method, paid_at, id);
CREATE INDEX payments_by_reference ON payments (business_id, reference_number, paid_at, id)
    WHERE reference_number IS NOT NULL;

-- Which payments are allocated to an invoice. Follows from their allocations, in the same transaction.
CREATE TABLE payment_invoices (
    business_id INTEGER NOT NULL,
    invoice_id  BLOB    NOT NULL,
    payment_key INTEGER NOT NULL REFERENCES payments (key),
    PRIMARY KEY (business_id, invoice_id, payment_key),
    FOREIGN KEY (business_id, invoice_id) REFERENCES invoices (business_id, id)
) STRICT, WITHOUT ROWID;
