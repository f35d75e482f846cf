// Health data, as an app and a coach's dashboard would send, read and correct it.
// Nothing runs here: see calls.ts.

import createClient from "openapi-fetch";

import type { components, paths } from "../dist/api.js";

type DailyEntry = components["schemas"]["DailyEntry"];
type SentWorkout = components["schemas"]["SentWorkout"];

const client = createClient<paths>({ baseUrl: "https://gateway.example.org" });

/** What is still wrong, by list and index. */
export async function sendSteps(date: string, total_steps: number): Promise<string[]> {
  const { data, error } = await client.POST("/api/v1/ingest/steps", {
    body: { source: "health_connect", steps: [{ date, total_steps }] },
  });
  if (data === undefined) throw new Error(error.error.message);
  return data.errors.map(({ list, index, field, reason }) => `${list}[${index}].${field}: ${reason}`);
}

export async function sendRest(): Promise<number> {
  const run: SentWorkout = {
    workout_type: 37,
    source_id: "5E2F-11",
    start_time: "2026-11-25T07:00:00+01:00",
    end_time: "2026-11-25T07:31:00+01:00",
    distance_meters: 5200,
  };
  await client.POST("/api/v1/ingest/workouts", { body: { workouts: [run], deleted: ["5E2F-10", 7] } });
  await client.POST("/api/v1/ingest/sleep", {
    body: { sleep_records: [{ date: "2026-11-25", total_sleep_minutes: 432 }] },
  });
  await client.POST("/api/v1/ingest/profile", {
    body: {
      metrics: [
        { metric: "weight", value: 181, unit: "lbs", measured_at: "2026-11-24T08:00:00+01:00" },
      ],
    },
  });
  await client.POST("/api/v1/ingest/entry", { body: { date: "2026-11-25", stress: 3, notes: "…" } });
  await client.POST("/api/v1/ingest/entry", {
    body: { source: "manual", entries: [{ date: "2026-11-25", weight_kg: 82.1 }] },
  });
  await client.POST("/api/v1/ingest/{format}", {
    params: { path: { format: "hc-webhook" } },
    body: { timestamp: "2026-11-25T20:00:00Z", steps: [] },
  });
  const { data } = await client.POST("/api/v1/health/ingest", {
    params: { query: { user_id: "ada" } },
    body: { weight: [{ date: "2026-11-23", weight_kg: 82.4 }], sleep: [{ date: "2026-11-24", hours: 7.5 }] },
  });
  return data?.counts?.["weight"] ?? 0;
}

export async function refuses(): Promise<void> {
  // @ts-expect-error: a day says how many steps.
  await client.POST("/api/v1/ingest/steps", { body: { steps: [{ date: "2026-11-25" }] } });
  const params = { path: { date: "2026-11-25" } };
  // @ts-expect-error: a text is no number of steps.
  await client.PATCH("/api/v1/entries/{date}", { params, body: { steps: "many" } });
}

/** Shows each field of a day with a badge where a person said otherwise. */
function show(day: DailyEntry): string[] {
  const badges = day.overridden.map(({ field, source }) => `${field}: corrected, not ${source}'s`);
  const owner = day.field_sources["steps"]?.source ?? "nobody";
  return [`${day.date}: ${day.steps ?? "?"} steps by ${owner}`, day.notes ?? "", ...badges];
}

export async function dashboard(user_id: string): Promise<string[]> {
  const lines: string[] = [];
  let cursor: string | null | undefined;
  do {
    const query = { user_id, from: "2026-11-01", ...(cursor ? { cursor } : {}) };
    const { data } = await client.GET("/api/v1/entries", { params: { query } });
    lines.push(...(data?.items ?? []).flatMap(show));
    cursor = data?.next_cursor;
  } while (cursor);
  const params = { query: { user_id } };
  const { data: nights } = await client.GET("/api/v1/sleep", { params });
  lines.push(...(nights?.items ?? []).map((night) => `${night.date}: ${night.total_sleep_minutes ?? "?"} min`));
  const { data: activities } = await client.GET("/api/v1/activities", { params });
  lines.push(...(activities?.items ?? []).map(({ sport, elapsed_s }) => `${sport}: ${elapsed_s} s`));
  const { data: profile } = await client.GET("/api/v1/profile", { params });
  lines.push(`${profile?.weight_kg?.value ?? "?"} kg in ${profile?.time_zone ?? "an unknown zone"}`);
  return lines;
}

/** False: somebody else was faster. */
export async function correct(user_id: string, day: DailyEntry): Promise<boolean> {
  const { response, error } = await client.PATCH("/api/v1/entries/{date}", {
    params: {
      path: { date: day.date },
      query: { user_id },
      header: { "If-Match": `"${day.version}"` },
    },
    body: { steps: 6500, weight_kg: null },
  });
  return !(response.status === 409 && error?.error.code === "version_conflict");
}

export async function remove(id: string): Promise<unknown> {
  const params = { path: { id } };
  const { data } = await client.GET("/api/v1/activities/{id}", { params });
  const { response } = await client.DELETE("/api/v1/activities/{id}", { params });
  return response.ok ? data?.raw : undefined;
}

export async function move(time_zone: string | null): Promise<void> {
  await client.PATCH("/api/v1/profile", { body: { time_zone } });
}
