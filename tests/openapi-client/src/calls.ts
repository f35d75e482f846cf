// Calls as an app's backend, a device and an operator would write them. Nothing
// runs here: what the document says has to be enough to compile this, and what
// it forbids must not compile.

import createClient from "openapi-fetch";

import type { components, paths } from "../dist/api.js";

type ErrorCode = components["schemas"]["ErrorCode"];
type CommandView = components["schemas"]["CommandView"];

const client = createClient<paths>({ baseUrl: "https://gateway.example.org" });

export async function makeCommand(key: string): Promise<string> {
  const { data, error, response } = await client.POST("/api/v1/commands", {
    params: { header: { "Idempotency-Key": key } },
    body: { user_id: "u1", data_type: "steps", value: { count: 5000 }, priority: "high" },
  });
  if (data !== undefined) return data.command_id;
  if (isWorthRepeating(error.error.code)) {
    throw new Error(`again in ${response.headers.get("Retry-After") ?? "1"} s`);
  }
  const fields = (error.error.details ?? []).map(({ field, reason }) => `${field}: ${reason}`);
  throw new Error([error.error.message, ...fields].join("\n"));
}

/** Fails to compile when a word of the protocol is missing or misspelt. */
function isWorthRepeating(code: ErrorCode): boolean {
  switch (code) {
    case "unavailable":
    case "internal":
    case "too_many_pending":
    case "too_many_devices":
    case "too_many_pollers":
    case "too_many_connections":
      return true;
    default:
      return false;
  }
}

export async function waitForCommand(id: string): Promise<CommandView["status"]> {
  const { data, error } = await client.GET("/api/v1/commands/{id}", {
    params: { path: { id }, query: { wait_s: 30 } },
  });
  if (data === undefined) throw new Error(error.error.code);
  const acked = data.timeline.find((row) => row.event === "acked");
  console.log(acked?.at, acked?.channel === "socket");
  return data.status;
}

export async function pollOnce(device_id: string, cursor?: string): Promise<string> {
  const { data, error } = await client.GET("/api/v1/sync/poll", {
    params: { query: { device_id, ...(cursor === undefined ? {} : { cursor }) } },
  });
  if (error !== undefined) throw new Error(error.error.message);
  for (const [stream, { verdict, head }] of Object.entries(data.streams)) {
    console.log(stream, verdict === "reset" ? "from a snapshot" : head);
  }
  for (const frame of data.frames) console.log(frame["type"]);
  return data.cursor;
}

export async function register(): Promise<void> {
  await client.POST("/api/v1/devices/register", {
    body: { platform: "web", push: { provider: "webpush", token: "…" }, name: null },
  });
  // @ts-expect-error: a name of Rust's is no word of the protocol.
  await client.POST("/api/v1/devices/register", { body: { platform: "Web" } });
  // @ts-expect-error: the platform is required.
  await client.POST("/api/v1/devices/register", { body: {} });
}

export async function listDevices(): Promise<string[]> {
  const names: string[] = [];
  let cursor: string | null | undefined;
  do {
    const query = cursor ? { cursor } : {};
    const { data } = await client.GET("/api/v1/devices", { params: { query } });
    names.push(...(data?.items ?? []).map((device) => device.name ?? device.device_id));
    cursor = data?.next_cursor;
  } while (cursor);
  return names;
}

export async function publish(): Promise<number[]> {
  const { data } = await client.POST("/api/v1/streams/{stream}/records", {
    params: { path: { stream: "news" } },
    body: { records: [{ collection: "items", id: "a", op: "put", data: { title: "…" } }] },
  });
  return data?.versions ?? [];
}

export async function decide(id: string): Promise<void> {
  const params = { path: { id } };
  const { data: conflict } = await client.GET("/api/v1/conflicts/{id}", { params });
  if (conflict?.status !== "open") return;
  const { response, error } = await client.POST("/api/v1/conflicts/{id}/resolve", {
    params,
    body: { choice: "merged", expected_remote_version: conflict.current_version ?? 0 },
  });
  if (response.status === 409 && error !== undefined && "remote" in error) {
    console.log("the published version is now", error.remote?.version);
  }
}

export async function readSkill(id: string, etag: string): Promise<unknown> {
  const { data } = await client.GET("/api/v1/marketplace/skills/{id}", {
    params: { path: { id }, header: { "If-None-Match": etag } },
  });
  return data?.data["name"];
}
