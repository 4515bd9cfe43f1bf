//! `cargo xtask testdata`: ten thousand plausible payments as a CSV file, for tests and for the first try of the program.
//!
//! The file is made, not collected: nobody's customers are in it. It depends on nothing but this module, because the
//! random numbers come from a generator written here, and each row has its own sequence of them. So the same code gives
//! the same bytes on every machine, and a change to one kind of payment leaves the rows of the other kinds as they were.
//!
//! Every row is one that the API accepts. `layer-payments import` knows the format and its tests prove that.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::outputs::{self, Mode, Output, Synced, Task};

/// How many payments the file holds, one a row below the header.
const PAYMENTS: usize = 10_000;
/// Where the file is, from the workspace's root.
const PATH: &str = "tests/data/payments.csv";
/// Where the random numbers start. Another number gives another file of the same kind.
const SEED: u64 = 0x4c61_7965_7220_5061;
/// When the first payment is made: Monday, 4 January 2021, 08:00 UTC.
const FIRST_PAYMENT: i64 = 1_609_747_200;

/// Writes the file or checks that it is up to date.
///
/// # Errors
///
/// In [`Mode::Check`] a missing or different file, with the difference; in both modes a file that can't be read or
/// written.
pub(crate) fn run(root: &Path, mode: Mode) -> anyhow::Result<Synced> {
    let output = Output {
        path: PATH.to_owned(),
        contents: payments_csv(),
    };
    let task = Task {
        command: "cargo xtask testdata",
        banner: None,
    };
    outputs::sync(root, &[output], mode, task)
}

/// The whole file.
fn payments_csv() -> String {
    let mut csv = String::new();
    write_line(&mut csv, &Row::COLUMNS);
    let mut book = Book::default();
    for number in 1..=PAYMENTS {
        write_line(&mut csv, &book.payment(number).cells());
    }
    csv
}

/// Appends a line of CSV, quoted as RFC 4180 has it. Lines end with a line feed alone, so that a version control system
/// that rewrites line ends has nothing to rewrite.
fn write_line(csv: &mut String, cells: &[&str]) {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            csv.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            csv.push('"');
            csv.push_str(&cell.replace('"', "\"\""));
            csv.push('"');
        } else {
            csv.push_str(cell);
        }
    }
    csv.push('\n');
}

/// A line of the file; an empty cell leaves the property out.
#[derive(Default)]
struct Row {
    external_id: String,
    paid_at: String,
    method: &'static str,
    amount: String,
    fee: String,
    processor: &'static str,
    invoice_id: String,
    invoice_external_id: String,
    invoice_payments: String,
    additional_fees: String,
    tags: String,
    memo: String,
    metadata: String,
    reference_number: String,
    payment_clearing_account_identifier: String,
    redemption_account: String,
    dedicated_refunds: String,
}

impl Row {
    /// The header, in the order of [`Row::cells`].
    const COLUMNS: [&'static str; 17] = [
        "external_id",
        "paid_at",
        "method",
        "amount",
        "fee",
        "processor",
        "invoice_id",
        "invoice_external_id",
        "invoice_payments",
        "additional_fees",
        "tags",
        "memo",
        "metadata",
        "reference_number",
        "payment_clearing_account_identifier",
        "redemption_account",
        "dedicated_refunds",
    ];

    fn cells(&self) -> [&str; 17] {
        [
            &self.external_id,
            &self.paid_at,
            self.method,
            &self.amount,
            &self.fee,
            self.processor,
            &self.invoice_id,
            &self.invoice_external_id,
            &self.invoice_payments,
            &self.additional_fees,
            &self.tags,
            &self.memo,
            &self.metadata,
            &self.reference_number,
            &self.payment_clearing_account_identifier,
            &self.redemption_account,
            &self.dedicated_refunds,
        ]
    }
}

// ---- The API's JSON inside of cells -------------------------------------------------------------------------------
//
// Structs and not maps, because the order of a struct's fields is the same under every feature of serde_json.

