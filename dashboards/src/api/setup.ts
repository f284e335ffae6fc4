/** What a site's people set up: goals, funnels, segments, notes. Read by whoever may read the figures. */

import type { ApiFilter } from "../view/filters";
import { ask } from "./client";
import { type Answered, forget, useAnswer } from "./remembered";

export interface Goal {
  readonly goal_id: number;
  readonly display_name: string;
  readonly kind: "event" | "page" | "scroll";
  readonly event_name: string;
  readonly page_pattern: string;
  readonly scroll_percent: number;
  readonly currency: string;
}

export interface Funnel {
  readonly funnel_id: number;
  readonly name: string;
  readonly goal_ids: readonly number[];
}

export interface Segment {
  readonly segment_id: number;
  readonly name: string;
  readonly filters: readonly ApiFilter[];
  readonly is_personal: boolean;
}

export interface Annotation {
  readonly annotation_id: number;
  readonly day: string;
  readonly text: string;
}

interface Kinds {
  goals: Goal;
  funnels: Funnel;
  segments: Segment;
  annotations: Annotation;
}

export type SetupKind = keyof Kinds;

function path(domain: string, kind: SetupKind, id?: number): string {
  return `/api/sites/${encodeURIComponent(domain)}/${kind}${id === undefined ? "" : `/${id}`}`;
}

/** All of a kind. */
export function useSetup<K extends SetupKind>(domain: string, kind: K, when = true): Answered<readonly Kinds[K][]> {
  return useAnswer(when ? path(domain, kind) : null, async (signal) => {
    const answer = await ask<Record<K, readonly Kinds[K][]>>(path(domain, kind), { signal });
    return answer[kind];
  });
}

/** Make one, change one (with `id`). Everything shown is asked again, since figures depend on it. */
export async function saveSetup<K extends SetupKind>(
  domain: string,
  kind: K,
  fields: Readonly<Record<string, unknown>>,
  id?: number,
): Promise<void> {
  await ask(path(domain, kind, id), { method: id === undefined ? "POST" : "PATCH", body: fields });
  forget();
}

export async function removeSetup(domain: string, kind: SetupKind, id: number): Promise<void> {
  await ask(path(domain, kind, id), { method: "DELETE" });
  forget();
}
