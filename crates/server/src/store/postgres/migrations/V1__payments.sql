-- Ids are UUIDs, times are UTC with microseconds, amounts are cents. The id of the business leads every key and every
-- index, so that an engine that spreads rows over machines keeps a business together; the two tables for which that
-- can't be say so.
--
-- Texts may hold what PostgreSQL doesn't take, and names may be longer than an index holds: names.rs says how both are
-- kept. A column `long_...` has the whole of such a name, and is NULL for all others.
--
-- JSON is kept as text: replies repeat it byte for byte, and `document` is one.

-- `version` of a row that writes lock counts the transactions that wrote, and `writes` has the ids of the last of them,
-- the newest first: so whoever lost the connection at a COMMIT finds out whether that was done.

-- One row, which whoever makes or removes businesses locks first: no two of them wait for each other in a circle. With
-- `token_key` all servers sign the tokens that they give, so that each takes those of the others; the first one draws it.
CREATE TABLE store (
    is_only       BOOLEAN PRIMARY KEY CHECK (is_only),
    last_business BIGINT  NOT NULL,
    version       BIGINT  NOT NULL DEFAULT 0,
    writes        UUID[]  NOT NULL DEFAULT '{}',
    token_key     BYTEA
);
INSERT INTO store (is_only, last_business) VALUES (true, 0);

-- A write locks its business's row first, so the writes of a business are in one order, whichever server has them. The
-- counters say what was given last; by the first of `writes` a server knows whether what it remembers still holds, too.
CREATE TABLE businesses (
    id           UUID        PRIMARY KEY,
    number       BIGINT      NOT NULL,
    external_id  TEXT,
    name         TEXT,
    closing_date TIMESTAMPTZ,
    created_at   TIMESTAMPTZ NOT NULL,
    -- The time of the last write, which the next one isn't before, whatever its server's clock says.
    written_at   TIMESTAMPTZ NOT NULL,
    version      BIGINT      NOT NULL,
    writes       UUID[]      NOT NULL DEFAULT '{}',
    last_payment BIGINT      NOT NULL DEFAULT 0,
    last_entry   BIGINT      NOT NULL DEFAULT 0
);

-- Which business has an external id. Led by the id of no business, since it tells which one it is: small, and read on
-- every machine.
CREATE TABLE business_names (
    external_id TEXT PRIMARY KEY,
    business_id UUID NOT NULL REFERENCES businesses (id)
);

CREATE TABLE accounts (
    business_id    UUID        NOT NULL REFERENCES businesses (id),
    id             UUID        NOT NULL,
    stable_name    TEXT        CHECK (stable_name <> ''),
    long_stable_name TEXT,
    created_at     TIMESTAMPTZ NOT NULL,
    name           TEXT,
    account_number TEXT,
    account_type   TEXT,
    normality      TEXT        CHECK (normality IN ('DEBIT', 'CREDIT')),
    subtype        TEXT,
    -- What was ever posted to the account. Follows from its lines, in the same transaction.
    debits         BIGINT      NOT NULL CHECK (debits >= 0),
    credits        BIGINT      NOT NULL CHECK (credits >= 0),
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, stable_name)
);

-- `invented` says that the id is the server's own, since only the external id was ever named; an id that a client gives
-- for the same external id takes its place. `total_amount` is NULL for an invoice of which nothing is known but a name.
CREATE TABLE invoices (
    business_id      UUID        NOT NULL REFERENCES businesses (id),
    id               UUID        NOT NULL,
    external_id      TEXT        CHECK (external_id <> ''),
    long_external_id TEXT,
    invented         BOOLEAN     NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL,
    total_amount     BIGINT      CHECK (total_amount >= 0),
    voided_at        TIMESTAMPTZ,
    reference_number TEXT,
    -- What payments paid on it, without fees that were passed on to the customer, and how much of that was refunded.
    -- Follow from the payments, in the same transaction.
    paid             BIGINT      NOT NULL CHECK (paid >= 0),
    refunded         BIGINT      NOT NULL CHECK (refunded >= 0),
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, external_id)
);

