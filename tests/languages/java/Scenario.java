import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonSetter;
import com.fasterxml.jackson.annotation.Nulls;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.JsonDeserializer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.annotation.JsonDeserialize;
import java.io.IOException;
import java.net.http.HttpClient;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.ApiResponse;
import org.openapitools.client.api.InvoicePaymentsApi;
import org.openapitools.client.model.*;

/** The scenario by the client that openapi-generator generates; ../typescript/scenario.ts has the same steps. */
public final class Scenario {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final UUID BUSINESS = UUID.fromString(System.getenv("LAYER_BUSINESS_ID"));
    private static int step = 0;

    /** Lets an update's nulls through, which the generated client leaves out by itself. */
    private abstract static class WithNulls {
        @JsonInclude(JsonInclude.Include.ALWAYS)
        public abstract String getMemo();

        @JsonInclude(JsonInclude.Include.ALWAYS)
        public abstract Map<String, Object> getMetadata();
    }

    /** Tells the two kinds of allocation apart by `account`; by itself the generated client finds that both fit. */
    @JsonDeserialize(using = ReadAllocation.class)
    private abstract static class ByAccount {}

    private static final class ReadAllocation extends JsonDeserializer<Allocation> {
        @Override
        public Allocation deserialize(JsonParser parser, DeserializationContext context) throws IOException {
            JsonNode tree = context.readTree(parser);
            return tree.has("account")
                    ? new Allocation(context.readTreeAsValue(tree, LedgerAccountAllocation.class))
                    : new Allocation(context.readTreeAsValue(tree, InvoiceAllocation.class));
        }
    }

