"""The scenario by the client that openapi-python-client generates; ../typescript/scenario.ts has the same steps."""

import datetime
import json
import os
import time
from typing import Any, TypeVar
from uuid import UUID

from layer_payments import AuthenticatedClient
from layer_payments.api.invoice_payments import (
    bulk_create_invoice_payments,
    list_invoice_payments,
    record_invoice_payment,
    update_invoice_payment,
)
from layer_payments.models import (
    AccountByStableName,
    AccountByStableNameType,
    AdditionalFeeInput,
    CreateInvoicePayment,
    ErrorReply,
    IdempotencyOutcome,
    InvoiceAllocationInput,
    InvoicePaymentBulkReply,
    InvoicePaymentReply,
    LedgerAccountAllocation,
    LedgerAccountAllocationInput,
    Metadata,
    Pagination,
    PaymentMethod,
    SortKey,
    SortOrder,
    TagKeyValue,
    UpdateInvoicePayment,
)
from layer_payments.types import UNSET, Response, Unset

BUSINESS = UUID(os.environ["LAYER_BUSINESS_ID"])
T = TypeVar("T")
step = 0


def client() -> AuthenticatedClient:
    return AuthenticatedClient(
        base_url=os.environ["LAYER_BASE_URL"], token=os.environ["LAYER_TOKEN"], raise_on_unexpected_status=True
    )


CLIENT = client()


def given(value: T | Unset | None) -> T:
    """What is there, for a type checker that knows that a reply may leave it out."""
    if value is None or isinstance(value, Unset):
        raise ValueError("the reply left out what it should have")
    return value


def succeeded(reply: Response[ErrorReply | T]) -> T:
    if reply.parsed is None or isinstance(reply.parsed, ErrorReply):
        raise ValueError(f"{reply.status_code}: {reply.content!r}")
    return reply.parsed


def faults(reply: Response[Any]) -> list[str]:
    """What is wrong by a reply that isn't a success: where, and by which rule."""
    if not isinstance(reply.parsed, ErrorReply):
        raise ValueError(f"{reply.status_code} is no refusal")
    places = [given(error.meta) for error in reply.parsed.errors]
    return sorted(f"{place.code} at {place.pointer}" for place in places)


def tell(name: str, **facts: object) -> None:
    global step
    step += 1
    print(json.dumps({"step": step, "name": name, **facts}), flush=True)


