-- The ledger: double entry, integer cents. Entries and lines are only ever added; what is wrong is reversed.

-- What an account is, where the chart doesn't say it already: accounts that were created, not named.
ALTER TABLE accounts ADD COLUMN name TEXT;
ALTER TABLE accounts ADD COLUMN account_number TEXT;
ALTER TABLE accounts ADD COLUMN account_type TEXT;
ALTER TABLE accounts ADD COLUMN normality TEXT CHECK (normality IN ('DEBIT', 'CREDIT'));
ALTER TABLE accounts ADD COLUMN subtype TEXT;
-- What was ever posted to the account. Follows from its lines, in the same transaction.
ALTER TABLE accounts ADD COLUMN debits INTEGER NOT NULL DEFAULT 0 CHECK (debits >= 0);
ALTER TABLE accounts ADD COLUMN credits INTEGER NOT NULL DEFAULT 0 CHECK (credits >= 0);

ALTER TABLE businesses ADD COLUMN external_id TEXT CHECK (external_id <> '');
ALTER TABLE businesses ADD COLUMN name TEXT;
-- What is dated before this time can't be posted any more.
ALTER TABLE businesses ADD COLUMN closing_date INTEGER;
CREATE UNIQUE INDEX businesses_by_external_id ON businesses (external_id) WHERE external_id IS NOT NULL;

-- `total_amount` is NULL for an invoice of which nothing is known but a name: what is owed on it can't be told then.
ALTER TABLE invoices ADD COLUMN total_amount INTEGER CHECK (total_amount >= 0);
ALTER TABLE invoices ADD COLUMN voided_at INTEGER;
ALTER TABLE invoices ADD COLUMN reference_number TEXT;
-- What payments paid on it, without fees that were passed on to the customer, and how much of that was refunded. Follow
-- from the payments, in the same transaction.
ALTER TABLE invoices ADD COLUMN paid INTEGER NOT NULL DEFAULT 0 CHECK (paid >= 0);
ALTER TABLE invoices ADD COLUMN refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded >= 0);

-- An entry's number counts from 1 in each business, without gaps. `source_id` is what the entry is about: the payment, a
-- refund of it, a payout or a match. A reversal undoes the entry `reversal_of`, which is reversed once at most.
CREATE TABLE journal_entries (
    business_id INTEGER NOT NULL REFERENCES businesses (id),
    number      INTEGER NOT NULL CHECK (number > 0),
    entry_type  TEXT    NOT NULL,
    entry_at    INTEGER NOT NULL,
    posted_at   INTEGER NOT NULL,
    payment_key INTEGER REFERENCES payments (key),
    source_id   BLOB    NOT NULL CHECK (length(source_id) = 16),
    reversal_of INTEGER,
    PRIMARY KEY (business_id, number),
    FOREIGN KEY (business_id, reversal_of) REFERENCES journal_entries (business_id, number),
    CHECK ((entry_type = 'REVERSAL') = (reversal_of IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX journal_entries_by_payment ON journal_entries (business_id, payment_key) WHERE payment_key IS NOT NULL;
CREATE INDEX journal_entries_by_source ON journal_entries (business_id, source_id) WHERE payment_key IS NULL;
CREATE UNIQUE INDEX journal_entries_by_reversal ON journal_entries (business_id, reversal_of)
    WHERE reversal_of IS NOT NULL;

CREATE TABLE journal_lines (
    business_id INTEGER NOT NULL,
    entry       INTEGER NOT NULL,
    line        INTEGER NOT NULL,
    account_id  BLOB    NOT NULL,
    debit       INTEGER NOT NULL CHECK (debit >= 0),
    credit      INTEGER NOT NULL CHECK (credit >= 0),
    PRIMARY KEY (business_id, entry, line),
    FOREIGN KEY (business_id, entry) REFERENCES journal_entries (business_id, number),
    FOREIGN KEY (business_id, account_id) REFERENCES accounts (business_id, id),
    -- One side each, and never nothing.
    CHECK ((debit = 0) <> (credit = 0))
) STRICT, WITHOUT ROWID;

-- Payouts: what a processor paid out, and which payments it holds.
CREATE TABLE payouts (
    business_id       INTEGER NOT NULL REFERENCES businesses (id),
    id                BLOB    NOT NULL CHECK (length(id) = 16),
    external_id       TEXT    CHECK (external_id <> ''),
    imported_at       INTEGER NOT NULL,
    completed_at      INTEGER NOT NULL,
    paid_out_amount   INTEGER NOT NULL CHECK (paid_out_amount >= 0),
    fee               INTEGER NOT NULL CHECK (fee >= 0),
    processor         TEXT,
    clearing_account  BLOB    NOT NULL,
    memo              TEXT,
    reference_number  TEXT,
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, external_id),
    FOREIGN KEY (business_id, clearing_account) REFERENCES accounts (business_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE payout_payments (
    business_id INTEGER NOT NULL,
    payment_key INTEGER NOT NULL REFERENCES payments (key),
    payout_id   BLOB    NOT NULL,
    PRIMARY KEY (business_id, payment_key, payout_id),
    UNIQUE (business_id, payout_id, payment_key),
    FOREIGN KEY (business_id, payout_id) REFERENCES payouts (business_id, id)
) STRICT, WITHOUT ROWID;

-- Bank transactions that were matched, each with a payout or a payment. `document` is the match as replies show it.
CREATE TABLE matches (
    business_id INTEGER NOT NULL REFERENCES businesses (id),
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    payout_id   BLOB,
    payment_key INTEGER REFERENCES payments (key),
    bank_transaction_id BLOB NOT NULL CHECK (length(bank_transaction_id) = 16),
    created_at  INTEGER NOT NULL,
    amount      INTEGER NOT NULL CHECK (amount > 0),
    document    TEXT    NOT NULL,
    PRIMARY KEY (business_id, id),
    UNIQUE (business_id, bank_transaction_id),
    UNIQUE (business_id, payout_id),
    UNIQUE (business_id, payment_key),
    FOREIGN KEY (business_id, payout_id) REFERENCES payouts (business_id, id),
    CHECK ((payout_id IS NULL) <> (payment_key IS NULL))
) STRICT, WITHOUT ROWID;

-- Both follow from the tables above, in the same transaction.
ALTER TABLE payments ADD COLUMN in_payout INTEGER NOT NULL DEFAULT 0 CHECK (in_payout IN (0, 1));
ALTER TABLE payments ADD COLUMN is_matched INTEGER NOT NULL DEFAULT 0 CHECK (is_matched IN (0, 1));
CREATE INDEX payments_in_payout ON payments (business_id, paid_at, id) WHERE in_payout = 1;
CREATE INDEX payments_matched ON payments (business_id, paid_at, id) WHERE is_matched = 1;

-- With what lists are filtered by, so that a rare payment in these orders is looked for in the index alone.
DROP INDEX payments_by_imported_at;
DROP INDEX payments_by_amount;
CREATE INDEX payments_by_imported_at ON payments (business_id, imported_at, id, method, paid_at);
CREATE INDEX payments_by_amount ON payments (business_id, amount, id, method, paid_at);