#[derive(Clone, Serialize)]
#[serde(tag = "type")]
enum Account {
    StableName { stable_name: &'static str },
}

#[derive(Serialize)]
struct Tag {
    key: &'static str,
    value: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension_display_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_display_name: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Allocation {
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
    amount: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<LineMetadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_number: Option<String>,
}

#[derive(Serialize)]
struct LineMetadata {
    line: usize,
    source: &'static str,
}

#[derive(Serialize)]
struct AdditionalFee {
    account: Account,
    fee_amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_passed_to_customer: Option<bool>,
}

#[derive(Default, Serialize)]
struct Refund {
    external_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_identifier: Option<Account>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    line_items: Vec<RefundLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded_amount: Option<i64>,
    completed_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_processing_fee: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processor: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refunded_payment_fees: Vec<RefundedFee>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memo: Option<String>,
}

#[derive(Serialize)]
struct RefundLine {
    amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memo: Option<&'static str>,
}

#[derive(Serialize)]
struct RefundedFee {
    account: Account,
    fee_amount: i64,
    description: &'static str,
}

fn stable(stable_name: &'static str) -> Account {
    Account::StableName { stable_name }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("structs of text and integers always have a JSON form")
}

// ---- What a payment is made of ------------------------------------------------------------------------------------

/// Invented customers; some of them have names that careless programs trip over.
const CUSTOMERS: [&str; 60] = [
    "Alder & Finch Bookkeeping",
    "Andrómeda Viajes S.A.",
    "Atelier Béranger",
    "Bäckerei Österreicher",
    "Balsam Creek Veterinary",
    "Bergström Möbler AB",
    "Blackthorn Roofing, Inc.",
    "Blue Heron Kayak Tours",
    "Brighton Pier Amusements Ltd",
    "Café Ñandú",
    "Cardinal Street Dental",
    "Çınar Tekstil",
    "Copper Kettle Catering",
    "Crème de la Crumb",
    "D'Angelo & Sons Plumbing",
    "Delta Ridge Farm Supply",
    "Dvořák Housle",
    "Eastgate Physiotherapy",
    "Elm Hollow Preschool",
    "Évariste Conseil",
    "Fjordlys Fotografi",
    "Garden \"Gnome\" Emporium",
    "Glacier Peak Outfitters",
    "Grüne Gärten GmbH",
    "Hale, Moreau & Partners",
    "Harbor Light Sailing School",
    "Ikebana Studio 生け花",
    "Ironwood Fitness",
    "Juniper Lane Apartments",
    "Kalamazoo Kiln Works",
    "Kōbō Ceramics",
    "Lakeside Montessori",
    "Larkspur Landscaping LLC",
    "Łódź Logistyka",
    "Maple & Main Hardware",
    "Meridian Court Reporting",
    "Mistral Énergie",
    "Moonrise Yoga Collective",
    "Müller, Söhne & Co.",
    "Northwind Cold Storage",
    "Nine Elms Framing",
    "O'Rourke Electrical",
    "Otter Rock Brewing",
    "Peppercorn Pet Grooming",
    "Pine Barrens Surveying",
    "Quarry Road Auto Body",
    "Red Door Realty",
    "Riverbend Chiropractic",
    "Rosewood Tailors",
    "Saffron House",
    "São Bento Importações",
    "Silver Birch Consulting",
    "Smörgås & Co.",
    "Sundial Solar",
    "Tamarind Textiles",
    "Third Coast Drone Survey",
    "Tidewater Pools",
    "Umbra Lighting Design",
    "Willow Creek Stables",
    "Zephyr HVAC Services",
];

const WORK: [&str; 12] = [
    "monthly service",
    "annual maintenance",
    "site visit",
    "materials and labour",
    "consulting, 6 hours",
    "spring cleaning",
    "subscription renewal",
    "deposit and first instalment",
    "replacement parts",
    "group booking",
    "design work",
    "delivery",
];

/// Text that breaks careless CSV readers, spreadsheets, terminals and databases.
const TRICKY_MEMOS: [&str; 36] = [
    "Said \"thanks, see you next month\", then paid",
    "\"",
    "\"\"quoted from end to end\"\"",
    "one, two,, three,",
    ",",
    "Line one\nLine two\n\nLine four after an empty one",
    "\nstarts with a line break",
    "ends with a line break\n",
    "column\tcolumn\tcolumn",
    "=SUM(A1:A9)",
    "=HYPERLINK(\"http://example.com\";\"click\")",
    "+49 30 123456",
    "-1 chair returned",
    "@front desk",
    "  blanks before and behind  ",
    " ",
    "null",
    "NULL",
    "N/A",
    "#REF!",
    "true",
    "0012",
    "1e10",
    "{\"not\": \"metadata\"}",
    "[]",
    "C:\\temp\\new\\receipt.pdf",
    "100 % off; 50 % on | 'single' `back` <b>bold</b> &amp; $HOME %PATH% {{name}}",
    "Überweisung für Straße, Größe, Ärger, ñandú, çok güzel, žluťoučký kůň, łódź",
    "Жёлтая касса № 7, чек приложен",
    "ご入金ありがとうございます。請求書を同封します",
    "دفعة من شركة النور، فاتورة رقم ١٢٣",
    "תשלום עבור חשבונית 42 (תודה!)",
    "Family plan 👩‍👩‍👧‍👦 paid 🎉 by 🏳️‍🌈 café, flag 🇨🇦, thumbs 👍🏽",
    "e\u{301} is not é, and a\u{308} is not ä",
    "no\u{a0}break, thin\u{2009}space, zero\u{200b}width, soft\u{ad}hyphen, line\u{2028}separator, \u{feff}mark",
    "DROP TABLE payments; --'); SELECT 1",
];

/// An invoice as the payments name it.
#[derive(Clone)]
enum Invoice {
    Id(String),
    ExternalId(String),
}

impl Invoice {
    fn allocation(&self, amount: i64) -> Allocation {
        let mut allocation = Allocation {
            amount,
            ..Allocation::default()
        };
        match self {
            Invoice::Id(id) => allocation.invoice_id = Some(id.clone()),
            Invoice::ExternalId(id) => allocation.invoice_external_id = Some(id.clone()),
        }
        allocation
    }

