"""Checks requests by the rules of catalogue.json, with nothing but Python's standard library.

A reference implementation: short, written from ../README.md, the catalogue and the spec (as JSON, which the standard
library reads), and proved by the vectors. What the spec says of types is read from it, and where a rule on one value
holds is read from the catalogue; the other rules are written out.

    Rules(spec, catalogue).check("record_invoice_payment", body) == {("amount-zero", "/amount"), ...}
"""

import datetime
import json
import re
from decimal import Decimal

BLANKS = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
WHOLE = re.compile(r"0|-?[1-9][0-9]*")
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
TIME = re.compile(DATE + r"[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?"
                  r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))")
SECOND = 10**9
WITH_PROCESSOR = {"CREDIT_CARD", "ACH", "CREDIT_BALANCE", "OTHER"}


class Malformed(ValueError):
    """What isn't JSON."""


class Number(str):
    """A number as it is written."""


class Object(list):
    """An object's keys and values as they stand in the text. Of a repeated key the first value counts."""

    def first(self):
        return dict(reversed(self))


def read(text):
    """Reads JSON without losing how numbers are written, or that a key stands twice."""

    def refuse(_):
        raise Malformed

    def number(text):
        return Number(text) if abs(Decimal(text)) < Decimal("1.8e308") else refuse(text)

    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = json.loads(
            text, parse_int=number, parse_float=number, parse_constant=refuse, object_pairs_hook=Object
        )
        # A lone surrogate can't be written; what comes out is of no use.
        json.dumps(value, ensure_ascii=False).encode()
        return value if depth(value) <= 127 else refuse(value)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Malformed from error


def depth(value):
    inner = [item for _, item in value] if isinstance(value, Object) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, list) else 0


def instant(text, end_of_day=None):
    """A timestamp in nanoseconds since year 1, or None. With `end_of_day` given, a date alone is one too."""
    found = TIME.fullmatch(text)
    alone = re.fullmatch(DATE, text) if end_of_day is not None else None
    if not (found or alone):
        return None
    year, month, day = (int(part) for part in (found or alone).groups()[:3])
    try:
        # Python has no year 0, which was a leap year like any 400 years later.
        days = datetime.date(year or 400, month, day).toordinal() - (0 if year else 146_097)
    except ValueError:
        return None
    if alone:
        return (days + end_of_day) * 86_400 * SECOND - end_of_day
    hour, minute, second, fraction, sign, hours, minutes = found.groups()[3:]
    seconds = (days * 24 + int(hour)) * 3600 + int(minute) * 60 + int(second)
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds -= -offset if sign == "-" else offset
    return seconds * SECOND + int((fraction or "").ljust(9, "0"))


EARLIEST, LATEST = instant("1970-01-01T00:00:00Z"), instant("2200-01-01T00:00:00Z")


def plausible(time):
    return time is not None and EARLIEST <= time < LATEST


