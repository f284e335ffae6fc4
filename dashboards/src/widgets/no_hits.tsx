/** What a site says before its first hit: that this is no fault, and what to do. */

import { useSite } from "../view/site";

export function NoHits() {
  const { shell } = useSite();
  return (
    <section class="panel no-hits" aria-label="No data yet">
      <h2>No data yet</h2>
      <p>
        No hit of <b>{shell.domain}</b> has arrived so far. Once the snippet is on a page and somebody opens it, figures
        appear here within seconds.
      </p>
      {shell.links.install && (
        <p class="actions">
          <a class="button main" href={shell.links.install}>
            Install the snippet and check it
          </a>
        </p>
      )}
    </section>
  );
}
