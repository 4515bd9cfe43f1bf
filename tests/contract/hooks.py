"""What schemathesis has to know about this API beyond its document; see schemathesis.toml.

The hooks lead requests deep into the server (a business and payments that exist, amounts that add up), count the
replies, and drop one kind of failure that is none.
"""

import atexit
import copy
import json
import os
import random
from collections import Counter

import schemathesis

BUSINESS = os.environ["CONTRACT_BUSINESS"]

# Rules that no schema of OpenAPI 3.0 can state. A request that satisfies the schema and breaks one of them is refused
# with 400, and schemathesis calls that a failure ("Schema-valid request rejected"). It is dropped only where every fault
# that the reply names is one of these; any other status and any other rule stays a failure.
BEYOND_SCHEMA = {
    # They compare values with each other, or bound their sums.
    "amounts-out-of-range",
    "allocation-target-missing",
    "allocations-exceed-amount",
    "duplicate-external-id",
    "duplicate-refund-external-id",
    "duplicate-tag-key",
    "filter-range-reversed",
    "processor-not-allowed-for-method",
    "redemption-account-not-allowed-for-method",
    "refund-amount-mismatch",
    "refunds-exceed-amount",
    # They depend on what is stored, or on an earlier reply.
    "account-unknown",
    "cursor-invalid",
    "external-id-taken",
    "invoice-ids-disagree",
    "ledger-out-of-range",
    # A schema can't count bytes, nor bound a time.
    "metadata-too-large",
    "date-implausible",
    # A pattern could say this only roughly: its `\s` isn't Unicode's White_Space, by which the rules go.
    "tag-empty",
    "tag-outer-blanks",
    # Nothing but commas. The schema refuses the empty text.
    "reference-numbers-empty",
}
# Refusals by the books, which aren't rules of a request by itself and therefore not in the catalogue.
BOOKS = {
    "account-unknown",
    "amounts-out-of-range",
    "cursor-invalid",
    "external-id-taken",
    "invoice-ids-disagree",
    "ledger-out-of-range",
}

with open(os.environ["CONTRACT_RULES"]) as file:
    UNKNOWN = BEYOND_SCHEMA - BOOKS - set(json.load(file))
assert not UNKNOWN, f"{UNKNOWN} are no rules of spec/rules/catalogue.json; take them out of BEYOND_SCHEMA"

ACCOUNTS = ["BANK_FEES", "UNDEPOSITED_FUNDS", "UNEARNED_REVENUE"]

# Requests are made by one thread, so a seed makes this repeatable, too.
chance = random.Random(1)
replies = Counter()
payments = []


@schemathesis.hook
def map_case(context, case):
    """Leads requests that are right by the schema deep into the server; those meant to be refused stay as they are."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    # One in ten keeps an id that nothing has.
    if chance.random() < 0.9:
        case.path_parameters["businessId"] = BUSINESS
    if "paymentId" in case.path_parameters and payments and chance.random() < 0.9:
        case.path_parameters["paymentId"] = chance.choice(payments)
    # Cases share parts of their bodies, which must not change in the others.
    case.body = copy.deepcopy(case.body)
    # And one in five keeps a body as it was drawn.
    for body in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(body, dict) and chance.random() < 0.8:
            make_consistent(body)
    return case


def make_consistent(payment):
    """Gives a payment amounts that add up, accounts that exist, times of our days, ids that differ, and the like."""
    use_accounts(payment)
    payment.pop("processor", None)
    if payment.get("redemption_account"):
        payment["method"] = "CREDIT_BALANCE"
    if payment.get("external_id"):
        payment["external_id"] += str(chance.randrange(1000))
    if payment.get("paid_at"):
        payment["paid_at"] = in_our_days(payment["paid_at"])
    clean_tags(payment)
    allocated = 0
    for part in payment.get("invoice_payments") or []:
        part["amount"] %= 1_000_000
        allocated += part["amount"]
        clean_tags(part)
        if not (part.get("account") or part.get("invoice_id") or part.get("invoice_external_id")):
            part["invoice_external_id"] = f"invoice-{chance.randrange(10)}"
    refunded = 0
    for index, refund in enumerate(payment.get("dedicated_refunds") or []):
        if refund.get("external_id"):
            refund["external_id"] += str(index)
        if refund.get("completed_at"):
            refund["completed_at"] = in_our_days(refund["completed_at"])
        refund.pop("refunded_amount", None)
        clean_tags(refund)
        for item in refund.get("line_items") or []:
            item["amount"] %= 1_000_000
            refunded += item["amount"]
            clean_tags(item)
    # An update that only allocates or refunds is given the amount that this takes.
    if payment.get("amount") or allocated or refunded:
        payment["amount"] = max(allocated, refunded, (payment.get("amount") or 0) % 1_000_000_000)


def use_accounts(value):
    """Puts accounts that every business has in the place of those that were drawn, wherever they stand."""
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(part, dict) and part.get("type") in ("AccountId", "StableName"):
            part.clear()
            part.update(type="StableName", stable_name=chance.choice(ACCOUNTS))
        else:
            use_accounts(part)


def in_our_days(time):
    """The same time of another year; all but a leap day stay days of the calendar."""
    return "2024" + time[4:]


def clean_tags(holder):
    """Takes the blanks off tags and makes their keys differ, yet not so much that none comes twice in the business."""
    for index, tag in enumerate(holder.get("tags") or []):
        tag["key"] = f"{tag['key'].strip()}{index}"
        tag["value"] = f"{tag['value'].strip()}."


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 400:
        return True
    codes = {(error.get("meta") or {}).get("code") for error in response.json()["errors"]}
    return not codes <= BEYOND_SCHEMA


@schemathesis.hook
def after_call(context, case, response):
    operation = case.operation.definition.raw["operationId"]
    replies[f"{operation} {response.status_code}"] += 1
    if operation == "record_invoice_payment" and response.status_code == 201 and BUSINESS in response.request.url:
        payments.append(response.json()["data"]["id"])


@atexit.register
def report():
    with open(os.environ["CONTRACT_REPLIES"], "w") as file:
        json.dump(replies, file, indent=1, sort_keys=True)
