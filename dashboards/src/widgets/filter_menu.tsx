/** Filters and saved segments. */

import { useState } from "preact/hooks";

import { type Segment, removeSetup, useSetup } from "../api/setup";
import { Icon } from "../parts/icon";
import { Menu } from "../parts/menu";
import { Waiting } from "../parts/states";
import { mayManage } from "../shell";
import { ViewLink, useView } from "../view/navigation";
import { useSite } from "../view/site";

export function FilterMenu({ onNew }: { readonly onNew: () => void }) {
  return (
    <Menu name="Filter" side="right" label={<><Icon name="filter" /> <span class="wide-only">Filter</span></>}>
      {(close) => (
        <>
          <ul>
            <li>
              <button
                type="button"
                onClick={() => {
                  close();
                  onNew();
                }}
              >
                New filter… <kbd>/</kbd>
              </button>
            </li>
          </ul>
          <Segments onFollow={close} />
        </>
      )}
    </Menu>
  );
}

function Segments({ onFollow }: { readonly onFollow: () => void }) {
  const { view } = useView();
  const { shell } = useSite();
  const [asked, setAsked] = useState<number | null>(null);
  const segments = useSetup(shell.domain, "segments");
  if (segments.error) return <p class="soft">{segments.error.message}</p>;
  if (!segments.value) return <Waiting rows={2} />;
  const mayRemove = (segment: Segment): boolean => shell.role !== null && (segment.is_personal || mayManage(shell));
  return (
    <>
      <h3>Segments</h3>
      {segments.value.length === 0 && <p class="soft">Filter, then save the filters under a name.</p>}
      <ul>
        {segments.value.map((segment) => (
          <li key={segment.segment_id} class="removable">
            <ViewLink to={{ segmentId: segment.segment_id }} current={view.segmentId === segment.segment_id} onFollow={onFollow}>
              {segment.name} {segment.is_personal && <small>yours</small>}
            </ViewLink>
            {mayRemove(segment) &&
              (asked === segment.segment_id ? (
                <button type="button" class="bare bad" onClick={() => void removeSetup(shell.domain, "segments", segment.segment_id)}>
                  Remove?
                </button>
              ) : (
                <button type="button" class="bare" aria-label={`Remove the segment ${segment.name}`} onClick={() => setAsked(segment.segment_id)}>
                  <Icon name="bin" />
                </button>
              ))}
          </li>
        ))}
      </ul>
    </>
  );
}
