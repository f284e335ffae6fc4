/** The filters that hold, each with a way to change it and to take it away; and the segment. */

import { useState } from "preact/hooks";

import { useSetup } from "../api/setup";
import { Icon } from "../parts/icon";
import { useView, ViewLink } from "../view/navigation";
import { useSite } from "../view/site";
import { names } from "../words/speech";
import { FilterDialog } from "./filter_dialog";
import { SegmentDialog } from "./segment_dialog";

export function Chips() {
  const { view } = useView();
  const { shell } = useSite();
  const [editedAt, setEditedAt] = useState<number | null>(null);
  const [isSaving, setSaving] = useState(false);
  const segments = useSetup(shell.domain, "segments", view.segmentId !== null);
  const segment = segments.value?.find((each) => each.segment_id === view.segmentId);
  const count = view.filters.length + (view.segmentId === null ? 0 : 1);
  if (count === 0) return null;
  return (
    <div class="chips" role="group" aria-label="Filters">
      <ul>
        {view.segmentId !== null && (
          <li class="chip">
            <span>
              Segment: <b>{segment?.name ?? "…"}</b>
            </span>
            <ViewLink to={{ segmentId: null }} label={`Take the segment ${segment?.name ?? ""} away`}>
              <Icon name="close" />
            </ViewLink>
          </li>
        )}
        {view.filters.map((filter, at) => {
          const words = names.filter(filter);
          return (
            <li key={words} class="chip">
              <button type="button" title="Change this filter" onClick={() => setEditedAt(at)}>
                {words}
              </button>
              <ViewLink to={{ filters: view.filters.filter((_, other) => other !== at) }} label={`Take away: ${words}`}>
                <Icon name="close" />
              </ViewLink>
            </li>
          );
        })}
        {count > 1 && (
          <li>
            <ViewLink to={{ filters: [], segmentId: null }}>Clear all</ViewLink>
          </li>
        )}
        {view.filters.length > 0 && shell.role !== null && (
          <li>
            <button type="button" class="bare" onClick={() => setSaving(true)}>
              Save as a segment
            </button>
          </li>
        )}
      </ul>
      {editedAt !== null && <FilterDialog editedAt={editedAt} onClose={() => setEditedAt(null)} />}
      {isSaving && <SegmentDialog onClose={() => setSaving(false)} />}
    </div>
  );
}