CREATE TABLE tag_dimensions (
    business_id  UUID        NOT NULL REFERENCES businesses (id),
    id           UUID        NOT NULL,
    key          TEXT        NOT NULL,
    long_key     TEXT,
    display_name TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, key)
);

CREATE TABLE tag_values (
    business_id  UUID        NOT NULL,
    id           UUID        NOT NULL,
    dimension_id UUID        NOT NULL,
    value        TEXT        NOT NULL,
    long_value   TEXT,
    display_name TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, dimension_id, value),
    FOREIGN KEY (business_id, dimension_id) REFERENCES tag_dimensions (business_id, id)
);

-- The columns are the payment; lists are JSON, and NULL when empty. `key` counts from 1 in each business. `document` is
-- derived from them: the payment as replies show it, kept so that a list is read and not rebuilt.
CREATE TABLE payments (
    business_id           UUID        NOT NULL REFERENCES businesses (id),
    key                   BIGINT      NOT NULL CHECK (key > 0),
    id                    UUID        NOT NULL,
    external_id           TEXT        CHECK (external_id <> ''),
    long_external_id      TEXT,
    paid_at               TIMESTAMPTZ NOT NULL,
    imported_at           TIMESTAMPTZ NOT NULL,
    method                TEXT        NOT NULL,
    amount                BIGINT      NOT NULL CHECK (amount >= 0),
    fee                   BIGINT      NOT NULL CHECK (fee >= 0),
    processor             TEXT,
    clearing_account      UUID,
    prepayment_account    UUID,
    memo                  TEXT,
    reference_number      TEXT,
    long_reference_number TEXT,
    metadata              TEXT,
    additional_fees       TEXT,
    allocations           TEXT,
    refunds               TEXT,
    tags                  TEXT,
    document              TEXT        NOT NULL,
    -- Both follow from payouts and matches, in the same transaction.
    in_payout             BOOLEAN     NOT NULL DEFAULT false,
    is_matched            BOOLEAN     NOT NULL DEFAULT false,
    PRIMARY KEY (business_id, key),
    UNIQUE (business_id, id),
    UNIQUE (business_id, external_id),
    FOREIGN KEY (business_id, clearing_account) REFERENCES accounts (business_id, id),
    FOREIGN KEY (business_id, prepayment_account) REFERENCES accounts (business_id, id)
);

-- One index an order, each with the id that breaks ties, so that a page starts where the cursor says. What follows the id
-- is what lists are filtered by, so that a rare payment in these orders is looked for in the index alone.
CREATE INDEX payments_by_paid_at ON payments (business_id, paid_at, id);
CREATE INDEX payments_by_imported_at ON payments (business_id, imported_at, id, method, paid_at);
CREATE INDEX payments_by_amount ON payments (business_id, amount, id, method, paid_at);
-- Filters that may pass few payments of many, in the default order.
CREATE INDEX payments_by_method ON payments (business_id, method, paid_at, id);
CREATE INDEX payments_by_reference ON payments (business_id, reference_number, paid_at, id)
    WHERE reference_number IS NOT NULL;
CREATE INDEX payments_in_payout ON payments (business_id, paid_at, id) WHERE in_payout;
CREATE INDEX payments_matched ON payments (business_id, paid_at, id) WHERE is_matched;

-- Which payments are allocated to an invoice. Follows from their allocations, in the same transaction.
CREATE TABLE payment_invoices (
    business_id UUID   NOT NULL,
    invoice_id  UUID   NOT NULL,
    payment_key BIGINT NOT NULL,
    PRIMARY KEY (business_id, invoice_id, payment_key),
    FOREIGN KEY (business_id, invoice_id) REFERENCES invoices (business_id, id),
    FOREIGN KEY (business_id, payment_key) REFERENCES payments (business_id, key)
);