    /// The words that people use for it.
    fn label(&self) -> &str {
        match self {
            Invoice::Id(id) => &id[..8],
            Invoice::ExternalId(id) => id,
        }
    }
}

/// An invoice that a payment has paid in part.
struct Open {
    invoice: Invoice,
    customer: &'static str,
    rest: i64,
}

/// The books of the invented business: what the next payment depends on.
#[derive(Default)]
struct Book {
    /// Seconds since the first payment.
    clock: i64,
    /// How many invoices were sent.
    invoices: u32,
    /// How many cheques came in.
    cheques: u32,
    /// Invoices with something left to pay, the oldest first.
    open: VecDeque<Open>,
}

impl Book {
    /// The payment with this number, which counts from 1.
    fn payment(&mut self, number: usize) -> Row {
        let mut random = Random::of_row(number);
        // 3 h 57 min apart on average, so that ten thousand payments take four and a half years.
        self.clock += random.between(60, 28_400);
        let paid_at = FIRST_PAYMENT + self.clock;

        let mut row = Row {
            method: random.pick_weighted(&[
                (46, "CREDIT_CARD"),
                (22, "ACH"),
                (14, "CHECK"),
                (8, "CASH"),
                (4, "CREDIT_BALANCE"),
                (6, "OTHER"),
            ]),
            ..Row::default()
        };
        row.processor = processor(&mut random, row.method);
        row.paid_at = time(&mut random, paid_at, row.method);
        row.external_id = external_id(&mut random, &row, number);

        let customer = *random.pick(&CUSTOMERS);
        let (amount, customer, invoices) =
            self.distribute(&mut random, &mut row, paid_at, customer);
        row.amount = amount.to_string();

        let fee = processing_fee(&mut random, &row, amount);
        if fee > 0 || random.one_in(6) {
            row.fee = fee.to_string();
        }
        row.additional_fees = additional_fees(&mut random, &row, amount);
        row.tags = tags(&mut random, number);
        row.memo = memo(&mut random, number, customer, &invoices);
        row.metadata = metadata(&mut random, number, customer);
        row.reference_number = self.reference_number(&mut random, row.method);
        accounts(&mut random, &mut row);
        if random.one_in(33)
            && amount > 500
            && matches!(row.method, "CREDIT_CARD" | "ACH" | "OTHER" | "CHECK")
        {
            row.dedicated_refunds = refund(&mut random, &row, amount, fee, paid_at);
        }
        row
    }

