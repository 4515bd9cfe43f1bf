// The scenario by the client that @hey-api/openapi-ts generates whole. Its types are other ones than the scenario's,
// and the compiler compares them.

import { client } from "./hey-api/client.gen.js";
import {
  bulkCreateInvoicePayments,
  listInvoicePayments,
  recordInvoicePayment,
  updateInvoicePayment,
} from "./hey-api/sdk.gen.js";
import { environment, scenario, type Api } from "./scenario.js";

const { baseUrl, token, businessId } = environment;
client.setConfig({ baseUrl, auth: token });
const path = { businessId };

/** The status and headers beside what the client gives. */
function reply<T, E>({ data, error, response }: { data?: T; error?: E; response?: Response }) {
  if (response === undefined) throw new Error(`there was no reply: ${String(error)}`);
  return { data, error, status: response.status, headers: response.headers };
}

const api: Api = {
  record: async (body, fault) =>
    reply(
      await recordInvoicePayment({ path, body, ...(fault === undefined ? {} : { headers: { "X-Fault": fault } }) }),
    ),
  bulk: async (body) => reply(await bulkCreateInvoicePayments({ path, body })),
  update: async (paymentId, body) => reply(await updateInvoicePayment({ path: { businessId, paymentId }, body })),
  list: async (query) => reply(await listInvoicePayments({ path, query })),
};

await scenario(api);
