// The scenario by openapi-fetch, with the types of openapi-typescript.

import createClient from "openapi-fetch";

import type { paths } from "./layer-payments.js";
import { environment, scenario, type Api } from "./scenario.js";

const { baseUrl, token, businessId } = environment;
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
const path = { businessId };

/** The status and headers beside what openapi-fetch gives. */
function reply<T, E>({ data, error, response }: { data?: T; error?: E; response: Response }) {
  return { data, error, status: response.status, headers: response.headers };
}

const api: Api = {
  record: async (body, fault) =>
    reply(
      await client.POST("/v1/businesses/{businessId}/invoices/payments", {
        params: { path },
        body,
        ...(fault === undefined ? {} : { headers: { "X-Fault": fault } }),
      }),
    ),
  bulk: async (body) =>
    reply(await client.POST("/v1/businesses/{businessId}/invoices/payments/bulk", { params: { path }, body })),
  update: async (paymentId, body) =>
    reply(
      await client.PATCH("/v1/businesses/{businessId}/invoices/payments/{paymentId}", {
        params: { path: { businessId, paymentId } },
        body,
      }),
    ),
  list: async (query) =>
    reply(await client.GET("/v1/businesses/{businessId}/invoices/payments", { params: { path, query } })),
};

await scenario(api);