    /// Decides what the payment pays. Gives its amount, the customer who paid and the words for what was paid.
    fn distribute(
        &mut self,
        random: &mut Random,
        row: &mut Row,
        paid_at: i64,
        customer: &'static str,
    ) -> (i64, &'static str, String) {
        let whole = invoice_total(random);
        // Redeemed credit goes to invoices and leaves nothing over.
        let kind = if row.method == "CREDIT_BALANCE" {
            random.below(76)
        } else {
            random.below(100)
        };
        match kind {
            // One invoice, paid in full.
            0..54 => {
                let invoice = self.new_invoice(random, paid_at);
                row.allocate_whole(&invoice);
                (whole, customer, invoice.label().to_owned())
            }
            // A part of an invoice; the rest comes later, in one of the payments below.
            54..62 => {
                let invoice = self.new_invoice(random, paid_at);
                let part = (whole * random.between(20, 80) / 100).max(1);
                row.allocate_whole(&invoice);
                let label = format!("{}, part", invoice.label());
                self.open.push_back(Open {
                    invoice,
                    customer,
                    rest: (whole - part).max(1),
                });
                (part, customer, label)
            }
            62..68 if self.open.len() > 5 => {
                let open = self
                    .open
                    .remove(random.index(5))
                    .expect("more than five are open");
                row.allocate_whole(&open.invoice);
                (
                    open.rest,
                    open.customer,
                    format!("{}, rest", open.invoice.label()),
                )
            }
            // Several invoices, paid in full.
            62..80 => {
                let mut allocations = Vec::new();
                let mut labels = Vec::new();
                let mut amount = 0;
                for line in 1..=random.index(4) + 2 {
                    let invoice = self.new_invoice(random, paid_at);
                    let mut allocation = invoice.allocation(invoice_total(random));
                    decorate(random, &mut allocation, line);
                    amount += allocation.amount;
                    labels.push(invoice.label().to_owned());
                    allocations.push(allocation);
                }
                row.invoice_payments = json(&allocations);
                (amount, customer, labels.join(" + "))
            }
            // One invoice, paid with more than it asked for; the rest is a deposit or a tip.
            80..87 => {
                let invoice = self.new_invoice(random, paid_at);
                let more = whole * random.between(5, 25) / 100 + 100;
                let (account, memo) = *random.pick(&[
                    ("UNEARNED_REVENUE", "Deposit for the next visit"),
                    ("UNEARNED_REVENUE", "Overpaid; keep for later"),
                    ("TIPS", "Tip"),
                ]);
                let extra = Allocation {
                    account: Some(stable(account)),
                    amount: more,
                    memo: Some(memo.to_owned()),
                    ..Allocation::default()
                };
                row.invoice_payments = json(&[invoice.allocation(whole), extra]);
                (whole + more, customer, invoice.label().to_owned())
            }
            // One invoice, and something left over that is allocated to nothing.
            87..93 => {
                let invoice = self.new_invoice(random, paid_at);
                let mut allocation = invoice.allocation(whole);
                decorate(random, &mut allocation, 1);
                row.invoice_payments = json(&[allocation]);
                (
                    whole + random.between(1, 20_000),
                    customer,
                    invoice.label().to_owned(),
                )
            }
            // A retainer: all of it to a ledger account.
            93..96 => {
                let retainer = Allocation {
                    account: Some(stable("UNEARNED_REVENUE")),
                    amount: whole,
                    reference_number: Some(format!("RET-{:05}", random.below(100_000))),
                    ..Allocation::default()
                };
                row.invoice_payments = json(&[retainer]);
                (whole, customer, "retainer".to_owned())
            }
            // Money that nobody has allocated yet. An empty list says the same as an empty cell.
            _ => {
                if random.one_in(4) {
                    row.invoice_payments = "[]".to_owned();
                }
                (whole, customer, "on account".to_owned())
            }
        }
    }

    fn new_invoice(&mut self, random: &mut Random, paid_at: i64) -> Invoice {
        self.invoices += 1;
        if random.one_in(3) {
            Invoice::Id(random.uuid())
        } else {
            Invoice::ExternalId(format!("INV-{}-{:05}", year(paid_at), self.invoices))
        }
    }