-- The ledger: double entry, integer cents. Entries and lines are only ever added; what is wrong is reversed.
--
-- An entry's number counts from 1 in each business, without gaps. `source_id` is what the entry is about: the payment, a
-- refund of it, a payout or a match. A reversal undoes the entry `reversal_of`, which is reversed once at most.
CREATE TABLE journal_entries (
    business_id UUID        NOT NULL REFERENCES businesses (id),
    number      BIGINT      NOT NULL CHECK (number > 0),
    entry_type  TEXT        NOT NULL,
    entry_at    TIMESTAMPTZ NOT NULL,
    posted_at   TIMESTAMPTZ NOT NULL,
    payment_key BIGINT,
    source_id   UUID        NOT NULL,
    reversal_of BIGINT,
    PRIMARY KEY (business_id, number),
    FOREIGN KEY (business_id, payment_key) REFERENCES payments (business_id, key),
    FOREIGN KEY (business_id, reversal_of) REFERENCES journal_entries (business_id, number),
    CHECK ((entry_type = 'REVERSAL') = (reversal_of IS NOT NULL))
);
CREATE INDEX journal_entries_by_payment ON journal_entries (business_id, payment_key)
    WHERE payment_key IS NOT NULL;
CREATE INDEX journal_entries_by_source ON journal_entries (business_id, source_id) WHERE payment_key IS NULL;
CREATE UNIQUE INDEX journal_entries_by_reversal ON journal_entries (business_id, reversal_of)
    WHERE reversal_of IS NOT NULL;

CREATE TABLE journal_lines (
    business_id UUID   NOT NULL,
    entry       BIGINT NOT NULL,
    line        BIGINT NOT NULL,
    account_id  UUID   NOT NULL,
    debit       BIGINT NOT NULL CHECK (debit >= 0),
    credit      BIGINT NOT NULL CHECK (credit >= 0),
    PRIMARY KEY (business_id, entry, line),
    FOREIGN KEY (business_id, entry) REFERENCES journal_entries (business_id, number),
    FOREIGN KEY (business_id, account_id) REFERENCES accounts (business_id, id),
    -- One side each, and never nothing.
    CHECK ((debit = 0) <> (credit = 0))
);

-- Payouts: what a processor paid out, and which payments it holds.
CREATE TABLE payouts (
    business_id      UUID        NOT NULL REFERENCES businesses (id),
    id               UUID        NOT NULL,
    external_id      TEXT        CHECK (external_id <> ''),
    long_external_id TEXT,
    imported_at      TIMESTAMPTZ NOT NULL,
    completed_at     TIMESTAMPTZ NOT NULL,
    paid_out_amount  BIGINT      NOT NULL CHECK (paid_out_amount >= 0),
    fee              BIGINT      NOT NULL CHECK (fee >= 0),
    processor        TEXT,
    clearing_account UUID        NOT NULL,
    memo             TEXT,
    reference_number TEXT,
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, external_id),
    FOREIGN KEY (business_id, clearing_account) REFERENCES accounts (business_id, id)
);

CREATE TABLE payout_payments (
    business_id UUID   NOT NULL,
    payment_key BIGINT NOT NULL,
    payout_id   UUID   NOT NULL,
    PRIMARY KEY (business_id, payment_key, payout_id),
    UNIQUE (business_id, payout_id, payment_key),
    FOREIGN KEY (business_id, payment_key) REFERENCES payments (business_id, key),
    FOREIGN KEY (business_id, payout_id) REFERENCES payouts (business_id, id)
);

-- Bank transactions that were matched, each with a payout or a payment. `document` is the match as replies show it.
CREATE TABLE matches (
    business_id         UUID        NOT NULL REFERENCES businesses (id),
    id                  UUID        NOT NULL,
    payout_id           UUID,
    payment_key         BIGINT,
    bank_transaction_id UUID        NOT NULL,
    created_at          TIMESTAMPTZ NOT NULL,
    amount              BIGINT      NOT NULL CHECK (amount > 0),
    document            TEXT        NOT NULL,
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, bank_transaction_id),
    UNIQUE (business_id, payout_id),
    UNIQUE (business_id, payment_key),
    FOREIGN KEY (business_id, payout_id) REFERENCES payouts (business_id, id),
    FOREIGN KEY (business_id, payment_key) REFERENCES payments (business_id, key),
    CHECK ((payout_id IS NULL) <> (payment_key IS NULL))
);