def compact(value):
    """The value as compact JSON."""
    if isinstance(value, Object):
        return "{" + ",".join(f"{compact(key)}:{compact(inner)}" for key, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


def step(pointer, key):
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def places(value, path, pointer):
    """All that a path of the catalogue leads to, with its pointer; nothing where a value is missing or null."""
    head, _, rest = path.partition("/")
    if value is None:
        return
    if path == "":
        yield pointer, value
    elif head == "*":
        for index, inner in enumerate(value):
            yield from places(inner, rest, step(pointer, index))
    elif head in value:
        yield from places(value[head], rest, step(pointer, head))


class Rules:
    def __init__(self, spec, catalogue):
        """The spec, as OpenAPI 3.1, and the catalogue, both as Python's `json` reads them."""
        self.schemas = spec["components"]["schemas"]
        self.rules = {rule["code"]: rule for rule in catalogue}
        operations = [operation for item in spec["paths"].values() for operation in item.values()]
        listing = [one for one in operations if isinstance(one, dict) and one["operationId"] == "list_invoice_payments"]
        self.parameters = {parameter["name"]: parameter["schema"] for parameter in listing[0]["parameters"]}
        self.found = set()

    def check(self, operation, request, now="2026-01-01T00:00:00Z", bulk_limit=None, existing=None):
        """All violations of a request as pairs of code and pointer. The request is a body as text or bytes, or what
        `read` made of it; for a list it is a dictionary of parameters."""
        self.found, self.operation, self.now = set(), operation, instant(now)
        if operation == "list_invoice_payments":
            self.query(request)
            return self.found
        try:
            body = read(request) if isinstance(request, (str, bytes)) else request
        except Malformed:
            self.add("json-malformed", "")
            return self.found
        if operation == "update_invoice_payment":
            self.one(body, "UpdateInvoicePayment", "", existing or {})
        elif operation == "record_invoice_payment":
            self.one(body, "CreateInvoicePayment", "", {})
        elif type(body) is not list:
            self.add("type-mismatch", "")
        else:
            self.bulk(body, bulk_limit)
        return self.found

    def add(self, code, pointer):
        self.found.add((code, pointer))

    def bulk(self, body, limit):
        if not body:
            self.add("bulk-empty", "")
        if limit is not None and len(body) > limit:
            self.add("bulk-too-large", "")
        payments = [self.one(item, "CreateInvoicePayment", f"/{index}", {}) for index, item in enumerate(body)]
        names = [(f"/{index}/external_id", payment.get("external_id")) for index, payment in enumerate(payments)]
        self.repeated("duplicate-external-id", names)

    def repeated(self, code, places):
        """Reports each place whose value an earlier one has; null and empty ones don't count."""
        seen = set()
        for pointer, value in places:
            if value:
                if value in seen:
                    self.add(code, pointer)
                seen.add(value)

    def one(self, body, schema, pointer, existing):
        """Checks a payment or an update by all rules. Gives it if it can be compared with others, else nothing."""
        before = self.found
        self.found = set()
        payment = self.raw(body, self.schemas[schema], pointer)
        sound = all(self.rules[code]["severity"] == "warning" for code, _ in self.found)
        if sound:
            self.values(payment, pointer)
            self.relations(payment, pointer, existing)
        self.found |= before
        return payment if sound else {}

    # ---- Raw rules. They give the value as plain Python: dictionaries, whole numbers, methods in their current form.

    def raw(self, value, schema, pointer):
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema:
            return None if value is None else self.raw(value, schema["anyOf"][0], pointer)
        if "oneOf" in schema:
            return self.choice(value, schema, pointer)
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if value is None and "null" in types:
            return None
        fits = {
            "string": type(value) is str,
            "boolean": type(value) is bool,
            "integer": type(value) is Number and WHOLE.fullmatch(value) is not None,
            "array": type(value) is list,
            "object": type(value) is Object,
        }
        if not fits[types[0]]:
            self.add("type-mismatch", pointer)
        elif types[0] == "integer":
            # Python's own limit on digits doesn't matter: what is longer than 64 bits is refused by its length.
            if len(value) > 20 or not -(2**63) <= int(value) < 2**63:
                self.add("integer-out-of-range", pointer)
            else:
                return int(value)
        elif types[0] == "string":
            return self.text(value, schema, pointer)
        elif types[0] == "array":
            return [self.raw(item, schema["items"], step(pointer, index)) for index, item in enumerate(value)]
        elif "properties" in schema:
            return self.object(value, schema, pointer)
        elif types[0] == "object":
            self.metadata(value, pointer)
        return value

    def text(self, value, schema, pointer):
        form = schema.get("format")
        if "enum" in schema:
            deprecated = schema.get("x-deprecated-values", {})
            if value in deprecated:
                self.add("method-deprecated", pointer)
                return deprecated[value]
            if value not in schema["enum"]:
                self.add("value-unknown", pointer)
        elif form == "date-time" and instant(value, None) is None:
            self.add("timestamp-malformed", pointer)
        elif form == "uuid" and not UUID.fullmatch(value):
            self.add("uuid-malformed", pointer)
        return value

    def object(self, value, schema, pointer, unread=(), required=True):
        """An object with known properties; the values of those in `unread` aren't looked at."""
        self.keys(value, pointer)
        read = {}
        for key, inner in value.first().items():
            if key in unread:
                continue
            if key not in schema["properties"]:
                self.add("property-unknown", step(pointer, key))
            else:
                read[key] = self.raw(inner, schema["properties"][key], step(pointer, key))
        if required:
            for key in set(schema.get("required", ())) - value.first().keys():
                self.add("property-missing", step(pointer, key))
        return read

    def keys(self, value, pointer):
        names = [key for key, _ in value]
        for key in names:
            if names.count(key) > 1:
                self.add("duplicate-key", step(pointer, key))

    def choice(self, value, schema, pointer):
        """An account identifier, which is tagged, or an allocation, which the key `account` tells."""
        if type(value) is not Object:
            self.add("type-mismatch", pointer)
            return value
        forms = [self.schemas[form["$ref"].rpartition("/")[2]] for form in schema["oneOf"]]
        keys = value.first().keys()
        if "discriminator" not in schema:
            unread = {"account", "invoice_id", "invoice_external_id"}
            if "account" not in keys:
                return self.object(value, forms[1], pointer)
            if not keys & (unread - {"account"}):
                return self.object(value, forms[0], pointer)
            self.add("allocation-target-ambiguous", pointer)
            return self.object(value, forms[0], pointer, unread)
        own = {"AccountId": "id", "StableName": "stable_name"}
        kind = value.first().get("type")
        known = own.get(kind) if type(kind) is str else None
        if known is not None and known in keys and not keys & (set(own.values()) - {known}):
            form = next(form for form in forms if known in form["properties"])
            return self.object(value, form, pointer)
        self.add("account-identifier-malformed", pointer)
        return self.object(value, forms[0], pointer, {"type", *own.values()}, required=False)

    def metadata(self, value, pointer):
        if isinstance(value, Object):
            self.keys(value, pointer)
        inner = value.first().items() if isinstance(value, Object) else enumerate(value if type(value) is list else ())
        for key, item in inner:
            self.metadata(item, step(pointer, key))
        if isinstance(value, Number) and not -(2**63) <= Decimal(value) < 2**64:
            self.add("metadata-number-too-large", pointer)

    # ---- Rules on one value, at each place that the catalogue names.

    def values(self, payment, pointer):
        tests = {
            "amount-negative": lambda value: value < 0,
            "amount-zero": lambda value: value == 0,
            "date-implausible": lambda value: not plausible(instant(value)),
            "date-in-future": lambda value: plausible(instant(value)) and instant(value) > self.now,
            "external-id-empty": lambda value: value == "",
            "metadata-too-large": lambda value: len(compact(value).encode()) > 1024,
            "reference-number-comma": lambda value: "," in value,
            "stable-name-empty": lambda value: value == "",
            "tag-display-name-empty": lambda value: value == "",
            "tag-empty": lambda value: value.strip(BLANKS) == "",
            "tag-outer-blanks": lambda value: value.strip(BLANKS) not in ("", value),
        }
        for code, fails in tests.items():
            if self.operation in self.rules[code]["operations"]:
                for field in self.rules[code]["fields"]:
                    for place, value in places(payment, field, pointer):
                        if fails(value):
                            self.add(code, place)

    # ---- Rules on several values.

    def relations(self, payment, pointer, existing):
        update = self.operation == "update_invoice_payment"
        given = {key for key, value in payment.items() if value is not None}
        if update:
            if not payment:
                self.add("update-empty", pointer)
            for key in ("amount", "paid_at"):
                if key in payment and key not in given:
                    self.add("null-changes-nothing", step(pointer, key))
        elif "external_id" not in given:
            self.add("external-id-missing", pointer)

        def known(key, theirs=None):
            """A value after an update: the request's, or the payment's under its name there. None if unknown."""
            return payment[key] if key in given else existing.get(theirs or key)

        def at(*keys):
            """The first of these that the request gives."""
            return next((step(pointer, key) for key in keys if key in given), None)

        def total(items, key):
            return None if items is None else sum(int(item[key]) for item in items)

        amount = None if known("amount") is None else int(known("amount"))
        refunds = payment.get("dedicated_refunds") or []
        allocated = total(known("invoice_payments", "allocations"), "amount")
        refunded = total(existing.get("refund_allocations"), "amount")
        if "dedicated_refunds" in given:
            refunded = sum(total(one.get("line_items"), "amount") or 0 if one.get("line_items")
                           else one.get("refunded_amount") or 0 for one in refunds)
        fee = 0 if "fee" in payment and "fee" not in given else int(known("fee") or 0)
        fees = fee + (total(known("additional_fees"), "fee_amount") or 0)
        for code, sum_, keys in [
            ("allocations-exceed-amount", allocated, ("invoice_payments", "amount")),
            ("refunds-exceed-amount", refunded, ("dedicated_refunds", "amount")),
            ("fees-exceed-amount", fees, ("fee", "additional_fees", "amount")),
        ]:
            if amount is not None and sum_ is not None and sum_ > amount >= 0 and at(*keys):
                self.add(code, at(*keys))

        methods = {None: None, "REDEEMED_PREPAYMENT": "CREDIT_BALANCE"}
        method = methods.get(known("method"), known("method"))
        processor = None if "processor" in payment and "processor" not in given else known("processor")
        enumeration = self.schemas["PaymentMethod"]["enum"]
        place = at("processor", "method")
        if place and processor is not None and method in enumeration and method not in WITH_PROCESSOR:
            self.add("processor-not-allowed-for-method", place)
        if "redemption_account" in given and method != "CREDIT_BALANCE":
            self.add("redemption-account-not-allowed-for-method", at("redemption_account"))

        paid_at = instant(known("paid_at", "at") or "")
        for index, refund in enumerate(refunds):
            place = f"{pointer}/dedicated_refunds/{index}"
            items, whole = refund.get("line_items") or [], refund.get("refunded_amount")
            if not items and whole is None:
                self.add("refund-amount-missing", place)
            if items and whole is not None and total(items, "amount") != whole:
                self.add("refund-amount-mismatch", f"{place}/refunded_amount")
            completed = instant(refund.get("completed_at") or "")
            if plausible(completed) and plausible(paid_at) and completed < paid_at:
                self.add("refund-before-payment", f"{place}/completed_at")
        self.repeated("duplicate-refund-external-id", places(payment, "dedicated_refunds/*/external_id", pointer))

        for field in self.rules["duplicate-tag-key"]["fields"]:
            for place, tags in places(payment, field.removesuffix("/*/key"), pointer):
                keys = [(f"{place}/{index}/key", tag["key"]) for index, tag in enumerate(tags)]
                self.repeated("duplicate-tag-key", [(place, key) for place, key in keys if key.strip(BLANKS)])

        ids, externals = set(), set()
        for index, allocation in enumerate(payment.get("invoice_payments") or []):
            place = f"{pointer}/invoice_payments/{index}"
            id_, external = (allocation.get("invoice_id") or "").lower(), allocation.get("invoice_external_id")
            if allocation.get("account") is None and not id_ and external is None:
                self.add("allocation-target-missing", place)
            if id_ in ids:
                self.add("duplicate-invoice-allocation", f"{place}/invoice_id")
            elif external in externals:
                self.add("duplicate-invoice-allocation", f"{place}/invoice_external_id")
            ids |= {id_} - {""}
            externals |= {external} - {"", None}

    # ---- A list's query.

    def query(self, parameters):
        times = {}
        for name, value in parameters.items():
            schema, pointer = self.parameters.get(name), f"?{name}"
            while schema and "$ref" in schema:
                schema = self.schemas[schema["$ref"].rpartition("/")[2]]
            if schema is None:
                self.add("property-unknown", pointer)
            elif schema["type"] == "integer":
                if not re.fullmatch("-?[0-9]+", value):
                    self.add("type-mismatch", pointer)
            elif schema["type"] == "boolean":
                if value not in ("true", "false"):
                    self.add("type-mismatch", pointer)
            elif schema.get("format") == "date-time":
                times[name] = instant(value, int(name == "paid_at_end"))
                if times[name] is None:
                    self.add("timestamp-malformed", pointer)
            else:
                self.text(value, schema, pointer)
        if any(self.rules[code]["severity"] == "error" for code, _ in self.found):
            return
        if times.get("paid_at_start", 0) > times.get("paid_at_end", float("inf")):
            self.add("filter-range-reversed", "?paid_at_start")
        if "limit" in parameters and not 1 <= Decimal(parameters["limit"]) <= 1000:
            self.add("limit-out-of-range", "?limit")
        if parameters.get("external_id") == "":
            self.add("external-id-empty", "?external_id")
        if "reference_numbers" in parameters and not parameters["reference_numbers"].strip(","):
            self.add("reference-numbers-empty", "?reference_numbers")