    fn reference_number(&mut self, random: &mut Random, method: &str) -> String {
        match method {
            "CHECK" => {
                self.cheques += 1;
                format!("CHK-{}", 1000 + self.cheques)
            }
            "ACH" if random.one_in(2) => format!("ACH{:010}", random.below(10_000_000_000)),
            "OTHER" if random.one_in(2) => format!("WIRE {:06}", random.below(1_000_000)),
            // A comma is allowed, though a list can't be filtered by such a reference number.
            _ if random.one_in(60) => format!(
                "PO {}, item {}",
                random.between(1000, 9999),
                random.between(1, 40)
            ),
            _ if random.one_in(25) => format!("Quittung №{:05}", random.below(100_000)),
            _ => String::new(),
        }
    }
}

impl Row {
    /// Allocates the whole amount to one invoice, by the columns made for that.
    fn allocate_whole(&mut self, invoice: &Invoice) {
        match invoice {
            Invoice::Id(id) => self.invoice_id = id.clone(),
            Invoice::ExternalId(id) => self.invoice_external_id = id.clone(),
        }
    }
}

/// An invoice's total in cents: a price, a quantity and sometimes sales tax. Now and then a whole invoice is free.
fn invoice_total(random: &mut Random) -> i64 {
    if random.one_in(400) {
        return 0;
    }
    let price = match random.below(10) {
        0..5 => *random.pick(&[
            1_900, 2_500, 4_900, 7_500, 9_900, 12_500, 14_900, 19_900, 24_900,
        ]),
        5..9 => random.between(500, 60_000),
        _ => random.between(60_000, 2_500_000),
    };
    let quantity = random.pick_weighted(&[(70, 1), (15, 2), (8, 3), (5, 5), (2, 12)]);
    let net = price * quantity;
    let tax_per_mille = random.pick_weighted(&[(60, 0), (15, 80), (15, 88), (10, 200)]);
    net + (net * tax_per_mille + 500) / 1000
}

/// A processor, if the method may have one: CASH and CHECK may not.
fn processor(random: &mut Random, method: &str) -> &'static str {
    match method {
        "CREDIT_CARD" => random.pick_weighted(&[
            (50, "STRIPE"),
            (15, "SHOPIFY"),
            (12, "SQUARE"),
            (10, "ADYEN"),
            (8, "BRAINTREE"),
            (1, "Zahlwerk Süd, Graz"),
            (4, ""),
        ]),
        "ACH" => random.pick_weighted(&[(45, "STRIPE"), (20, "GOCARDLESS"), (35, "")]),
        "CREDIT_BALANCE" => random.pick_weighted(&[(10, "STRIPE"), (90, "")]),
        "OTHER" => random.pick_weighted(&[(45, "PAYPAL"), (15, "VENMO"), (10, "AFFIRM"), (30, "")]),
        _ => "",
    }
}

/// What the processor keeps, in cents: a share of the amount, rounded half up, and a fixed part.
fn processing_fee(random: &mut Random, row: &Row, amount: i64) -> i64 {
    if amount == 0 || row.processor.is_empty() {
        return 0;
    }
    let (per_ten_thousand, fixed, most) = match row.method {
        // One card in eight is a foreign or a business card, which cost more.
        "CREDIT_CARD" if random.one_in(8) => (390, 30, i64::MAX),
        "CREDIT_CARD" => (290, 30, i64::MAX),
        "ACH" => (80, 0, 500),
        "OTHER" => (349, 49, i64::MAX),
        _ => return 0,
    };
    ((amount * per_ten_thousand + 5_000) / 10_000 + fixed).min(most)
}

fn additional_fees(random: &mut Random, row: &Row, amount: i64) -> String {
    if row.processor.is_empty() || amount < 1_000 || !random.one_in(12) {
        return String::new();
    }
    let mut fees = vec![AdditionalFee {
        account: stable("BANK_FEES"),
        fee_amount: (amount + 50) / 100,
        description: Some("Cross-border fee, 1 %"),
        is_passed_to_customer: None,
    }];
    if random.one_in(3) {
        fees.push(AdditionalFee {
            account: stable("OTHER_FEES"),
            fee_amount: 25,
            description: random.one_in(2).then_some("Chargeback protection"),
            is_passed_to_customer: Some(false),
        });
    }
    if random.one_in(4) {
        fees.push(AdditionalFee {
            account: stable("OTHER_FEES"),
            fee_amount: (amount * 2 + 50) / 100,
            description: Some("Card surcharge"),
            is_passed_to_customer: Some(true),
        });
    }
    json(&fees)
}

/// When the customer paid, as different systems write it: to the microsecond, to the minute, in UTC or beside it.
fn time(random: &mut Random, seconds: i64, method: &str) -> String {
    let (seconds, nanoseconds) = match method {
        "CHECK" | "CASH" => (seconds - seconds % 60, 0),
        "ACH" => (seconds, 0),
        _ => {
            let nanoseconds = match random.below(20) {
                0..8 => 0,
                8..14 => random.between(0, 999) * 1_000_000,
                14..19 => random.between(0, 999_999) * 1_000,
                _ => random.between(0, 999_999_999),
            };
            (seconds, nanoseconds)
        }
    };
    let at = timestamp(seconds) + SignedDuration::from_nanos(nanoseconds);
    match random.below(60) {
        0 => shifted(at, 2),
        1 => shifted(at, -7),
        _ => at.to_string(),
    }
}

/// The same moment on a clock that is this many hours ahead of UTC.
fn shifted(at: Timestamp, hours: i64) -> String {
    let local = (at + SignedDuration::from_hours(hours)).to_string();
    format!("{}{:+03}:00", local.trim_end_matches('Z'), hours)
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("the generator stays between 2021 and 2026")
}

fn year(seconds: i64) -> String {
    timestamp(seconds).to_string()[..4].to_owned()
}

/// The id that the system which took the payment gave it. The number in it makes it unique.
fn external_id(random: &mut Random, row: &Row, number: usize) -> String {
    match (row.method, row.processor) {
        (_, "STRIPE") => format!("ch_3{}{number:05}", random.letters(16)),
        (_, "SHOPIFY") => format!(
            "shopify:{}{number:05}",
            random.between(5_000_000, 5_999_999)
        ),
        (_, "PAYPAL") => format!("PAYID-{}-{number}", random.letters(12).to_uppercase()),
        ("CASH", _) => format!("pos-{}/{number}", random.between(1, 4)),
        ("CHECK", _) => format!("lockbox {:03} #{number}", random.below(1_000)),
        (_, "Zahlwerk Süd, Graz") => format!("zahlung-ä-{number}"),
        _ => format!("payment-{number}"),
    }
}

/// Tags in the short form, which people write, or in the API's own, which has room for display names.
fn tags(random: &mut Random, number: usize) -> String {
    const DEPARTMENTS: [(&str, &str); 4] = [
        ("sales", "Sales Team"),
        ("service", "Field Service"),
        ("retail", "Shop"),
        ("online", "Online Shop"),
    ];
    const LOCATIONS: [&str; 5] = ["portland", "san-josé", "zürich", "montréal", "eau claire"];
    let (department, display_name) = *random.pick(&DEPARTMENTS);
    let location = *random.pick(&LOCATIONS);
    match random.below(10) {
        0..5 => String::new(),
        5..8 => format!("department={department}"),
        8 => format!("department={department}; location={location}"),
        _ => json(&[
            Tag {
                key: "department",
                value: department,
                dimension_display_name: Some("Department"),
                value_display_name: Some(display_name),
            },
            Tag {
                key: "location",
                // The short form can't say a value that holds its own punctuation.
                value: if number.is_multiple_of(2) {
                    "north; south=both"
                } else {
                    location
                },
                dimension_display_name: None,
                value_display_name: None,
            },
        ]),
    }
}

fn memo(random: &mut Random, number: usize, customer: &str, invoices: &str) -> String {
    // Every 25th row in turn, so that each of these texts comes up at least ten times.
    if number.is_multiple_of(25) {
        let turn = number / 25;
        return if turn.is_multiple_of(40) {
            format!("A long memo about {customer}. ").repeat(200)
        } else {
            TRICKY_MEMOS[turn % TRICKY_MEMOS.len()].to_owned()
        };
    }
    match random.below(10) {
        0..3 => String::new(),
        3..6 => format!("{customer}: {}", random.pick(&WORK)),
        6..8 => format!("Payment for {invoices} ({customer})"),
        8 => format!("{customer}, {invoices}, {}", random.pick(&WORK)),
        _ => format!("Thank you, {customer}!"),
    }
}

fn metadata(random: &mut Random, number: usize, customer: &str) -> String {
    if number == 777 {
        // Exactly the 1,024 bytes that the API takes; a two-byte letter tells bytes from characters.
        return format!("{{\"note\":\"{}a\"}}", "ä".repeat(506));
    }
    match random.below(20) {
        0..14 => String::new(),
        14..17 => format!("{{\"order\":\"A-{}\"}}", 1000 + number),
        17 => format!(
            "{{\"customer\":{},\"seats\":{},\"trial\":{}}}",
            json(customer),
            random.between(1, 250),
            random.one_in(2)
        ),
        18 => {
            let mut lines = String::new();
            for line in 1..=random.between(1, 5) {
                let separator = if line == 1 { "" } else { "," };
                let _ = write!(
                    lines,
                    "{separator}{{\"sku\":\"SKU-{}\",\"quantity\":{line}}}",
                    random.between(100, 999)
                );
            }
            format!("{{\"cart\":{{\"lines\":[{lines}],\"coupon\":null}}}}")
        }
        _ => format!(
            "{{\"ключ\":\"значение\",\"big\":{},\"rate\":1.25,\"nested\":{{\"a\":[1,[2,[3]]],\"b\":{{}}}}}}",
            9_007_199_254_740_993_i64 + i64::try_from(number).unwrap_or_default()
        ),
    }
}

/// Names accounts where the payment doesn't use the usual ones.
fn accounts(random: &mut Random, row: &mut Row) {
    match row.method {
        "CREDIT_BALANCE" if !random.one_in(3) => {
            row.redemption_account = "UNEARNED_REVENUE".to_owned();
        }
        // Redeemed credit isn't money that comes in, so no account clears it.
        "CREDIT_BALANCE" => {}
        "CHECK" | "CASH" if random.one_in(8) => {
            row.payment_clearing_account_identifier =
                (*random.pick(&["BANK_ACCOUNTS", "UNDEPOSITED_FUNDS"])).to_owned();
        }
        _ if random.one_in(40) => {
            row.payment_clearing_account_identifier = json(&stable("PAYMENT_PROCESSOR_CLEARING"));
        }
        _ => {}
    }
}

/// Gives an allocation what it may have beside its amount.
fn decorate(random: &mut Random, allocation: &mut Allocation, line: usize) {
    if random.one_in(5) {
        allocation.memo = Some(format!("Line {line}: {}", random.pick(&WORK)));
    }
    if random.one_in(8) {
        allocation.reference_number = Some(format!("REM-{:06}", random.below(1_000_000)));
    }
    if random.one_in(10) {
        allocation.metadata = Some(LineMetadata {
            line,
            source: "remittance advice",
        });
    }
    if random.one_in(10) {
        let projects = ["kitchen", "garden", "Über-Projekt"];
        allocation.tags.push(Tag {
            key: "project",
            value: projects[random.index(projects.len())],
            dimension_display_name: None,
            value_display_name: None,
        });
    }
}

/// A refund of all or a part of the payment, a day to ten weeks after it.
fn refund(random: &mut Random, row: &Row, amount: i64, fee: i64, paid_at: i64) -> String {
    let refunded = if random.one_in(2) {
        amount
    } else {
        amount * random.between(10, 90) / 100
    };
    let mut refund = Refund {
        external_id: format!("refund-{}", row.external_id),
        completed_at: timestamp(paid_at + random.between(86_400, 6_048_000)).to_string(),
        ..Refund::default()
    };
    if random.one_in(5) {
        // The way in which the earlier documentation gives the amount.
        refund.refunded_amount = Some(refunded);
    } else if random.one_in(4) {
        let first = refunded / 3;
        refund.line_items = vec![
            RefundLine {
                amount: first,
                external_id: Some(format!("{}-1", refund.external_id)),
                memo: Some("Returned goods"),
            },
            RefundLine {
                amount: refunded - first,
                external_id: Some(format!("{}-2", refund.external_id)),
                memo: None,
            },
        ];
    } else {
        refund.line_items.push(RefundLine {
            amount: refunded,
            external_id: None,
            memo: None,
        });
    }
    if !row.processor.is_empty() {
        refund.processor = Some(row.processor);
        refund.method = Some(row.method);
        if fee > 0 && refunded == amount && random.one_in(2) {
            refund.refunded_payment_fees.push(RefundedFee {
                account: stable("BANK_FEES"),
                fee_amount: fee,
                description: "Processing fee given back",
            });
        }
        if random.one_in(3) {
            refund.refund_processing_fee = Some(15);
        }
    }
    if random.one_in(4) {
        refund.account_identifier = Some(stable("CUSTOMER_REFUNDS"));
    }
    if random.one_in(3) {
        refund.memo = Some("Customer wasn't satisfied; \"as agreed\" by phone".to_owned());
    }
    json(&[refund])
}

/// SplitMix64: small, fast and good enough to make data that looks natural. Not for secrets.
struct Random(u64);

impl Random {
    /// The sequence of one row.
    fn of_row(number: usize) -> Self {
        Self(SEED ^ (number as u64).wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and without, `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product; its bias is far below what ten thousand rows could show.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(low.abs_diff(high) + 1) as i64
    }

    /// True once in so many times.
    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// One of the choices, each as often as its weight says.
    fn pick_weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let mut left = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("the number is below the sum of the weights")
    }

    /// Text as the ids of payment processors have it.
    fn letters(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length)
            .map(|_| char::from(*self.pick(LETTERS)))
            .collect()
    }

    /// A random UUID, marked as such (version 4).
    fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    fn rows() -> Vec<Row> {
        let mut book = Book::default();
        (1..=PAYMENTS).map(|number| book.payment(number)).collect()
    }

    #[test]
    fn the_same_code_gives_the_same_bytes() {
        assert_eq!(payments_csv(), payments_csv());
        // The first numbers of SplitMix64 from zero, as its author publishes them.
        let mut random = Random(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut csv = String::new();
        write_line(
            &mut csv,
            &["plain", "", "a,b", "say \"hi\"", "two\nlines", " = "],
        );
        assert_eq!(
            csv,
            "plain,,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\", = \n"
        );
    }

    #[test]
    fn external_ids_are_unique_and_times_cover_several_years() {
        let rows = rows();
        let ids: HashSet<_> = rows.iter().map(|row| &row.external_id).collect();
        assert_eq!(ids.len(), PAYMENTS);
        for year in ["2021-", "2022-", "2023-", "2024-", "2025-"] {
            let count = rows
                .iter()
                .filter(|row| row.paid_at.starts_with(year))
                .count();
            assert!(count > 500, "{year}: {count}");
        }
        assert!(rows.iter().any(|row| row.paid_at.ends_with("+02:00")));
        assert!(rows.iter().any(|row| row.paid_at.ends_with("-07:00")));
        for fraction in [4, 7, 10] {
            let found = rows.iter().any(|row| {
                let digits = row
                    .paid_at
                    .split_once('.')
                    .map(|(_, rest)| rest.trim_end_matches('Z').len());
                digits == Some(fraction - 1)
            });
            assert!(found, "no time has {} digits of a second", fraction - 1);
        }
    }

    #[test]
    fn every_kind_of_payment_is_there() {
        let rows = rows();
        let mut methods = BTreeMap::new();
        for row in &rows {
            *methods.entry(row.method).or_insert(0) += 1;
            if !row.processor.is_empty() {
                assert!(
                    !matches!(row.method, "CASH" | "CHECK"),
                    "{}",
                    row.external_id
                );
            }
            if !row.redemption_account.is_empty() {
                assert_eq!(row.method, "CREDIT_BALANCE");
            }
        }
        assert_eq!(methods.len(), 6, "{methods:?}");
        assert!(methods.values().all(|count| *count > 200), "{methods:?}");

        let count = |test: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| test(row)).count();
        assert!(count(&|row| row.amount == "0") > 5);
        assert!(count(&|row| !row.invoice_id.is_empty()) > 1_000);
        assert!(count(&|row| !row.invoice_external_id.is_empty()) > 1_000);
        assert!(count(&|row| row.invoice_payments.matches("\"amount\"").count() > 2) > 500);
        assert!(count(&|row| row.invoice_payments.contains("\"account\"")) > 300);
        assert!(count(&|row| row.invoice_payments == "[]") > 20);
        assert!(count(&|row| !row.additional_fees.is_empty()) > 300);
        assert!(count(&|row| !row.dedicated_refunds.is_empty()) > 100);
        assert!(count(&|row| row.dedicated_refunds.contains("refunded_amount")) > 10);
        assert!(count(&|row| row.tags.starts_with('[')) > 500);
        assert!(count(&|row| row.tags.starts_with("department=")) > 1_000);
        assert!(count(&|row| row.metadata.len() == 1024) == 1);
        assert!(count(&|row| row.memo.len() > 4_000) > 5);
        assert!(count(&|row| row.reference_number.contains(',')) > 20);
        assert!(count(&|row| !row.payment_clearing_account_identifier.is_empty()) > 100);
        for tricky in TRICKY_MEMOS {
            assert!(count(&|row| row.memo == tricky) > 5, "{tricky:?}");
        }
    }

    #[test]
    fn fees_are_what_processors_charge() {
        let row = |method, processor| Row {
            method,
            processor,
            ..Row::default()
        };
        // 2.9 % and 30 cents of 90.00; and 0.8 %, at most 5.00.
        let mut fees = HashSet::new();
        for number in 0..50 {
            fees.insert(processing_fee(
                &mut Random::of_row(number),
                &row("CREDIT_CARD", "STRIPE"),
                9_000,
            ));
        }
        assert_eq!(fees, HashSet::from([291, 381]));
        let random = &mut Random::of_row(1);
        assert_eq!(processing_fee(random, &row("ACH", "STRIPE"), 10_000), 80);
        assert_eq!(
            processing_fee(random, &row("ACH", "STRIPE"), 10_000_000),
            500
        );
        assert_eq!(processing_fee(random, &row("CREDIT_CARD", ""), 9_000), 0);
        assert_eq!(processing_fee(random, &row("CREDIT_CARD", "STRIPE"), 0), 0);
    }

    #[test]
    fn a_shifted_time_is_the_same_moment() {
        let at: Timestamp = "2023-01-01T00:30:00.25Z".parse().unwrap();
        assert_eq!(shifted(at, -7), "2022-12-31T17:30:00.25-07:00");
        assert_eq!(shifted(at, -7).parse::<Timestamp>().unwrap(), at);
        assert_eq!(shifted(at, 2).parse::<Timestamp>().unwrap(), at);
    }
}
