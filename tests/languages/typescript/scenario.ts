// What every language does, step by step, in terms of the generated types. Each step prints a line of facts; the proof
// compares them with those of the other languages. An `Api` is one generated client behind one face.

import type { components, operations } from "./layer-payments.js";

type Schemas = components["schemas"];
export type CreateInvoicePayment = Schemas["CreateInvoicePayment"];
export type UpdateInvoicePayment = Schemas["UpdateInvoicePayment"];
export type ListQuery = NonNullable<operations["list_invoice_payments"]["parameters"]["query"]>;

/** A reply: `data` if it was a success, `error` if not. */
export interface Reply<T> {
  status: number;
  headers: Headers;
  data?: T | undefined;
  error?: Schemas["ErrorReply"] | undefined;
}

export interface Api {
  record(body: CreateInvoicePayment, fault?: string): Promise<Reply<Schemas["InvoicePaymentReply"]>>;
  bulk(body: CreateInvoicePayment[]): Promise<Reply<Schemas["InvoicePaymentBulkReply"]>>;
  update(id: string, body: UpdateInvoicePayment): Promise<Reply<Schemas["InvoicePaymentReply"]>>;
  list(query: ListQuery): Promise<Reply<Schemas["InvoicePaymentListReply"]>>;
}

export const environment = {
  baseUrl: variable("LAYER_BASE_URL"),
  token: variable("LAYER_TOKEN"),
  businessId: variable("LAYER_BUSINESS_ID"),
};

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} isn't set`);
  return value;
}

function success<T>(reply: Reply<T>): T {
  if (reply.data === undefined) throw new Error(`${reply.status}: ${JSON.stringify(reply.error)}`);
  return reply.data;
}

/** What is wrong by a reply that isn't a success: where, and by which rule. */
function faults(reply: Reply<unknown>): string[] {
  if (reply.error === undefined) throw new Error(`${reply.status} is no refusal`);
  return reply.error.errors.map((error) => `${error.meta?.code ?? ""} at ${error.meta?.pointer ?? ""}`).sort();
}

let step = 0;

function tell(name: string, facts: object): void {
  step += 1;
  console.log(JSON.stringify({ step, name, ...facts }));
}

const first: CreateInvoicePayment = {
  external_id: "first",
  paid_at: "2024-02-27T02:22:55.163005Z",
  method: "CREDIT_CARD",
  amount: 9000,
  fee: 290,
  processor: "STRIPE",
  invoice_payments: [
    { invoice_external_id: "invoice-1001", amount: 6500 },
    { account: { type: "StableName", stable_name: "UNEARNED_REVENUE" }, amount: 2500, memo: "Deposit" },
  ],
  additional_fees: [{ account: { type: "StableName", stable_name: "BANK_FEES" }, fee_amount: 25 }],
  tags: [{ key: "department", value: "sales" }],
  memo: "Paid at the counter",
  metadata: { order: "A-1001", nested: { lines: [1, 2] } },
  reference_number: "CHK-1001",
};

/** A payment of a bulk request. Every fourth one is by cheque, with a reference number; no two amounts are equal. */
function numbered(index: number): CreateInvoicePayment {
  const byCheque = index % 4 === 0;
  return {
    external_id: `bulk-${index}`,
    paid_at: new Date(Date.UTC(2024, 2, 1, 0, index)).toISOString(),
    method: byCheque ? "CHECK" : "CASH",
    amount: 1000 + 7 * index,
    invoice_payments: [],
    ...(byCheque ? { reference_number: `CHK-${index}` } : {}),
  };
}