def time_of(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def stable_name(name: str) -> AccountByStableName:
    return AccountByStableName(type_=AccountByStableNameType.STABLENAME, stable_name=name)


def metadata(value: dict[str, Any]) -> Metadata:
    made = Metadata()
    made.additional_properties = value
    return made


def plain(value: Metadata | None | Unset) -> object:
    return value.to_dict() if isinstance(value, Metadata) else None


def outcomes(reply: InvoicePaymentReply | InvoicePaymentBulkReply) -> list[IdempotencyOutcome]:
    return given(given(given(reply.meta).idempotency).outcomes)


def the_first() -> CreateInvoicePayment:
    return CreateInvoicePayment(
        external_id="first",
        paid_at=time_of("2024-02-27T02:22:55.163005Z"),
        method=PaymentMethod.CREDIT_CARD,
        amount=9000,
        fee=290,
        processor="STRIPE",
        invoice_payments=[
            InvoiceAllocationInput(invoice_external_id="invoice-1001", amount=6500),
            LedgerAccountAllocationInput(account=stable_name("UNEARNED_REVENUE"), amount=2500, memo="Deposit"),
        ],
        additional_fees=[AdditionalFeeInput(account=stable_name("BANK_FEES"), fee_amount=25)],
        tags=[TagKeyValue(key="department", value="sales")],
        memo="Paid at the counter",
        metadata=metadata({"order": "A-1001", "nested": {"lines": [1, 2]}}),
        reference_number="CHK-1001",
    )


def numbered(index: int) -> CreateInvoicePayment:
    """A payment of a bulk request. Every fourth one is a cheque with a number; no two amounts are equal."""
    by_cheque = index % 4 == 0
    return CreateInvoicePayment(
        external_id=f"bulk-{index}",
        paid_at=time_of("2024-03-01T00:00:00Z") + datetime.timedelta(minutes=index),
        method=PaymentMethod.CHECK if by_cheque else PaymentMethod.CASH,
        amount=1000 + 7 * index,
        invoice_payments=[],
        reference_number=f"CHK-{index}" if by_cheque else UNSET,
    )


def pages(**query: Any) -> Pagination:
    reply = list_invoice_payments.sync_detailed(BUSINESS, client=CLIENT, limit=1, show_total_count=True, **query)
    return given(given(succeeded(reply).meta).pagination)


def main() -> None:
    first = the_first()
    created = record_invoice_payment.sync_detailed(BUSINESS, client=CLIENT, body=first)
    payment = succeeded(created).data
    tell(
        "record by stable name",
        status=created.status_code,
        outcomes=outcomes(succeeded(created)),
        amount=payment.amount,
        method=given(payment.method),
        at=int(payment.at.timestamp() * 1000),
        allocations=sorted(allocation.amount for allocation in payment.allocations),
        to_accounts=sum(isinstance(allocation, LedgerAccountAllocation) for allocation in payment.allocations),
        fee_accounts=[fee.account.type_ for fee in given(payment.additional_fees)],
        tags=[f"{tag.key}={tag.value}" for tag in given(payment.transaction_tags)],
        metadata=plain(payment.metadata),
    )

    repeated = record_invoice_payment.sync_detailed(BUSINESS, client=CLIENT, body=first)
    tell(
        "repeat the same external_id",
        status=repeated.status_code,
        outcomes=outcomes(succeeded(repeated)),
        same_payment=succeeded(repeated).data.id == payment.id,
    )

    hundred = [first, *(numbered(index) for index in range(1, 100))]
    spoilt = [first, *(numbered(index) for index in range(1, 100))]
    spoilt[57].invoice_payments = [InvoiceAllocationInput(invoice_external_id="invoice-1001", amount=9500)]
    refused = bulk_create_invoice_payments.sync_detailed(BUSINESS, client=CLIENT, body=spoilt)
    tell(
        "a bulk request with one bad payment",
        status=refused.status_code,
        faults=faults(refused),
        payments=pages().total_count,
    )

    bulk = bulk_create_invoice_payments.sync_detailed(BUSINESS, client=CLIENT, body=hundred)
    became = outcomes(succeeded(bulk))
    sent = [payment.external_id for payment in hundred]
    tell(
        "a bulk request of 100",
        status=bulk.status_code,
        created=became.count(IdempotencyOutcome.CREATED),
        unchanged=became.count(IdempotencyOutcome.UNCHANGED),
        in_order=[payment.external_id for payment in succeeded(bulk).data] == sent,
    )

    cleared = update_invoice_payment.sync_detailed(
        BUSINESS, payment.id, client=CLIENT, body=UpdateInvoicePayment(memo=None, metadata=None)
    )
    tell(
        "an update with null",
        status=cleared.status_code,
        memo=succeeded(cleared).data.memo,
        metadata=plain(succeeded(cleared).data.metadata),
        reference_number=succeeded(cleared).data.reference_number,
        tags=len(given(succeeded(cleared).data.transaction_tags)),
        allocations=len(succeeded(cleared).data.allocations),
    )

    emptied = update_invoice_payment.sync_detailed(
        BUSINESS, payment.id, client=CLIENT, body=UpdateInvoicePayment(tags=[], invoice_payments=[])
    )
    tell(
        "an update with empty lists",
        status=emptied.status_code,
        tags=len(given(succeeded(emptied).data.transaction_tags)),
        allocations=len(succeeded(emptied).data.allocations),
        fees=len(given(succeeded(emptied).data.additional_fees)),
        amount=succeeded(emptied).data.amount,
    )

    filters: dict[str, dict[str, Any]] = {
        "method": {"method": PaymentMethod.CHECK},
        "paid_at_start": {"paid_at_start": time_of("2024-03-01T01:00:00Z")},
        "paid_at_end": {"paid_at_end": time_of("2024-01-31T23:59:59Z")},
        "external_id": {"external_id": "bulk-7"},
        "reference_numbers": {"reference_numbers": "CHK-4,CHK-8,CHK-1001"},
        "included_in_payout": {"included_in_payout": True},
        "is_matched": {"is_matched": False},
        "all": {
            "method": PaymentMethod.ACH,
            "paid_at_start": time_of("2024-01-01T00:00:00Z"),
            "paid_at_end": time_of("2024-12-31T00:00:00Z"),
            "external_id": "paid-out",
            "included_in_payout": True,
            "is_matched": True,
        },
    }
    tell("every filter", counts={name: pages(**query).total_count for name, query in filters.items()})

    amounts: list[int] = []
    count = 0
    cursor: str | Unset = UNSET
    while True:
        page = succeeded(
            list_invoice_payments.sync_detailed(
                BUSINESS,
                client=CLIENT,
                limit=30,
                sort_by=SortKey.AMOUNT,
                sort_order=SortOrder.DESC,
                show_total_count=True,
                cursor=cursor,
            )
        )
        count += 1
        amounts.extend(payment.amount for payment in page.data)
        pagination = given(given(page.meta).pagination)
        if not pagination.has_more:
            break
        cursor = given(pagination.cursor)
    tell(
        "every page",
        pages=count,
        payments=len(amounts),
        descending=amounts == sorted(amounts, reverse=True),
        largest=amounts[0],
        sum=sum(amounts),
    )

    wrong_payment = numbered(200)
    wrong_payment.processor = "STRIPE"
    wrong_payment.invoice_payments = [InvoiceAllocationInput(amount=1)]
    wrong = record_invoice_payment.sync_detailed(BUSINESS, client=CLIENT, body=wrong_payment)
    tell("where a refused payment is wrong", status=wrong.status_code, faults=faults(wrong))

    struck = client().with_headers({"X-Fault": "status=429; retry-after=1"})
    limited = record_invoice_payment.sync_detailed(BUSINESS, client=struck, body=numbered(201))
    seconds = int(limited.headers["Retry-After"])
    time.sleep(seconds)
    after = record_invoice_payment.sync_detailed(BUSINESS, client=CLIENT, body=numbered(201))
    refusal = limited.parsed
    tell(
        "the rate limit",
        status=limited.status_code,
        kind=refusal.errors[0].type_ if isinstance(refusal, ErrorReply) else None,
        retry_after=seconds,
        status_afterwards=after.status_code,
    )


main()