    private static InvoicePaymentsApi api(ObjectMapper mapper) {
        ApiClient client = new ApiClient(HttpClient.newBuilder(), mapper, System.getenv("LAYER_BASE_URL"));
        String token = System.getenv("LAYER_TOKEN");
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + token));
        return new InvoicePaymentsApi(client);
    }

    private static ObjectMapper mapper() {
        ObjectMapper mapper = ApiClient.createDefaultObjectMapper();
        // By itself the generated client refuses null where an account is optional.
        mapper.setDefaultSetterInfo(JsonSetter.Value.forValueNulls(Nulls.SKIP));
        return mapper.addMixIn(Allocation.class, ByAccount.class);
    }

    private static void tell(String name, Object... facts) throws IOException {
        step += 1;
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("step", step);
        line.put("name", name);
        for (int index = 0; index < facts.length; index += 2) {
            line.put((String) facts[index], facts[index + 1]);
        }
        System.out.println(JSON.writeValueAsString(line));
    }

    /** A call that is to be refused. */
    private interface Call {
        Object run() throws ApiException;
    }

    private static ApiException refused(Call call) {
        try {
            throw new IllegalStateException("this wasn't refused: " + call.run());
        } catch (ApiException refusal) {
            return refusal;
        }
    }

    private static ErrorReply errors(ApiException refusal) throws IOException {
        return mapper().readValue(refusal.getResponseBody(), ErrorReply.class);
    }

    /** What is wrong by a reply that isn't a success: where, and by which rule. */
    private static List<String> faults(ApiException refusal) throws IOException {
        return errors(refusal).getErrors().stream()
                .map(error -> error.getMeta().getCode() + " at " + error.getMeta().getPointer())
                .sorted()
                .toList();
    }

    private static List<String> outcomes(WriteMeta meta) {
        return meta.getIdempotency().getOutcomes().stream().map(IdempotencyOutcome::getValue).toList();
    }

    private static AccountIdentifier stableName(String name) {
        return new AccountIdentifier(
                new AccountByStableName().type(AccountByStableName.TypeEnum.STABLE_NAME).stableName(name));
    }

    private static CreateInvoicePayment first() {
        return new CreateInvoicePayment()
                .externalId("first")
                .paidAt(OffsetDateTime.parse("2024-02-27T02:22:55.163005Z"))
                .method(PaymentMethod.CREDIT_CARD)
                .amount(9000L)
                .fee(290L)
                .processor("STRIPE")
                .invoicePayments(List.of(
                        new AllocationInput(
                                new InvoiceAllocationInput().invoiceExternalId("invoice-1001").amount(6500L)),
                        new AllocationInput(new LedgerAccountAllocationInput()
                                .account(stableName("UNEARNED_REVENUE"))
                                .amount(2500L)
                                .memo("Deposit"))))
                .additionalFees(List.of(new AdditionalFeeInput().account(stableName("BANK_FEES")).feeAmount(25L)))
                .tags(List.of(new TagKeyValue().key("department").value("sales")))
                .memo("Paid at the counter")
                .metadata(Map.of("order", "A-1001", "nested", Map.of("lines", List.of(1, 2))))
                .referenceNumber("CHK-1001");
    }

    /** A payment of a bulk request. Every fourth one is a cheque with a number; no two amounts are equal. */
    private static CreateInvoicePayment numbered(int index) {
        boolean byCheque = index % 4 == 0;
        return new CreateInvoicePayment()
                .externalId("bulk-" + index)
                .paidAt(OffsetDateTime.parse("2024-03-01T00:00:00Z").plusMinutes(index))
                .method(byCheque ? PaymentMethod.CHECK : PaymentMethod.CASH)
                .amount(1000L + 7 * index)
                .invoicePayments(List.of())
                .referenceNumber(byCheque ? "CHK-" + index : null);
    }

    private static List<CreateInvoicePayment> hundred() {
        List<CreateInvoicePayment> payments = new ArrayList<>();
        payments.add(first());
        for (int index = 1; index < 100; index += 1) {
            payments.add(numbered(index));
        }
        return payments;
    }

    /** The filters of a list; what isn't set isn't sent. */
    private static final class Filters {
        private PaymentMethod method;
        private OffsetDateTime start;
        private OffsetDateTime end;
        private String externalId;
        private String referenceNumbers;
        private Boolean includedInPayout;
        private Boolean isMatched;

        Long count(InvoicePaymentsApi api) throws ApiException {
            return api.listInvoicePayments(
                            BUSINESS, method, start, end, externalId, referenceNumbers, includedInPayout, isMatched,
                            null, null, null, 1L, true)
                    .getMeta()
                    .getPagination()
                    .getTotalCount();
        }
    }

    private static long dataOf(Object allocation) {
        return allocation instanceof LedgerAccountAllocation ledger
                ? ledger.getAmount()
                : ((InvoiceAllocation) allocation).getAmount();
    }

    public static void main(String[] arguments) throws Exception {
        InvoicePaymentsApi api = api(mapper());

        ApiResponse<InvoicePaymentReply> created = api.recordInvoicePaymentWithHttpInfo(BUSINESS, first());
        InvoicePayment payment = created.getData().getData();
        List<Object> allocations = payment.getAllocations().stream().map(Allocation::getActualInstance).toList();
        tell(
                "record by stable name",
                "status", created.getStatusCode(),
                "outcomes", outcomes(created.getData().getMeta()),
                "amount", payment.getAmount(),
                "method", payment.getMethod().getValue(),
                "at", payment.getAt().toInstant().toEpochMilli(),
                "allocations", allocations.stream().map(Scenario::dataOf).sorted().toList(),
                "to_accounts", allocations.stream().filter(LedgerAccountAllocation.class::isInstance).count(),
                "fee_accounts", payment.getAdditionalFees().stream()
                        .map(fee -> fee.getAccount().getActualInstance() instanceof AccountReferenceById account
                                ? account.getType().getValue()
                                : "another")
                        .toList(),
                "tags", payment.getTransactionTags().stream().map(tag -> tag.getKey() + "=" + tag.getValue()).toList(),
                "metadata", payment.getMetadata());

        ApiResponse<InvoicePaymentReply> repeated = api.recordInvoicePaymentWithHttpInfo(BUSINESS, first());
        tell(
                "repeat the same external_id",
                "status", repeated.getStatusCode(),
                "outcomes", outcomes(repeated.getData().getMeta()),
                "same_payment", repeated.getData().getData().getId().equals(payment.getId()));

        List<CreateInvoicePayment> spoilt = hundred();
        spoilt.get(57).setInvoicePayments(List.of(new AllocationInput(
                new InvoiceAllocationInput().invoiceExternalId("invoice-1001").amount(9500L))));
        ApiException refusal = refused(() -> api.bulkCreateInvoicePayments(BUSINESS, spoilt));
        tell(
                "a bulk request with one bad payment",
                "status", refusal.getCode(),
                "faults", faults(refusal),
                "payments", new Filters().count(api));

        List<CreateInvoicePayment> hundred = hundred();
        ApiResponse<InvoicePaymentBulkReply> bulk = api.bulkCreateInvoicePaymentsWithHttpInfo(BUSINESS, hundred);
        List<String> became = outcomes(bulk.getData().getMeta());
        tell(
                "a bulk request of 100",
                "status", bulk.getStatusCode(),
                "created", Collections.frequency(became, "created"),
                "unchanged", Collections.frequency(became, "unchanged"),
                "in_order", hundred.stream().map(CreateInvoicePayment::getExternalId).toList().equals(
                        bulk.getData().getData().stream().map(InvoicePayment::getExternalId).toList()));

        ApiResponse<InvoicePaymentReply> cleared = api(mapper().addMixIn(UpdateInvoicePayment.class, WithNulls.class))
                .updateInvoicePaymentWithHttpInfo(BUSINESS, payment.getId(), new UpdateInvoicePayment());
        tell(
                "an update with null",
                "status", cleared.getStatusCode(),
                "memo", cleared.getData().getData().getMemo(),
                "metadata", cleared.getData().getData().getMetadata(),
                "reference_number", cleared.getData().getData().getReferenceNumber(),
                "tags", cleared.getData().getData().getTransactionTags().size(),
                "allocations", cleared.getData().getData().getAllocations().size());

        ApiResponse<InvoicePaymentReply> emptied = api.updateInvoicePaymentWithHttpInfo(
                BUSINESS, payment.getId(), new UpdateInvoicePayment().tags(List.of()).invoicePayments(List.of()));
        tell(
                "an update with empty lists",
                "status", emptied.getStatusCode(),
                "tags", emptied.getData().getData().getTransactionTags().size(),
                "allocations", emptied.getData().getData().getAllocations().size(),
                "fees", emptied.getData().getData().getAdditionalFees().size(),
                "amount", emptied.getData().getData().getAmount());

        Map<String, Filters> filters = new LinkedHashMap<>();
        for (String name : List.of(
                "method", "paid_at_start", "paid_at_end", "external_id", "reference_numbers", "included_in_payout",
                "is_matched", "all")) {
            filters.put(name, new Filters());
        }
        filters.get("method").method = PaymentMethod.CHECK;
        filters.get("paid_at_start").start = OffsetDateTime.parse("2024-03-01T01:00:00Z");
        filters.get("paid_at_end").end = OffsetDateTime.parse("2024-01-31T23:59:59Z");
        filters.get("external_id").externalId = "bulk-7";
        filters.get("reference_numbers").referenceNumbers = "CHK-4,CHK-8,CHK-1001";
        filters.get("included_in_payout").includedInPayout = true;
        filters.get("is_matched").isMatched = false;
        Filters all = filters.get("all");
        all.method = PaymentMethod.ACH;
        all.start = OffsetDateTime.parse("2024-01-01T00:00:00Z");
        all.end = OffsetDateTime.parse("2024-12-31T00:00:00Z");
        all.externalId = "paid-out";
        all.includedInPayout = true;
        all.isMatched = true;
        Map<String, Long> counts = new LinkedHashMap<>();
        for (Map.Entry<String, Filters> filter : filters.entrySet()) {
            counts.put(filter.getKey(), filter.getValue().count(api));
        }
        tell("every filter", "counts", counts);

        List<Long> amounts = new ArrayList<>();
        int pages = 0;
        String cursor = null;
        do {
            InvoicePaymentListReply page = api.listInvoicePayments(
                    BUSINESS, null, null, null, null, null, null, null, SortKey.AMOUNT, SortOrder.DESC, cursor, 30L,
                    true);
            pages += 1;
            page.getData().forEach(one -> amounts.add(one.getAmount()));
            Pagination pagination = page.getMeta().getPagination();
            cursor = pagination.getHasMore() ? Objects.requireNonNull(pagination.getCursor()) : null;
        } while (cursor != null);
        tell(
                "every page",
                "pages", pages,
                "payments", amounts.size(),
                "descending", amounts.equals(amounts.stream().sorted(Comparator.reverseOrder()).toList()),
                "largest", amounts.get(0),
                "sum", amounts.stream().mapToLong(Long::longValue).sum());

        CreateInvoicePayment wrong = numbered(200)
                .processor("STRIPE")
                .invoicePayments(List.of(new AllocationInput(new InvoiceAllocationInput().amount(1L))));
        ApiException wrongly = refused(() -> api.recordInvoicePayment(BUSINESS, wrong));
        tell("where a refused payment is wrong", "status", wrongly.getCode(), "faults", faults(wrongly));

        Map<String, String> fault = Map.of("X-Fault", "status=429; retry-after=1");
        ApiException limited = refused(() -> api.recordInvoicePayment(BUSINESS, numbered(201), fault));
        long seconds = limited.getResponseHeaders().firstValueAsLong("Retry-After").orElseThrow();
        Thread.sleep(seconds * 1000);
        ApiResponse<InvoicePaymentReply> after = api.recordInvoicePaymentWithHttpInfo(BUSINESS, numbered(201));
        tell(
                "the rate limit",
                "status", limited.getCode(),
                "kind", errors(limited).getErrors().get(0).getType(),
                "retry_after", seconds,
                "status_afterwards", after.getStatusCode());
    }
}