export async function scenario(api: Api): Promise<void> {
  const created = await api.record(first);
  const { data: payment, meta } = success(created);
  tell("record by stable name", {
    status: created.status,
    outcomes: meta?.idempotency?.outcomes,
    amount: payment.amount,
    method: payment.method,
    at: Date.parse(payment.at),
    allocations: payment.allocations.map((allocation) => allocation.amount).sort(),
    to_accounts: payment.allocations.filter((allocation) => "account" in allocation).length,
    fee_accounts: payment.additional_fees?.map((fee) => fee.account.type),
    tags: payment.transaction_tags?.map((tag) => `${tag.key}=${tag.value}`),
    metadata: payment.metadata,
  });

  const repeated = await api.record(first);
  tell("repeat the same external_id", {
    status: repeated.status,
    outcomes: success(repeated).meta?.idempotency?.outcomes,
    same_payment: success(repeated).data.id === payment.id,
  });

  const hundred = Array.from({ length: 100 }, (_, index) => (index === 0 ? first : numbered(index)));
  const spoilt = hundred.map((payment, index) =>
    index === 57 ? { ...payment, invoice_payments: [{ invoice_external_id: "invoice-1001", amount: 9500 }] } : payment,
  );
  const refused = await api.bulk(spoilt);
  const afterwards = success(await api.list({ limit: 1, show_total_count: true }));
  tell("a bulk request with one bad payment", {
    status: refused.status,
    faults: faults(refused),
    payments: afterwards.meta?.pagination?.total_count,
  });

  const bulk = await api.bulk(hundred);
  const outcomes = success(bulk).meta?.idempotency?.outcomes ?? [];
  tell("a bulk request of 100", {
    status: bulk.status,
    created: outcomes.filter((outcome) => outcome === "created").length,
    unchanged: outcomes.filter((outcome) => outcome === "unchanged").length,
    in_order: success(bulk).data.every((payment, index) => payment.external_id === hundred[index]?.external_id),
  });

  const cleared = await api.update(payment.id, { memo: null, metadata: null });
  tell("an update with null", {
    status: cleared.status,
    memo: success(cleared).data.memo ?? null,
    metadata: success(cleared).data.metadata ?? null,
    reference_number: success(cleared).data.reference_number,
    tags: success(cleared).data.transaction_tags?.length,
    allocations: success(cleared).data.allocations.length,
  });

  const emptied = await api.update(payment.id, { tags: [], invoice_payments: [] });
  tell("an update with empty lists", {
    status: emptied.status,
    tags: success(emptied).data.transaction_tags?.length,
    allocations: success(emptied).data.allocations.length,
    fees: success(emptied).data.additional_fees?.length,
    amount: success(emptied).data.amount,
  });

  const filters: Record<string, ListQuery> = {
    method: { method: "CHECK" },
    paid_at_start: { paid_at_start: "2024-03-01T01:00:00Z" },
    paid_at_end: { paid_at_end: "2024-01-31T23:59:59Z" },
    external_id: { external_id: "bulk-7" },
    reference_numbers: { reference_numbers: "CHK-4,CHK-8,CHK-1001" },
    included_in_payout: { included_in_payout: true },
    is_matched: { is_matched: false },
    all: {
      method: "ACH",
      paid_at_start: "2024-01-01T00:00:00Z",
      paid_at_end: "2024-12-31T00:00:00Z",
      external_id: "paid-out",
      included_in_payout: true,
      is_matched: true,
    },
  };
  const counts: Record<string, number | null | undefined> = {};
  for (const [name, query] of Object.entries(filters)) {
    const page = success(await api.list({ ...query, limit: 1, show_total_count: true }));
    counts[name] = page.meta?.pagination?.total_count;
  }
  tell("every filter", { counts });

  const amounts: number[] = [];
  let pages = 0;
  let cursor: string | null | undefined;
  do {
    const query: ListQuery = { limit: 30, sort_by: "amount", sort_order: "DESC", show_total_count: true };
    const page = success(await api.list(cursor ? { ...query, cursor } : query));
    pages += 1;
    amounts.push(...page.data.map((payment) => payment.amount));
    cursor = page.meta?.pagination?.has_more === true ? page.meta.pagination.cursor : undefined;
  } while (cursor);
  tell("every page", {
    pages,
    payments: amounts.length,
    descending: amounts.every((amount, index) => index === 0 || amount <= (amounts[index - 1] ?? 0)),
    largest: amounts[0],
    sum: amounts.reduce((sum, amount) => sum + amount, 0),
  });

  const wrong = await api.record({ ...numbered(200), processor: "STRIPE", invoice_payments: [{ amount: 1 }] });
  tell("where a refused payment is wrong", { status: wrong.status, faults: faults(wrong) });

  const limited = await api.record(numbered(201), "status=429; retry-after=1");
  const seconds = Number(limited.headers.get("Retry-After"));
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const after = await api.record(numbered(201));
  tell("the rate limit", {
    status: limited.status,
    kind: limited.error?.errors[0]?.type,
    retry_after: seconds,
    status_afterwards: after.status,
  });
}
